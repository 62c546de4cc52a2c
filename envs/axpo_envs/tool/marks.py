"""Defines `MarkingTool`, a tool that says how its calls are drawn, and `Mark`: a region that a call asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from axpo_envs.images import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An image of an episode, as a call may refer to it."""

    original: Size
    """Its size in pixels."""
    shown: Size
    """The size at which the policy saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A region of an image, in its original pixels."""

    image: int
    """Which image: those of the question come first, then those that tools returned, in order."""
    left: float
    """Left edge."""
    top: float
    """Top edge."""
    width: float
    """From left to right edge; 0 for a point."""
    height: float
    """From top to bottom edge; 0 for a point."""
    label: str = ""
    """What stands beside it; by default the number of the call."""


@runtime_checkable
class MarkingTool(Protocol):
    """A tool whose calls refer to regions of images."""

    def marks(self, arguments: Mapping[str, Any], images: Sequence[Seen]) -> Sequence[Mark]:
        """The regions of a call that was executed.

        Args:
            arguments: the call's, as written: checked by nobody.
            images: the episode's so far.

        Raises:
            ToolError, ValueError, TypeError, LookupError: the arguments name no region; nothing is drawn.
        """
        ...
