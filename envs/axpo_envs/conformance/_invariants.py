"""Defines the invariants that the conformance kit checks, as sentences, and the error of a broken one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, NoReturn

from axpo_envs.errors import InfrastructureFault


class Invariant(StrEnum):
    """What every environment and every tool keeps; the value is the sentence a failure begins with."""

    RESET_REPEATS = "Resetting with the same seed begins the same episode."
    """Question, observation and digest are equal."""
    ADVANCE_REPEATS = "The same turn after the same state leads to the same transition."
    """Nothing outside the state decides what happens; only execution times differ."""
    IN_SPACE = "Every observation lies in the observation space."
    """So that vector environments can carry it."""
    SIZES_AS_SHOWN = "Tools are told of every image at which size the policy was shown it."
    """Boxes in pixels of the image as shown are cut where the policy saw them."""
    SNAPSHOT_STAYS = "A snapshot does not change while the episode goes on."
    """States are immutable, those of tools included."""
    SNAPSHOT_CHEAP = "A snapshot costs the same whatever the images' size and the history's length."
    """Time and memory of taking and restoring one: a snapshot refers to the state, it copies nothing."""
    RESTORE_REPLAYS = "After a restore the same turns give the same observations, rewards and digests."
    """Rewinding is exact."""
    BRANCHES_APART = "A branch does not see what its siblings do."
    """Also where they take turns alternately."""
    SNAPSHOT_TRAVELS = "A snapshot read back from its bytes equals it and goes on like it."
    """Also in another environment object made alike."""
    FOREIGN_REFUSED = "A snapshot of another environment, schema version or question source is refused."
    """With a SnapshotError, and the current episode stays."""
    BAD_OUTPUT_IS_DATA = "No text that a policy writes raises."
    """It leads to an observation or to the end of the episode."""
    SPENT_REFUSES = "An episode that has ended refuses further turns."
    """With Gymnasium's ResetNeeded."""
    ENV_TRAVELS = "An environment survives pickling, and its copy plays the same episodes, in another process, too."
    """By cloudpickle, as vector environments and schedulers of jobs do it: lambdas and closures may be in it."""
    GYMNASIUM = "Gymnasium's check_env passes without warnings."
    """What it said follows."""
    TOOL_DESCRIBES = "A tool has a name, a description and the JSON schema of an object."
    """Policies know it by nothing else."""
    TOOL_RUNS = "A tool takes the example arguments, and executes whatever it takes."
    """With a result of tool protocol's types, or a ToolError."""
    TOOL_REFUSES = "Arguments that do not fit raise ToolArgumentError, and nothing else is raised by any arguments."
    """Policies write anything; a missing required argument never fits."""
    TOOL_REPEATS = "A tool gives equal results and states for equal calls, states and contexts."
    """Unless its effects are external; such a tool is called once."""
    TOOL_STATE_IS_DATA = "A tool's state is immutable, picklable data."
    """Numbers, text, bytes, None, images, and tuples, frozensets and frozen dataclasses of them."""
    TOOL_STATE_STAYS = "A step leaves the state that it was given unchanged."
    """Sibling branches start from it, too."""
    TOOL_STATE_TRAVELS = "A tool's state survives pickling and equals its copy."
    """Snapshots go to other processes."""
    TOOL_TRAVELS = "A tool survives pickling, and its copy gives the same results, in another process, too."
    """By cloudpickle; tools with external effects are pickled and not called again."""
    TOOL_DECLARES = "A tool that keeps a state does not declare itself pure."
    """Its effects are stateful or external."""


class ConformanceError(AssertionError):
    """An environment or a tool breaks an invariant."""

    def __init__(self, invariant: Invariant, detail: str) -> None:
        super().__init__(f"{invariant.value} {detail}")
        self.invariant: Final = invariant
        """The broken one."""


def fail(invariant: Invariant, detail: str) -> NoReturn:
    """Raises the error of a broken invariant."""
    raise ConformanceError(invariant, detail)


@contextmanager
def nothing_raised(invariant: Invariant, where: str) -> Iterator[None]:
    """Turns any exception within into a broken invariant, infrastructure faults aside."""
    try:
        yield
    except (ConformanceError, InfrastructureFault):
        raise
    except Exception as error:
        raise ConformanceError(invariant, f"{where} raised {type(error).__name__}: {error}") from error


def travelled(invariant: Invariant, value: Any) -> Any:
    """A pickled and unpickled copy, equal to the original."""
    with nothing_raised(invariant, "Pickling"):
        copy = pickle.loads(pickle.dumps(value))
    if copy != value:
        fail(invariant, f"The copy {copy!r} differs from {value!r}.")
    return copy
