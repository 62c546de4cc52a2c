import itertools
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import pytest

from axpo_envs import CallOutcome, EpisodeState, ImageRef, Question, Snapshot, ToolEnv, Transition
from axpo_envs.conformance._fuzz import Fuzz
from axpo_envs.examples import call_turn, example_arguments, example_turns
from axpo_envs.testing import ConformanceError, Invariant, check_tool, check_tool_env
from axpo_envs.tools import Effects, ToolContext, ToolError, ToolResult, tool
from axpo_envs.types import Parts

MakeEnv = Callable[..., ToolEnv]


class Keeper:
    """A well-behaved tool that keeps the numbers it was given; what is broken derives from it."""

    name = "keep"
    description = "Keeps numbers."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    effects = Effects.STATEFUL
    timeout_s = None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return reference.validate(arguments)

    def initial_state(self, question: Question) -> Any:
        return ()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        kept = (*state, arguments["n"])
        return ToolResult(content=(str(kept),)), kept


@tool
def reference(n: int) -> int:
    """Has the arguments of `Keeper`."""
    return n


@dataclass(frozen=True)
class Kept:
    numbers: tuple[int, ...]


class Mutating(Keeper):
    """Gets around its state's being frozen."""

    def initial_state(self, question: Question) -> Any:
        return Kept(())

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        object.__setattr__(state, "numbers", (*state.numbers, arguments["n"]))
        return ToolResult(content=("kept",)), state


class Growing(Keeper):
    """Makes a list of its tuple."""

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        return ToolResult(content=("kept",)), [*state, arguments["n"]]


class Counting(Keeper):
    """Keeps a counter of its own."""

    def __init__(self) -> None:
        self.calls = itertools.count()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        return ToolResult(content=(str(next(self.calls)),)), state


class Gossiping(Keeper):
    """Tells which numbers any branch has kept: the same however often one is repeated."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        self.seen.add(arguments["n"])
        return ToolResult(content=(str(sorted(self.seen)),)), state


class Locked(Keeper):
    def initial_state(self, question: Question) -> Any:
        return threading.Lock()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        return ToolResult(content=("kept",)), state


class Estranged(Locked):
    """Its state equals nothing, not even its copy."""

    def initial_state(self, question: Question) -> Any:
        return float("nan")


class Trusting(Keeper):
    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"n": arguments["n"] + 0}


class Lenient(Keeper):
    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"n": arguments.get("n", 0)}


class Rude(Keeper):
    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if type(arguments.get("n")) is not int:
            raise ToolError("no")
        return arguments


class Pretending(Keeper):
    effects = Effects.PURE


class Nameless(Keeper):
    description = ""


class Schemaless(Keeper):
    parameters: Mapping[str, Any] = {}


class Failing(Keeper):
    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        raise ZeroDivisionError("oops")


class Wordy(Keeper):
    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[Any, Any]:
        return "kept", state


class Rooted(Keeper):
    """Holds what cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Forgetting(Keeper):
    """Leaves at home what it was made with."""

    def __init__(self) -> None:
        self.word = "kept"

    def __getstate__(self) -> dict[str, Any]:
        return {"word": "lost"}

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        return ToolResult(content=(self.word,)), state


class Brittle(Keeper):
    """Fails where nobody looks first."""

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        return ToolResult(content=(str(1 // (arguments["n"] - 1000)),)), state


class Refusing(Keeper):
    """Tells the policy no, which is its right."""

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        raise ToolError("no")


class Publishing(Counting):
    """Acts on the world, which takes it only once."""

    effects = Effects.EXTERNAL

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        assert next(self.calls) == 0
        return ToolResult(content=("done",)), state


@pytest.mark.parametrize("made", [Keeper(), reference, Refusing(), Publishing()])
def test_a_sound_tool_passes(made: Any) -> None:
    check_tool(made, arguments={"n": 1})


@pytest.mark.parametrize(
    ("made", "invariant"),
    [
        (Nameless(), Invariant.TOOL_DESCRIBES),
        (Schemaless(), Invariant.TOOL_DESCRIBES),
        (Pretending(), Invariant.TOOL_DECLARES),
        (Failing(), Invariant.TOOL_RUNS),
        (Wordy(), Invariant.TOOL_RUNS),
        (Mutating(), Invariant.TOOL_STATE_STAYS),
        (Locked(), Invariant.TOOL_STATE_IS_DATA),
        (Growing(), Invariant.TOOL_STATE_IS_DATA),
        (Estranged(), Invariant.TOOL_STATE_TRAVELS),
        (Counting(), Invariant.TOOL_REPEATS),
        (Trusting(), Invariant.TOOL_REFUSES),
        (Lenient(), Invariant.TOOL_REFUSES),
        (Rude(), Invariant.TOOL_REFUSES),
        (Rooted(), Invariant.TOOL_TRAVELS),
        (Forgetting(), Invariant.TOOL_TRAVELS),
        (Brittle(), Invariant.TOOL_RUNS),
    ],
)
def test_a_broken_tool_is_caught_by_its_invariant(made: Any, invariant: Invariant) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_tool(made, arguments={"n": 1})
    assert caught.value.invariant is invariant
    assert str(caught.value).startswith(invariant.value)


def test_more_is_drawn_where_more_is_asked_for(make_env: MakeEnv) -> None:
    @tool
    def count(n: int) -> str:
        """Counts."""
        asked.append(n)
        return "counted"

    asked: list[int] = []
    for fuzz in (0, 1000):
        asked.clear()
        check_tool(count, arguments={"n": 1}, fuzz=fuzz)
    assert len(asked) > 200
    assert {-1, 0, 1, 10**6} <= set(asked)
    check_tool_env(make_env, seeds=(0,), fuzz=1000)


def test_what_is_drawn_is_drawn_again_from_the_same_seed_and_holds_every_kind(make_env: MakeEnv) -> None:
    tools = make_env().tools
    one, again, other = (Fuzz(tools, seed=seed) for seed in (1, 1, 2))
    drawn = [one.turn() for _ in range(500)]
    assert drawn == [again.turn() for _ in range(500)]
    assert drawn != [other.turn() for _ in range(500)]
    outcomes = {
        call.outcome for turn in drawn for call in make_env().advance(opening(make_env()), turn).state.turns[-1].calls
    }
    assert outcomes == {*CallOutcome} - {CallOutcome.WITHHELD, CallOutcome.OVER_LIMIT}


def opening(env: ToolEnv) -> EpisodeState:
    return env.begin(env.questions.question(0))


def test_example_arguments_that_do_not_fit_are_reported() -> None:
    with pytest.raises(ConformanceError, match="n is missing"):
        check_tool(reference, arguments={})


def test_a_sound_environment_passes_as_itself_wrapped_and_from_a_factory(make_env: MakeEnv) -> None:
    check_tool_env(make_env())
    check_tool_env(make_env)
    check_tool_env(make_env, actions=[call_turn("crop", {"size": 2}), "<answer>5</answer>"], seeds=[4])


def test_what_is_no_tool_environment_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="expected a ToolEnv; got CartPoleEnv"):
        check_tool_env(lambda: gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("made", "invariant"),
    [
        (Counting(), Invariant.ADVANCE_REPEATS),
        (Gossiping(), Invariant.BRANCHES_APART),
        (Failing(), Invariant.BAD_OUTPUT_IS_DATA),
        (Trusting(), Invariant.BAD_OUTPUT_IS_DATA),
        (Locked(), Invariant.RESET_REPEATS),
        (Growing(), Invariant.BAD_OUTPUT_IS_DATA),
        (Estranged(), Invariant.SNAPSHOT_TRAVELS),
        (Mutating(), Invariant.SNAPSHOT_STAYS),
        (Brittle(), Invariant.BAD_OUTPUT_IS_DATA),
    ],
)
def test_an_environment_with_a_broken_tool_is_caught(make_env: MakeEnv, made: Any, invariant: Invariant) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_tool_env(make_env(tools=(made,)))
    assert caught.value.invariant is invariant


class Unseeded(ToolEnv):
    """Begins the next episode whatever the seed: two in a row always differ."""

    begun = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.begun += 1
        return super().reset(seed=seed, options={"index": self.begun % 3})


class Outside(ToolEnv):
    """Shows a list of images."""

    def step(self, action: str) -> Any:
        observation, *rest = super().step(action)
        return {**observation, "images": list(observation["images"])}, *rest


class Forgetful(ToolEnv):
    """Restores nothing."""

    def restore(self, snapshot: Snapshot) -> None:
        self._state = self.state if self.state.stop is None else snapshot.state


class Credulous(ToolEnv):
    """Restores anything."""

    def restore(self, snapshot: Snapshot) -> None:
        self._state = snapshot.state


class Endless(ToolEnv):
    """Takes turns after the end."""

    def step(self, action: str) -> Any:
        if self.state.stop is not None:
            return self.observe(self.state), 0.0, True, False, {}
        return super().step(action)


class Fragile(ToolEnv):
    """Cannot read some turns."""

    def advance(self, state: EpisodeState, text: str, *, cut_off: bool = False) -> Transition:
        text.encode()
        return super().advance(state, text, cut_off=cut_off)


class Shrinking(ToolEnv):
    """Shows images at half the size that tools are told."""

    def opening(self, state: EpisodeState) -> Parts:
        return tuple(
            ImageRef(part.pixels[::2, ::2].copy()) if isinstance(part, ImageRef) else part
            for part in super().opening(state)
        )


class Copying(ToolEnv):
    """Copies all that there is into every snapshot."""

    def snapshot_of(self, state: EpisodeState) -> Snapshot:
        return super().snapshot_of(pickle.loads(pickle.dumps(state)))


class Talkative(ToolEnv):
    """Warns as it is reset."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if options == {}:
            warnings.warn("careful", stacklevel=1)
        return super().reset(seed=seed, options=options)


class Settled(ToolEnv):
    """Holds what cannot be pickled."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.lock = threading.Lock()
        return super().reset(seed=seed, options=options)


class Homesick(ToolEnv):
    """Begins other episodes in other processes."""

    def begin(self, question: Question, *, seed: int = 0) -> EpisodeState:
        self.home = getattr(self, "home", os.getpid())
        return super().begin(question, seed=seed + (self.home != os.getpid()))


class Shifting(ToolEnv):
    """Snapshots a state that bytes do not bring back."""

    def snapshot_of(self, state: EpisodeState) -> Snapshot:
        return replace(super().snapshot_of(state), state=replace(state, tool_states=(("odd", float("nan")),)))


@pytest.mark.parametrize(
    ("kind", "invariant"),
    [
        (Unseeded, Invariant.RESET_REPEATS),
        (Outside, Invariant.IN_SPACE),
        (Forgetful, Invariant.RESTORE_REPLAYS),
        (Credulous, Invariant.FOREIGN_REFUSED),
        (Endless, Invariant.SPENT_REFUSES),
        (Fragile, Invariant.BAD_OUTPUT_IS_DATA),
        (Shrinking, Invariant.SIZES_AS_SHOWN),
        (Talkative, Invariant.GYMNASIUM),
        (Shifting, Invariant.SNAPSHOT_TRAVELS),
        (Copying, Invariant.SNAPSHOT_CHEAP),
        (Settled, Invariant.ENV_TRAVELS),
        (Homesick, Invariant.ENV_TRAVELS),
    ],
)
def test_a_broken_environment_is_caught_by_its_invariant(
    make_env: MakeEnv, kind: type[ToolEnv], invariant: Invariant
) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_tool_env(kind(make_env().rules))
    assert caught.value.invariant is invariant


def test_every_invariant_is_a_sentence_and_has_its_culprit_here() -> None:
    assert all(invariant.value.endswith(".") for invariant in Invariant)
    tests: list[Any] = [
        test_a_broken_tool_is_caught_by_its_invariant,
        test_an_environment_with_a_broken_tool_is_caught,
        test_a_broken_environment_is_caught_by_its_invariant,
    ]
    caught = {invariant for test in tests for mark in test.pytestmark for _, invariant in mark.args[1]}
    assert caught == set(Invariant)


def test_example_arguments_fit_the_schemas_they_are_made_after() -> None:
    @tool
    def take(box: tuple[int, int, int, int], names: list[str], kind: bool, size: float | None, extra: int = 0) -> str:
        """Takes."""
        return ""

    first, second = (example_arguments(take.parameters, variant=variant) for variant in (0, 1))
    assert first == {"box": [0, 1, 2, 3], "names": ["a"], "kind": False, "size": 0}
    assert second == {"box": [1, 2, 3, 4], "names": ["b"], "kind": True, "size": 1}
    take.validate(first)
    take.validate(second)
    assert example_turns([take])[1:] == ("<answer>0</answer>",)
