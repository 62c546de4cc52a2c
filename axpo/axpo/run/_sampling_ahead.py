"""Defines `SamplingAhead`: threads that sample the steps to come while the learner updates.

Step s makes weights of version s. It is sampled by weights of version s - 1 - `max_staleness` at least: a thread begins
with the next step as soon as these were published, with the newest that are there. What was sampled lies in the
training's `GroupBuffer`, where sampling and learning meet; the order of learning is that of the steps.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, cast

from axpo.algorithm.buffer import BufferSettings, GroupBuffer
from axpo.algorithm.outcome import StepOutcome
from axpo.algorithm.step import Phase, SampledStep, Training, learn_step, sample_step
from axpo.distributed.ranks import ALONE, Ranks
from axpo_agents.policy import Follower, Learner, Prefix, Sampled, Sampler
from axpo_agents.starts import Lost, Start
from axpo_agents.types import Sampling
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.data_format import read_data, write_data


class _StoppedError(Exception):
    """Nothing more is wanted of a thread."""


class SamplingAhead:
    """Samples steps in threads, within a `with` block.

    Args:
        training: what is trained; its sampler follows the learner with weights of its own, or is the learner itself
            where the buffer allows no staleness, so that nothing is sampled during an update.
        steps: the first step that is learned, and the last.
        kept: steps that were sampled before the run was broken off; their groups lie in the buffer.
        ranks: the processes of the run; the first one samples, all of them call everything but `content` together.

    Raises:
        TypeError: the learner would sample while it is updated.
    """

    def __init__(
        self, training: Training, steps: range, kept: Sequence[SampledStep] = (), ranks: Ranks = ALONE
    ) -> None:
        self._training = training
        self._ranks = ranks
        self._follower = training.sampler if isinstance(training.sampler, Follower) else None
        # Threads meet no other process.
        self._sampler: Any = getattr(training.sampler, "alone", training.sampler)
        self._staleness = training.buffer.settings.max_staleness or 0
        if self._staleness and self._follower is None:
            raise TypeError(f"expected a sampler that follows the learner; got {type(training.sampler).__name__}")
        self._changed = threading.Condition()
        self._sampled = {step.step: step for step in kept}
        self._end = steps.stop
        self._steps = iter(step for step in steps if step not in self._sampled)
        self._published = -1
        self._stopped = False
        self._error: BaseException | None = None
        # One that takes a single call at a time has nothing to gain from a second thread.
        several = getattr(training.sampler, "at_once", 1) > 1
        count = max(1, self._staleness) if several else 1
        count = count if ranks.is_first else 0
        self._threads = [threading.Thread(target=self._work, name=f"sampling {n}", daemon=True) for n in range(count)]

    def __enter__(self) -> Self:
        self.publish()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def publish(self) -> None:
        """Hands the learner's weights of now to what samples; called while nothing changes them."""
        if self._follower is not None:
            self._follower.stage(self._training.learner)
        with self._changed:
            self._published = self._training.learner.version
            self._changed.notify_all()

    def wait_for(self, step: int) -> SampledStep:
        """What was sampled for a step, as soon as it was; its groups lie in the buffer.

        Raises:
            Exception: what sampling raised.
        """
        sampled = self._ranks.first(lambda: self._awaited(step))
        with self._changed:
            return self._sampled.setdefault(step, sampled)

    def catch_up(self, step: int) -> None:
        """Has what samples take over the weights of now, as soon as the step behind this one was sampled."""
        if step + 1 < self._end:
            self.wait_for(step + 1)
        self._ranks.first(self._adopt)

    def learn(self, step: int, *, phase: Phase) -> StepOutcome:
        """Learns from a step that was waited for, and publishes the new weights."""
        outcome = learn_step(self._training, self._sampled[step], phase=phase)
        with phase("weights"):
            self.publish()
        with self._changed:
            del self._sampled[step]
        return outcome

    def content(self) -> tuple[bytes, tuple[SampledStep, ...]]:
        """The buffer, and the steps that its groups were sampled for."""
        with self._changed:
            return self._training.buffer.to_bytes(), tuple(self._sampled[step] for step in sorted(self._sampled))

    def _awaited(self, step: int) -> SampledStep:
        with self._changed:
            self._changed.wait_for(lambda: step in self._sampled or self._error is not None)
            if step not in self._sampled and self._error is not None:
                raise self._error
            return self._sampled[step]

    def _adopt(self) -> None:
        # Within the lock, so that no two threads load weights at a time, nor load them while others are written.
        with self._changed:
            if self._follower is not None:
                self._sampler.adopt()

    def _work(self) -> None:
        try:
            while (step := self._next()) is not None:
                sampled = sample_step(self._stoppable(), step)
                self._deliver(sampled)
        except _StoppedError:
            return
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _next(self) -> int | None:
        """The next step, once the weights are there that it may be sampled with at the earliest; they are adopted."""
        with self._changed:
            step = next(self._steps, None)
            if step is None:
                return None
            self._changed.wait_for(lambda: self._stopped or self._published >= step - 1 - self._staleness)
            if self._stopped:
                return None
            self._adopt()
        return step

    def _deliver(self, sampled: SampledStep) -> None:
        """Puts a step's groups into the buffer."""
        with self._changed:
            self._training.buffer.add(sampled.groups, step=sampled.step)
            self._sampled[sampled.step] = replace(sampled, groups=())
            self._changed.notify_all()

    def _stoppable(self) -> Training:
        sampler = cast(Sampler, _Stoppable(self._sampler, self))
        # Methods that force calls open ask for log-probabilities: the learner's would be of weights that are changing.
        return replace(self._training, sampler=sampler, learner=cast(Learner, sampler))

    def check(self) -> None:
        """Ends the thread of a caller where nothing more is wanted."""
        if self._stopped:
            raise _StoppedError


class _Stoppable:
    """A sampler whose next turn is not sampled once the run has ended."""

    def __init__(self, sampler: Sampler, ahead: SamplingAhead) -> None:
        self._sampler = sampler
        self._ahead = ahead

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        self._ahead.check()
        return self._sampler.sample(prefixes, sampling, seed=seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)


def write_ahead(ahead: SamplingAhead) -> bytes:
    """What was sampled and not yet learned from, for `read_ahead`.

    Raises:
        ValueError: a tool's state within cannot be written.
    """
    buffer, steps = ahead.content()
    return write_data((buffer, tuple(_written(step) for step in steps)))


def read_ahead(data: bytes, settings: BufferSettings) -> tuple[GroupBuffer, tuple[SampledStep, ...]]:
    """A buffer with what was sampled ahead, under these settings, and the steps that it belongs to.

    Raises:
        ValueError: the bytes are damaged, or hold states of tools that are read only where their writer is trusted.
    """
    held, steps = read_data(data)
    return GroupBuffer.from_bytes(held, settings=settings), tuple(_read(step, lost) for step, *lost in steps)


def _written(step: SampledStep) -> tuple[Any, ...]:
    lost = ([(each.start, str(each.fault), each.used_tool) for each in kind] for kind in _lost(step))
    return replace(step, lost_rollouts=(), lost_continuations=()), *map(tuple, lost)


def _lost(step: SampledStep) -> tuple[tuple[Lost, ...], tuple[Lost, ...]]:
    return step.lost_rollouts, step.lost_continuations


def _read(step: SampledStep, lost: Sequence[Sequence[tuple[Start, str, bool]]]) -> SampledStep:
    rollouts, continuations = (
        tuple(
            Lost(start=start, fault=InfrastructureFault(fault), used_tool=used_tool) for start, fault, used_tool in kind
        )
        for kind in lost
    )
    return replace(step, lost_rollouts=rollouts, lost_continuations=continuations)
