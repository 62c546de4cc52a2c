"""Defines `Difficulty`, a knob of VisualZoom that decides others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from axpo_envs.errors import EnvConfigError

_SIGN_IN_VIEW: Final = 4.0
_CHARACTER_SIZE: Final = 0.4
_CHARACTER_OFFSET: Final = 0.2


class Difficulty(StrEnum):
    """How well the view hides the characters."""

    DEFAULT = "default"
    """As the other knobs say."""
    CLOSED = "closed"
    """So that no network reads them in the view: `sign_size`, `character_size` and `character_offset` are decided, and
    `guess_rate` is that of any character unless it is given."""

    def decides(self, given: Mapping[str, Any], *, view_size: int, characters: str) -> dict[str, Any]:
        """The knobs that follow from it.

        Args:
            given: the knobs that were given by name.
            view_size: side of the view in pixels.
            characters: what may be written on a sign.

        Raises:
            EnvConfigError: one that was given is decided to be something else.
        """
        if self is Difficulty.DEFAULT:
            return {}
        decided = {
            "sign_size": _SIGN_IN_VIEW / view_size,
            "character_size": _CHARACTER_SIZE,
            "character_offset": _CHARACTER_OFFSET,
        }
        for name, value in decided.items():
            if given.get(name, value) != value:
                raise EnvConfigError(f"{name}: difficulty={self.value!r} makes it {value:.4g}; got {given[name]!r}")
        return {**decided, "guess_rate": given.get("guess_rate", 1 / len(characters))}
