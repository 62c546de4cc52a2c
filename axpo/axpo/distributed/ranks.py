"""Defines `Ranks`, the processes of a run: what each of them does is agreed on here, and so is how all of them end.

Every process runs the same program on the same groups. What must happen once (files, logs, callbacks) is done by the
first one; what can be divided (episodes, passes through the model) is divided. A fault within `together` is every
process's: all leave at the same place, so that what was trained can still be saved. A fault elsewhere ends its own
process, whose closed connections end the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from axpo.distributed.errors import Interrupted, PeerFailed, noticing_losses
from axpo.distributed.heartbeat import Heartbeat
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch.distributed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told(Generic[T]):
    """What one process tells the others of what it did."""

    value: T | None = None
    """What came of it."""
    fault: str | None = None
    """The message of what went wrong."""
    stop: bool = False
    """Whether it was asked to stop."""


class Ranks:
    """The processes of a run, seen from one of them.

    Args:
        number: this process, counted from 0.
        count: how many there are.
        device: the torch device of this process; None takes what the settings say.
        timeout_s: seconds of the first process's silence after which those that wait for it give up.
    """

    def __init__(
        self, *, number: int = 0, count: int = 1, device: str | None = None, timeout_s: float = 1800.0
    ) -> None:
        self.number: Final = number
        self.count: Final = count
        self.device: Final = device
        self._timeout_s = timeout_s
        self._heartbeat: Heartbeat | None = None
        self._left_together: BaseException | None = None
        self._stop_asked = self._working = self._held_back = self._leaving = False

    @property
    def is_first(self) -> bool:
        """Whether this process writes, shows and reports."""
        return self.number == 0

    def exchange(self, value: T) -> list[T]:
        """What every process gives, in their order.

        Raises:
            PeerLost: one of them has gone.
        """
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        with noticing_losses():
            torch.distributed.all_gather_object(found, value)
        # What was given here keeps its identity, and its memory.
        found[self.number] = value
        return found

    def together(self, action: Callable[[], T]) -> list[T]:
        """Every process's value of an action, in their order.

        Raises:
            PeerFailed: the action failed on another process; the first one that it failed on raises its own error.
            Interrupted: one of them was asked to stop; so do all.
            PeerLost: one of them has gone.
        """
        return [action()] if self.count == 1 else self._together(action)

    def _together(self, action: Callable[[], T], heartbeat: Heartbeat | None = None) -> list[T]:
        with nullcontext() if heartbeat is None else heartbeat.waited_for():
            told, own = self._tried(action)
        everything = self.exchange(told)
        failed = next((rank for rank, each in enumerate(everything) if each.fault is not None), None)
        if failed is not None:
            fault = PeerFailed(f"process {failed} of the run failed: {everything[failed].fault}")
            self._leave(own if own is not None and failed == self.number else fault)
        if any(each.stop for each in everything):
            self._leave(own if isinstance(own, Interrupted) else Interrupted())
        values: list[Any] = [each.value for each in everything]
        return values

    def _tried(self, action: Callable[[], T]) -> tuple[_Told[T], BaseException | None]:
        """What this process tells of an action, and the error that it raised here."""
        own: BaseException | None = None
        told: _Told[T]
        try:
            with self._interruptible():
                told = _Told(value=action())
        except KeyboardInterrupt as error:
            own, told = error, _Told(stop=True)
        except BaseException as error:
            own, told = error, _Told(fault=str(error) or type(error).__name__)
        if self._stop_asked and not self._held_back and told.fault is None:
            told = _Told(stop=True)
        return told, own

    def first(self, action: Callable[[], T]) -> T:
        """The value of an action that the first process alone takes, however long; raises as `together` does."""
        if self.count == 1:
            return action()
        if self._heartbeat is None:
            self._heartbeat = Heartbeat(is_first=self.is_first, timeout_s=self._timeout_s)
        own: list[Any] = []
        self._together(lambda: own.append(action()) if self.is_first else None, self._heartbeat)
        # Sent once: among what all exchange, there would be room for as much from each.
        told = own or [None]
        with noticing_losses():
            torch.distributed.broadcast_object_list(told, src=0)
        found: T = (own or told)[0]
        return found

    def each(self, action: Callable[[], T]) -> T:
        """This process's value of an action that all of them take, and tell nobody; raises as `together` does."""
        own: list[T] = []
        self.together(lambda: own.append(action()))
        return own[0]

    def left_together(self, error: BaseException) -> bool:
        """Whether all processes are raising at the same place, so that they can still do something together."""
        return self.count == 1 or error is self._left_together

    def ask_to_stop(self) -> None:
        """Notes a signal; it interrupts what this process does on its own, and otherwise waits for the next meeting.

        Launchers repeat signals, so while the run is ending already they change nothing.

        Raises:
            Interrupted: what is being done can be interrupted.
        """
        if self._leaving:
            return
        self._stop_asked = True
        if self._working and not self._held_back:
            self._working = False
            raise Interrupted

    @contextmanager
    def holding_back(self) -> Iterator[None]:
        """Lets signals wait until the block has ended.

        Raises:
            Interrupted: one arrived on any of the processes.
        """
        self._held_back = True
        try:
            yield
        finally:
            self._held_back = False
        self.together(lambda: None)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        if self._stop_asked and not self._held_back:
            raise Interrupted
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def _leave(self, error: BaseException) -> None:
        self._left_together = error
        self._leaving, self._stop_asked = True, False
        raise error


ALONE: Final = Ranks()
"""One process, which does everything."""
