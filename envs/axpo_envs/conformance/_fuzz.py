"""Defines `Fuzz`, what policies may write, drawn at random, and `check_fuzz`, which plays it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo_envs.conformance._invariants import Invariant, fail, nothing_raised
from axpo_envs.env import ToolEnv
from axpo_envs.examples import BAD_TURNS, call_turn, example_arguments, odd_arguments
from axpo_envs.observation import to_observation, wrap_results
from axpo_envs.tool.protocol import Tool
from axpo_envs.turn_format.tags import ANSWER_CLOSE, ANSWER_OPEN, CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN
from axpo_envs.types import EpisodeState

FUZZ: Final = 100
"""How much is drawn where nothing else is asked for: enough to find what is broken often, in well under a second."""

_TAGS: Final = (
    *(THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE, ANSWER_OPEN, ANSWER_CLOSE),
    *("\\boxed{", "}", "</tool_response>", "\ud800"),
)
_ALPHABET: Final = "ab 0.-\n\"'\\{}[]<>/\x00\x1fé中🙂"
_NUMBERS: Final = (0, 1, -1, 0.5, 3, 999, 1000, 1001, 10**6, -(10**12), 1e300)
_SIBLINGS: Final = 8
_DEEPEST: Final = 3


class Fuzz:
    """Draws what a policy may write; the same seed draws the same.

    Args:
        tools: what may be called.
        seed: seeds everything.
    """

    def __init__(self, tools: Sequence[Tool], *, seed: int) -> None:
        self._tools = tuple(tools)
        self._random = random.Random(seed)

    def turn(self) -> str:
        """A turn: mostly a call, well or badly made, also answers, tags in any order, noise, and cuts of all these."""
        kind = self._random.random()
        if kind < 0.5 and self._tools:
            turn = self._call()
        elif kind < 0.75:
            turn = "".join(self._piece() for _ in range(self._random.randint(1, 5)))
        elif kind < 0.9:
            turn = f"{ANSWER_OPEN}{self._noise(12)}{ANSWER_CLOSE}"
        else:
            turn = self._random.choice(BAD_TURNS)
        if self._random.random() < 0.1:
            turn = turn[: self._random.randint(0, len(turn))]
        return turn

    def arguments(self, tool: Tool) -> dict[str, Any]:
        """Arguments for a tool: fitting ones with some values changed, one of them odd, or any object at all."""
        schema: Mapping[str, Any] = tool.parameters
        given = example_arguments(schema, variant=self._random.randint(0, 9))
        kind = self._random.random()
        if kind < 0.4:
            return {name: self._changed(value) for name, value in given.items()}
        if kind < 0.7:
            return self._random.choice(odd_arguments(schema, given))
        if kind < 0.9:
            known = [*schema.get("properties", {}), self._noise(4)]
            return {self._random.choice(known): self._value(0) for _ in range(self._random.randint(0, 4))}
        return given

    def chance(self, share: float) -> bool:
        """True for that share of draws."""
        return self._random.random() < share

    def pick(self, number: int) -> int:
        """One of so many numbers from 0."""
        return self._random.randrange(number)

    def _piece(self) -> str:
        kind = self._random.random()
        if kind < 0.3 and self._tools:
            return self._call()
        return self._random.choice(_TAGS) if kind < 0.7 else self._noise(20)

    def _call(self) -> str:
        tool = self._random.choice(self._tools)
        name = tool.name if self._random.random() < 0.95 else self._noise(6)
        return call_turn(name, self.arguments(tool))

    def _changed(self, value: Any) -> Any:
        """A value of the same type, most of the time."""
        if isinstance(value, list):
            return [self._changed(item) for item in value]
        if isinstance(value, bool) or value is None or self._random.random() < 0.2:
            return self._value(0)
        if isinstance(value, int | float):
            return self._random.choice([*_NUMBERS, self._random.randint(0, 1000)])
        return self._noise(16) if isinstance(value, str) else value

    def _value(self, depth: int) -> Any:
        kind = self._random.randint(0, 5 if depth < _DEEPEST else 3)
        if kind == 4:
            return [self._value(depth + 1) for _ in range(self._random.randint(0, 4))]
        if kind == 5:
            return {self._noise(4): self._value(depth + 1) for _ in range(self._random.randint(0, 3))}
        scalars = (None, True, self._random.choice(_NUMBERS), self._noise(16))
        return scalars[kind]

    def _noise(self, longest: int) -> str:
        return "".join(self._random.choice(_ALPHABET) for _ in range(self._random.randint(0, longest)))


def check_fuzz(env: ToolEnv, *, actions: int, seed: int) -> None:
    """Plays turns drawn at random in siblings of one episode, and some of them once more from where they began.

    Args:
        env: the environment; it is reset.
        actions: how many turns.
        seed: seeds the episode and the turns.

    Raises:
        ConformanceError: a turn raises, leads outside the observation space, or elsewhere than it did before other
            siblings took theirs.
    """
    fuzz = Fuzz(env.tools, seed=seed)
    env.reset(seed=seed)
    opening = env.state
    siblings = [opening] * _SIBLINGS
    kept: list[tuple[EpisodeState, str, bool, str]] = []
    for number in range(actions):
        place, turn, cut_off = fuzz.pick(_SIBLINGS), fuzz.turn(), fuzz.chance(0.03)
        before = siblings[place]
        with nothing_raised(Invariant.BAD_OUTPUT_IS_DATA, f"The turn {turn[:200]!r} (drawn as number {number})"):
            transition = env.advance(before, turn, cut_off=cut_off)
            observation = to_observation(wrap_results(transition.observation))
        if observation not in env.observation_space:
            fail(Invariant.IN_SPACE, f"The turn {turn[:200]!r} (drawn as number {number}) led to {observation!r:.500}.")
        if fuzz.chance(0.1):
            kept.append((before, turn, cut_off, transition.state.digest))
        # An ended sibling begins where another stands, or anew.
        after = transition.state
        if after.stop is not None:
            after = siblings[fuzz.pick(_SIBLINGS)] if fuzz.chance(0.5) else opening
        siblings[place] = after
    for before, turn, cut_off, digest in reversed(kept):
        if (again := env.advance(before, turn, cut_off=cut_off).state.digest) != digest:
            fail(
                Invariant.BRANCHES_APART,
                f"After {len(before.turns)} turns {turn[:200]!r} led to {digest}; after siblings' turns, to {again}.",
            )
