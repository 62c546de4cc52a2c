"""Defines the tool protocol: a pure step from (arguments, state) to (result, new state), and what a tool declares.

The step of one tool may run in several threads at a time, for calls of different episodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable

from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging._decoding import WHITE, Colour
from axpo_envs.types import Question, ToolResult


class Effects(StrEnum):
    """What executing a call does beyond returning a result."""

    PURE = "pure"
    """Nothing: the result depends on arguments and question alone."""
    STATEFUL = "stateful"
    """It changes the tool's own state, which is immutable data from which any live resource can be rebuilt."""
    EXTERNAL = "external"
    """It acts on the outside world; it is executed exactly once per call that a policy made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may know of the episode it is called in."""

    question: Question
    """The question, with its images at their original size. Tools shown to a policy must not leak the answer."""
    images: tuple[ImageRef, ...]
    """Every image of the episode so far, at original size: those of the prompt, then those of tool results."""
    seed: int
    """Seed of this call: a function of the episode's seed and the number of calls before it."""
    shown: tuple[Size, ...] = ()
    """The sizes at which the policy was shown these images; where none are given, they were shown as they are."""
    view_size: int | None = None
    """Longer side in pixels at which the environment shows a question's larger images; None for as they are."""
    background: Colour = WHITE
    """What transparent images are laid on."""

    def __post_init__(self) -> None:
        if not self.shown:
            object.__setattr__(self, "shown", tuple(image.size for image in self.images))
        if len(self.shown) != len(self.images):
            raise ValueError(f"expected a shown size for each of {len(self.images)} images; got {len(self.shown)}")


@runtime_checkable
class Tool(Protocol):
    """A tool as the environment sees it.

    `@tool` makes one of a typed function; a class with these members is one, too.
    """

    @property
    def name(self) -> str:
        """The name a policy calls it by."""
        ...

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments (an object schema)."""
        ...

    @property
    def effects(self) -> Effects:
        """What executing it does."""
        ...

    @property
    def timeout_s(self) -> float | None:
        """Seconds after which a call is stopped; None for no limit, or where the tool keeps one by itself.

        An `AsyncTool` is cancelled at its limit. Any other tool with a limit runs in a worker process that is killed
        (`axpo_envs.engine.workers`): what it refers to must be picklable, and what it changes there stays there.
        """
        ...

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments, checked and converted.

        Raises:
            ToolArgumentError: they do not fit; the message says what was expected, and is shown to the policy.
            ToolTimeout: to check them would take longer than a call may.
        """
        ...

    def initial_state(self, question: Question) -> Any:
        """The state at the start of an episode: immutable and picklable; None for a tool that keeps none."""
        ...

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Executes one validated call; returns its result and the new state.

        Raises:
            ToolError: the call failed for a reason the policy should read.
            InfrastructureFault: the machinery failed; the episode is not scored.
        """
        ...


@runtime_checkable
class AsyncTool(Tool, Protocol):
    """A tool that waits more than it computes: environments await it, any number at a time, on one event loop.

    Its `step` is the same for callers that block. Every `step_async` runs on the loop of
    `axpo_envs.engine._event_loop`, so clients and sessions that belong to a loop may be kept from call to call.
    """

    async def step_async(
        self, arguments: Mapping[str, Any], state: Any, context: ToolContext
    ) -> tuple[ToolResult, Any]:
        """As `step`; at the tool's time limit it is cancelled."""
        ...


@runtime_checkable
class FingerprintedTool(Tool, Protocol):
    """A tool whose results depend on more than name, description and schema tell: on a corpus, say."""

    @property
    def fingerprint(self) -> str:
        """Identifies what they depend on: a snapshot is restored only where it is equal. Holds no secret."""
        ...


@runtime_checkable
class ViewingTool(Tool, Protocol):
    """A tool that depends on the size at which its environment shows images."""

    def check_view(self, view_size: int | None) -> None:
        """Holds it to an environment's view size, None for images shown as they are.

        Raises:
            EnvConfigError: it was made for another.
        """
        ...


def check_views(tools: Iterable[Tool], view_size: int | None) -> None:
    """Holds tools to an environment's view size.

    Raises:
        EnvConfigError: one was made for another.
    """
    for tool in tools:
        if isinstance(tool, ViewingTool):
            tool.check_view(view_size)


@runtime_checkable
class PreviewingTool(Tool, Protocol):
    """A tool that can say what a call would change without making it, for dry runs."""

    def preview(self, arguments: Mapping[str, Any], state: Any) -> str:
        """What the validated call would change, in a sentence or a few lines that a policy reads. Changes nothing.

        Raises:
            ToolError: the call would fail; the message says why, as `step` would.
            InfrastructureFault: the machinery failed.
        """
        ...


@runtime_checkable
class RepeatableTool(Tool, Protocol):
    """A tool with external effects that acts on nobody: a search of the web, say."""

    @property
    def repeatable(self) -> bool:
        """Whether a call that an infrastructure fault broke off may be made again."""
        ...


@runtime_checkable
class OneWayTool(Tool, Protocol):
    """A tool that may keep its state where no snapshot reaches: an environment of others in a session, say."""

    @property
    def rewinds(self) -> bool:
        """Whether episodes can be gone on with from any earlier moment all the same."""
        ...


class ToolError(Exception):
    """A tool's way to tell the policy what went wrong; becomes an error observation."""


class ToolTimeout(ToolError):
    """A call ran past its time limit and was stopped; becomes an observation with the status `TIMEOUT`."""

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The call was stopped after that time."""
        return cls(f"the call was stopped after {seconds:g} s, its time limit")


class ToolArgumentError(ToolError):
    """The arguments do not fit the schema; the message says what was expected and what was got."""
