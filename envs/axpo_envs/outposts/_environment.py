"""Defines `outposted`: an environment whose turns, tools and rewards included, are taken by workers elsewhere.

What travels is a snapshot as bytes and the turn, and back what the turn added: a worker that took the turn before still
has its state, and is told its digest alone. Nothing of an episode is kept anywhere but here, so a lost worker costs the
turn that it was taking. Whether that turn may be taken again is for the caller to decide, as with any
`InfrastructureFault`: calls with external effects may have been made (`axpo_agents.rolling` then drops the episode).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.gate import Gate
from axpo_envs.outposts._post import order
from axpo_envs.outposts._workforce import Workforce
from axpo_envs.plumbing.data_format import read_data, write_data
from axpo_envs.snapshot import Snapshot
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import EpisodeState, RewardTerm, StopReason, Transition, Turn

_STATES: Final = 512
"""Moments that a worker keeps at hand, and that are remembered here of all workers together, per worker."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Recent(Generic[K, V]):
    """The entries that were used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)


class _Added(NamedTuple):
    """What a turn added to an episode's state."""

    turn: Turn
    tool_states: tuple[tuple[str, Any], ...]
    stop: StopReason | None
    terms: tuple[RewardTerm, ...]
    digest: str


class EnvWorker:
    """Takes turns of environments, in a process of its own.

    Args:
        envs: the environments, by a name for each.
    """

    def __init__(self, envs: Mapping[str, ToolEnv]) -> None:
        self._envs = envs
        self._states: _Recent[tuple[str, str], EpisodeState] = _Recent(_STATES)

    def ready(self) -> None:
        """Answers."""

    def advance(self, env: str, digest: str, snapshot: bytes | None, text: str, cut_off: bool) -> bytes | None:
        """Takes a turn.

        Args:
            env: name of the environment.
            digest: of the state before the turn.
            snapshot: that state; None where this worker should still have it.
            text: the turn.
            cut_off: it hit a token limit.

        Returns:
            What the turn added, written by `write_data`; None if the state is not here.

        Raises:
            Exception: as `ToolEnv.advance`.
        """
        state = self._states.get((env, digest))
        if snapshot is not None:
            # Whoever reaches a worker may have anything executed there anyway.
            state = Snapshot.from_bytes(snapshot, trust=True).state
        if state is None:
            return None
        after = self._envs[env].advance(state, text, cut_off=cut_off).state
        if after.stop is None:
            self._states.put((env, after.digest), after)
        return write_data(_Added(after.turns[-1], after.tool_states, after.stop, after.terms, after.digest))


class _TurnsElsewhere(ToolEnv):
    """The part of an environment that sends its turns away; see `outposted`."""

    _name: str
    _workers: Workforce
    _seats: _Recent[str, int]

    def advance(self, state: EpisodeState, text: str, *, cut_off: bool = False) -> Transition:
        """See `ToolEnv`; `WorkerLost` where a worker was lost."""
        self._may_advance(state, text)
        known = self._seats.get(state.digest)
        seat = self._workers.least_busy() if known is None else known
        if any(tool.effects is Effects.EXTERNAL for tool in self.tools):
            # One that died while it was idle is noticed before anything can have happened.
            self._workers.ask(seat, "ready")
        asked = (self._name, state.digest)
        written = None if known is None else self._workers.ask(seat, "advance", *asked, None, text, cut_off)
        if written is None:
            snapshot = self.snapshot_of(state).to_bytes()
            written = self._workers.ask(seat, "advance", *asked, snapshot, text, cut_off)
        added: _Added = read_data(written, trusted=True)
        after = replace(
            state,
            turns=(*state.turns, added.turn),
            tool_states=added.tool_states,
            stop=added.stop,
            terms=added.terms,
            digest=added.digest,
        )
        self._seats.put(after.digest, seat)
        self._tell(state, added.turn)
        return _transition(after)

    def gated(self, gate: Gate, *, agent: str = "") -> Any:
        """Refused: calls are made elsewhere, where a further gate would not be asked.

        Raises:
            EnvConfigError: always.
        """
        del gate, agent
        raise EnvConfigError(f"{self.rules.env_id}: expected gates before the environment's turns are sent elsewhere")

    def _may_advance(self, state: EpisodeState, text: str) -> None:
        if state.stop is not None or not isinstance(text, str):
            # The plain environment refuses both, in its own words.
            super().advance(state, text)

    def _tell(self, state: EpisodeState, turn: Turn) -> None:
        if self.rules.audit is not None:
            for record in turn.calls:
                self.rules.audit(state, record)


def env_order(envs: Mapping[str, ToolEnv]) -> bytes:
    """What a `Post` makes an `EnvWorker` of.

    Args:
        envs: the environments, by the names that `outposted` gives them.

    Raises:
        EnvConfigError: one cannot be pickled.
    """
    try:
        return order(partial(EnvWorker, {name: _unaudited(env) for name, env in envs.items()}))
    except Exception as error:
        told = ", ".join(env.rules.env_id for env in envs.values())
        raise EnvConfigError(
            f"{told}: something that it refers to cannot be sent to another process ({type(error).__name__}: {error}); "
            "make such things where they are used"
        ) from error


def outposted(env: ToolEnv, name: str, workers: Workforce) -> ToolEnv:
    """A copy of an environment whose turns are taken by workers, with no episode begun.

    Questions are asked, episodes begun and snapshots taken here; tools, rewards and gates work there, and the audit is
    told here. Results are those of the environment itself.

    Args:
        env: the environment.
        name: its name at the workers.
        workers: take the turns; made of what `env_order` returned.
    """
    kind = type(f"Outposted{type(env).__name__}", (_TurnsElsewhere, type(env)), {"__module__": __name__})
    other: Any = object.__new__(kind)
    other.__dict__.update(env.__dict__)
    other._name, other._workers, other._seats = name, workers, _Recent(_STATES * workers.seats)
    other._state = None
    return other  # type: ignore[no-any-return]


def _unaudited(env: ToolEnv) -> ToolEnv:
    other = env._with_rules(replace(env.rules, audit=None))
    other._executor = replace(env._executor, audit=None)
    other._state = None
    return other


def _transition(after: EpisodeState) -> Transition:
    ended = after.stop is not None
    terminated = after.stop in (StopReason.ANSWERED, StopReason.NO_ANSWER)
    return Transition(
        state=after,
        observation=() if ended else after.turns[-1].observation,
        reward=after.reward if ended else 0.0,
        terminated=terminated,
        truncated=ended and not terminated,
    )
