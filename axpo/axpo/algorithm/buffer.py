"""Defines `GroupBuffer`, which collects episodes into groups and hands out complete ones: the only mutable part.

A *slot* is the place of one episode in a group that is being collected. It is *wanted* until an episode was delivered
for it or it was given up; the group is *ready* when none of its slots is wanted any more.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from axpo.algorithm._buffer_content import BufferContent, Collecting, oldest
from axpo.algorithm.types import Group
from axpo_agents.types import Rollout
from axpo_envs.plumbing.data_format import read_data, write_data
from axpo_envs.plumbing.sealed import seal, unseal
from axpo_envs.types import Question

_TITLE: Final = b"AXPO-GROUP-BUFFER-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The place of one episode in a group that is being collected."""

    ticket: int
    """Number of the group, in the order in which groups were opened or added."""
    index: int
    """Place within the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSettings:
    """The rules of a buffer."""

    fault_retries: int = 2
    """How often an episode lost to an infrastructure fault is wanted again before its slot is given up."""
    min_size: int = 1
    """A group of which fewer episodes are left is dropped."""
    max_staleness: int | None = None
    """Versions that a group's oldest turn may lie behind the buffer's when it is handed out; None for any number."""


class GroupBuffer:
    """Collects episodes into groups, in whatever order they arrive, and hands out complete groups, oldest first.

    An episode lost to an infrastructure fault is wanted again `fault_retries` times; then its slot is given up and
    the group shrinks: no lost episode is ever scored. Groups left with fewer than `min_size` episodes are
    dropped, and so are those that have become too stale when groups are handed out.

    Every method may be called from any thread.
    """

    def __init__(self, settings: BufferSettings | None = None) -> None:
        self.settings: Final = settings or BufferSettings()
        self._content = BufferContent()
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """Version of the weights that staleness is counted from."""
        return self._content.version

    @property
    def dropped_faulty(self) -> int:
        """Groups dropped so far because infrastructure faults left too few of their episodes."""
        return self._content.dropped_faulty

    @property
    def dropped_stale(self) -> int:
        """Groups dropped so far because the weights had moved on too far."""
        return self._content.dropped_stale

    @property
    def ready(self) -> int:
        """Number of groups that `take` could hand out now."""
        with self._lock:
            self._drop_stale()
            return len(self._content.ready)

    def open(self, question: Question, size: int) -> tuple[Slot, ...]:
        """Begins to collect a group; returns its slots, all wanted.

        Raises:
            ValueError: the size is below 1.
        """
        if size < 1:
            raise ValueError(f"expected a group of at least one episode; got {size} for question {question.id!r}")
        with self._lock:
            ticket = self._new_ticket()
            self._content.collecting[ticket] = Collecting(question=question, size=size)
            return tuple(Slot(ticket=ticket, index=index) for index in range(size))

    def wanted(self) -> tuple[Slot, ...]:
        """The slots for which an episode must still be run, oldest group first."""
        with self._lock:
            collecting = self._content.collecting
            return tuple(
                Slot(ticket=ticket, index=index)
                for ticket in sorted(collecting)
                for index in collecting[ticket].wanted()
            )

    def deliver(self, slot: Slot, rollout: Rollout) -> bool:
        """Hands in the episode of a slot.

        Returns:
            Whether it was used: an episode that was believed lost and arrives after its replacement is not.

        Raises:
            KeyError: no such slot was ever opened.
        """
        with self._lock:
            group = self._find(slot)
            if group is None:
                return False
            group.rollouts[slot.index] = rollout
            self._finish(slot.ticket, group)
            return True

    def lose(self, slot: Slot) -> bool:
        """Reports that an infrastructure fault took the episode of a slot.

        Returns:
            Whether the slot is still wanted, so that its episode must be run again.

        Raises:
            KeyError: no such slot was ever opened.
        """
        with self._lock:
            group = self._find(slot)
            if group is None:
                return False
            group.losses[slot.index] = group.losses.get(slot.index, 0) + 1
            if group.losses[slot.index] <= self.settings.fault_retries:
                return True
            group.given_up.add(slot.index)
            self._finish(slot.ticket, group)
            return False

    def add(self, groups: Iterable[Group], *, step: int = 0) -> None:
        """Takes in complete groups, branches included; they are ready at once.

        Args:
            groups: the groups.
            step: the training step that they were sampled for; 0 for any.
        """
        with self._lock:
            for group in groups:
                ticket = self._new_ticket()
                self._content.ready[ticket] = group
                if step:
                    self._content.steps[ticket] = step

    def advance(self, version: int) -> None:
        """Tells the version of the weights that staleness is counted from now on.

        Raises:
            ValueError: it lies behind the one told before.
        """
        with self._lock:
            if version < self._content.version:
                raise ValueError(f"expected a version of at least {self._content.version}; got {version}")
            self._content.version = version

    def take(self, count: int) -> tuple[Group, ...]:
        """Hands out the oldest ready groups and forgets them.

        Raises:
            LookupError: fewer than `count` groups are ready; nothing was taken.
        """
        with self._lock:
            self._drop_stale()
            ready = self._content.ready
            if len(ready) < count:
                raise LookupError(f"expected {count} ready groups; there are {len(ready)}")
            return self._pop(sorted(ready)[:count])

    def take_for(self, step: int) -> tuple[Group, ...]:
        """Hands out, oldest first, all ready groups but those that were added for later steps, and forgets them."""
        with self._lock:
            self._drop_stale()
            content = self._content
            return self._pop(ticket for ticket in sorted(content.ready) if content.steps.get(ticket, 0) <= step)

    def to_bytes(self, *, key: bytes | None = None) -> bytes:
        """Everything the buffer holds.

        Args:
            key: a secret of at least 16 bytes with which the bytes are sealed; None guards against damage alone.

        Raises:
            ValueError: a tool's state within cannot be written.
        """
        with self._lock:
            content = self._content
            fields = {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
            fields["collecting"] = tuple((ticket, group.written()) for ticket, group in content.collecting.items())
            fields["ready"] = tuple(content.ready.items())
            fields["steps"] = tuple(content.steps.items())
            return seal(_TITLE, write_data((self.settings, tuple(fields.items()))), key=key)

    @classmethod
    def from_bytes(
        cls, data: bytes, *, key: bytes | None = None, trust: bool = False, settings: BufferSettings | None = None
    ) -> GroupBuffer:
        """The buffer that `to_bytes` wrote; episodes that were under way then are still wanted.

        Nothing in the bytes is executed, unless the caller trusts their writer: see `Snapshot.from_bytes`.

        Args:
            data: the bytes.
            key: the secret that they were sealed with; bytes that nobody with the secret wrote are refused.
            trust: whoever wrote the bytes may execute anything in this process. For bytes of your own alone.
            settings: rules in place of those that it had.

        Raises:
            ValueError: the bytes are no buffer of this version, are damaged, or hold what only a trusted writer may
                write.
        """
        try:
            own, fields = read_data(unseal(_TITLE, data, key=key), trusted=trust or key is not None)
            values: dict[str, Any] = dict(fields)
            values["collecting"] = {ticket: Collecting.of(*written) for ticket, written in values["collecting"]}
            values["ready"] = dict(values["ready"])
            values["steps"] = dict(values.get("steps", ()))
            content = BufferContent(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"these bytes cannot be read as a GroupBuffer: {error}") from error
        if not isinstance(own, BufferSettings):
            raise ValueError(f"expected the settings of a buffer; got {own!r:.100}")
        buffer = cls(settings or own)
        buffer._content = content
        return buffer

    def _pop(self, tickets: Iterable[int]) -> tuple[Group, ...]:
        taken = []
        for ticket in tickets:
            taken.append(self._content.ready.pop(ticket))
            self._content.steps.pop(ticket, None)
        return tuple(taken)

    def _new_ticket(self) -> int:
        self._content.next_ticket += 1
        return self._content.next_ticket - 1

    def _find(self, slot: Slot) -> Collecting | None:
        """The group in which the slot is wanted; None if it no longer is."""
        group = self._content.collecting.get(slot.ticket)
        if slot.ticket not in range(self._content.next_ticket) or (group and slot.index not in range(group.size)):
            raise KeyError(f"expected a slot that was opened; got {slot}")
        return group if group and slot.index in group.wanted() else None

    def _finish(self, ticket: int, group: Collecting) -> None:
        if group.wanted():
            return
        del self._content.collecting[ticket]
        if len(group.rollouts) < self.settings.min_size:
            self._content.dropped_faulty += 1
            return
        rollouts = tuple(group.rollouts[index] for index in sorted(group.rollouts))
        self._content.ready[ticket] = Group(question=group.question, rollouts=rollouts)

    def _drop_stale(self) -> None:
        limit, version = self.settings.max_staleness, self._content.version
        if limit is None:
            return
        stale = [ticket for ticket, group in self._content.ready.items() if version - oldest(group, version) > limit]
        self._pop(stale)
        self._content.dropped_stale += len(stale)
