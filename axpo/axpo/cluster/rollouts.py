"""Defines `PlacedSampler`: a policy sampled by workers elsewhere, whose weights follow the learner's by version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from axpo.cluster._weights import Shelf, put_into
from axpo_agents.errors import NonFiniteRowError
from axpo_agents.policy import Follower, Learner, Prefix, Sampled, Sampler, TurnSpans
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy
from axpo_agents.types import WHOLE, Context, Sampling, TokenSequence, Truncation
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.outposts import WorkerLost, Workforce
from axpo_envs.types import EpisodeState, Parts

if TYPE_CHECKING:
    import torch

_BATCH: Final = 64
"""Turns that a worker samples together where each episode goes its own way."""
_KEY: Final = 512
"""Leading tokens by which episodes of one question are told: they share a worker's caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights that lie on a shelf."""

    version: int
    """How many updates they have behind them."""
    key: Any
    """Where they lie."""
    era: int = 0
    """What is kept between calls is dropped where this has changed."""


class RolloutWorker:
    """Samples with a policy of its own, and takes over the weights that it is asked to sample with.

    Args:
        model: what is loaded; must be found here under the name that it has where the learner is.
        settings: how.
        shelf: where weights lie.
    """

    def __init__(self, model: str, settings: LoadSettings, shelf: Shelf) -> None:
        self._policy: Final[TransformersPolicy] = load_policy(model, settings)
        self._shelf = shelf
        self._taken = Weights(version=-1, key=None)

    def ready(self) -> None:
        """Answers."""

    def sample(self, weights: Weights, prefixes: Sequence[Prefix], sampling: Sampling, seed: int) -> list[Sampled]:
        """One turn after each prefix, with the version of the weights that sampled it."""
        self._adopt(weights)
        sampled = self._policy.sample(prefixes, sampling, seed=seed)
        return [replace(turn, version=self._taken.version) for turn in sampled]

    def logprobs(
        self, weights: Weights, sequences: Sequence[TokenSequence], temperature: float, truncation: Truncation
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token, without gradients."""
        self._adopt(weights)
        found = self._policy.logprobs(sequences, temperature=temperature, truncation=truncation)
        return [values.detach().cpu() for values in found]

    def _adopt(self, weights: Weights) -> None:
        # Of several threads that ask, one may have been behind.
        if weights.version > self._taken.version:
            put_into(self._policy, self._shelf.get(weights.key), weights.version)
            self._taken = weights
        elif weights.era > self._taken.era:
            self._policy.forget()
            self._taken = weights


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn that is waited for."""

    prefix: Prefix
    sampled: Sampled | None = None
    error: NonFiniteRowError | None = None


@dataclass(slots=True, eq=False)
class _Seat:
    """What waits for one worker."""

    taken: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[_Turn] = field(default_factory=list)


class PlacedSampler(Sampler, Follower):
    """A policy that is sampled by workers elsewhere; contexts are encoded, and turns decoded, here.

    A turn is a function of weights, prefix and seed, so what a lost worker was sampling is asked for again.

    Args:
        policy: encodes and decodes; never asked to sample.
        workers: a `RolloutWorker` each, or a `VllmRolloutWorker`.
        lay: lays a learner's weights where the workers take them; returns what `Weights.key` is.
        lockstep: all turns are asked for in one call.
        attempts: how often they are asked for where workers are lost.
    """

    def __init__(
        self,
        policy: TransformersPolicy,
        workers: Workforce,
        lay: Callable[[Learner], Any],
        *,
        lockstep: bool,
        attempts: int,
    ) -> None:
        self._policy = policy
        self._workers = workers
        self._lay = lay
        self._attempts = attempts
        self.at_once: Final = 1 if lockstep else _BATCH * workers.seats
        self._lock = threading.Lock()
        self._seats = [_Seat() for _ in range(workers.seats)]
        self._homes: dict[str, int] = {}
        self._staged: Weights | None = None
        self._adopted: Weights | None = None
        self._era = 0

    @property
    def version(self) -> int:
        """How many updates the weights have behind them that sample now."""
        return 0 if self._adopted is None else self._adopted.version

    def stage(self, learner: Learner) -> None:
        """Lays the learner's weights out for the workers."""
        if self._staged is None or self._staged.version != learner.version:
            self._staged = Weights(version=learner.version, key=self._lay(learner))

    def adopt(self) -> None:
        """Turns that are asked for from now on are sampled with the weights that were laid out last."""
        if self._staged is not self._adopted:
            self._adopted = self._staged
            with self._lock:
                self._homes.clear()

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """See `Sampler`."""
        with self._lock:
            return self._policy.encode_prompt(env, state)

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """See `Sampler`."""
        with self._lock:
            return self._policy.encode_observation(observation, after=after)

    def decode_turn(self, ids: Sequence[int]) -> str:
        """See `Sampler`."""
        with self._lock:
            return self._policy.decode_turn(ids)

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """See `Sampler`."""
        with self._lock:
            return self._policy.find_spans(ids)

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """See `Sampler`; workers that are lost meanwhile are replaced, and asked again.

        Raises:
            WorkerLost: too often.
        """
        if self.at_once > 1 and len(prefixes) == 1 and prefixes[0].seed is not None:
            return [self._with_others(prefixes[0], sampling)]
        shares = self._shares(prefixes)
        sampled: dict[int, Sampled] = {}

        def ask(share: tuple[int, list[int]]) -> None:
            seat, rows = share
            with _rows(rows):
                turns = self._asked(seat, [prefixes[row] for row in rows], sampling, seed)
            sampled.update(zip(rows, turns, strict=True))

        with ThreadPoolExecutor(max(1, len(shares))) as threads:
            for done in [threads.submit(ask, share) for share in shares.items()]:
                done.result()
        return [sampled[row] for row in range(len(prefixes))]

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token by the weights that sample, without gradients.

        Raises:
            WorkerLost: workers were lost too often.
        """
        found: list[torch.Tensor] = self._insist(
            self._workers.least_busy(), "logprobs", tuple(sequences), temperature, truncation
        )
        return found

    def forget(self) -> None:
        """Drops what workers keep between calls, as other weights do."""
        self._era += 1

    def __getattr__(self, name: str) -> Any:
        # What methods ask of some policies beyond the role (`encode_call`, `max_tokens`) is the policy's to answer.
        return getattr(self._policy, name)

    def _shares(self, prefixes: Sequence[Prefix]) -> dict[int, list[int]]:
        """Which rows each seat samples: evenly many, those of one question together as far as that allows."""
        most = -(-len(prefixes) // self._workers.seats)
        shares: dict[int, list[int]] = {seat: [] for seat in range(self._workers.seats)}
        for row, prefix in enumerate(prefixes):
            key = _question(prefix)
            seat = self._homes.get(key)
            if seat is None or len(shares[seat]) >= most:
                seat = min(shares, key=lambda seat: len(shares[seat]))
                self._homes.setdefault(key, seat)
            shares[seat].append(row)
        return {seat: rows for seat, rows in shares.items() if rows}

    def _with_others(self, prefix: Prefix, sampling: Sampling) -> Sampled:
        """A turn, sampled together with those that wait for the same worker."""
        turn = _Turn(prefix)
        number = self._seat_of(prefix)
        seat = self._seats[number]
        with self._lock:
            seat.waiting.append(turn)
        while turn.sampled is None and turn.error is None:
            # Whoever comes first asks for all that wait.
            with seat.taken:
                if turn.sampled is None and turn.error is None:
                    self._ask_for_waiting(number, turn, sampling)
        if turn.error is not None:
            raise turn.error
        assert turn.sampled is not None
        return turn.sampled

    def _ask_for_waiting(self, number: int, own: _Turn, sampling: Sampling) -> None:
        """Samples what waits for a worker; the caller has taken its seat, and waits for a turn of its own."""
        seat = self._seats[number]
        with self._lock:
            if own not in seat.waiting:
                # Whoever asked for it lost the worker.
                seat.waiting.append(own)
            together = seat.waiting[:_BATCH]
            del seat.waiting[:_BATCH]
        try:
            # The seed of the call decides nothing: every turn has one of its own.
            sampled = self._asked(number, [turn.prefix for turn in together], sampling, 0)
        except NonFiniteRowError as error:
            together[error.row].error = NonFiniteRowError(str(error), row=0)
            return
        for turn, drawn in zip(together, sampled, strict=True):
            turn.sampled = drawn

    def _seat_of(self, prefix: Prefix) -> int:
        with self._lock:
            waiting = [len(seat.waiting) for seat in self._seats]
            least = waiting.index(min(waiting))
            home = self._homes.setdefault(_question(prefix), least)
            return home if waiting[home] <= waiting[least] + _BATCH // 4 else least

    def _asked(self, seat: int, prefixes: Sequence[Prefix], sampling: Sampling, seed: int) -> list[Sampled]:
        sampled: list[Sampled] = self._insist(seat, "sample", tuple(prefixes), sampling, seed)
        return sampled

    def _insist(self, seat: int, method: str, *given: Any) -> Any:
        if self._adopted is None:
            raise RuntimeError("expected weights that were staged and adopted before anything is sampled")
        weights, lost = replace(self._adopted, era=self._era), 0
        while True:
            try:
                return self._workers.ask(seat, method, weights, *given)
            except WorkerLost:
                lost += 1
                if lost >= self._attempts:
                    raise


@contextmanager
def _rows(rows: Sequence[int]) -> Iterator[None]:
    """Names the row among all, where one of a share is at fault."""
    try:
        yield
    except NonFiniteRowError as error:
        raise NonFiniteRowError(str(error), row=rows[error.row]) from error


def _question(prefix: Prefix) -> str:
    images = (image.digest for image in prefix.sequence.images[:1])
    return digest_of(*prefix.sequence.ids[:_KEY], *images)
