"""Defines `ToolEnvSpec`, everything that a `ToolEnv` is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.gate import Audit, CallLog, Gate
from axpo_envs.images import ImageRef
from axpo_envs.imaging._decoding import WHITE, Colour
from axpo_envs.parsing import AnswerFormat
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.rewards.reward import Reward
from axpo_envs.tool.protocol import FingerprintedTool, Tool, check_views


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnvSpec:
    """What a `ToolEnv` is made of.

    Raises:
        EnvConfigError: a limit is out of range, or a tool was made for another view.
    """

    env_id: str
    """Name that snapshots carry, usually the Gymnasium id."""
    questions: QuestionSource
    """Where questions come from."""
    tools: tuple[Tool, ...]
    """The tools, in the order shown."""
    reward: Reward
    """Scores the end of an episode."""
    instructions: str = ""
    """How to act and answer; a chat policy reads it as its system message, Gymnasium users before the question."""
    max_turns: int = 3
    """Turns that may call tools; one more turn remains to answer."""
    max_calls_per_turn: int = 4
    """Calls executed per turn; further ones are recorded as `OVER_LIMIT`."""
    gate: Gate | None = None
    """Decides about every call that is ready to run: permissions, dry runs; None lets every one run. It is no part of
    the fingerprint: name in `settings` what must be equal where a snapshot is restored."""
    audit: Audit | None = None
    """Is told of every attempted call and what became of it."""
    log: CallLog | None = None
    """Records every decision, and before a call runs: what cannot be recorded need not be made."""
    answers: AnswerFormat = AnswerFormat.EITHER
    """Where a turn's answer stands."""
    view_size: int | None = None
    """Longer side in pixels to which the policy's view of a question's larger images is reduced; None shows them as
    they are."""
    result_view_size: int | None = None
    """The same for images that tools return."""
    view: Callable[[ImageRef], ImageRef] | None = None
    """A view of your own of a question's images, instead of `view_size`."""
    background: Colour = WHITE
    """What transparent images of tools are laid on."""
    image_caption: str = ""
    """What stands, on a line of its own, before every image that a tool returns; `{index}` in it is the image's number,
    by which tools know it: those of the question come first, from 0. Nothing stands there where it is empty."""
    settings: tuple[tuple[str, str | float | bool | None], ...] = ()
    """Named settings that change what happens unseen by the other fields (a view's size, say): a snapshot is
    restored only where they are equal."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "instructions", well_formed(self.instructions))
        for name, least in (("max_turns", 0), ("max_calls_per_turn", 1)):
            if getattr(self, name) < least:
                raise EnvConfigError(f"{self.env_id}: expected {name} >= {least}; got {getattr(self, name)}")
        for name in ("view_size", "result_view_size"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise EnvConfigError(f"{self.env_id}: expected {name} >= 1 pixel, or None; got {size}")
        if self.view is not None and self.view_size is not None:
            raise EnvConfigError(f"{self.env_id}: expected view or view_size; got both")
        check_views(self.tools, self.view_size)

    @property
    def fingerprint(self) -> str:
        """Hash of the rules: tools, instructions, limits and settings. Questions have their own."""
        tools = tuple(_identity(tool) for tool in self.tools)
        limits = (self.max_turns, self.max_calls_per_turn, self.answers.value)
        caption = (self.image_caption,) if self.image_caption else ()
        showing = (self.view_size, self.result_view_size, self.background, *caption)
        return digest_of(tools, self.instructions, limits, self.settings, showing)


def _identity(tool: Tool) -> tuple[str, ...]:
    schema = json.dumps(tool.parameters, sort_keys=True, default=repr)
    own = (tool.fingerprint,) if isinstance(tool, FingerprintedTool) else ()
    return tool.name, tool.description, schema, *own
