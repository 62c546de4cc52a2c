"""Defines the colours of pages and charts by role, on a light and on a dark ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Final

from axpo.algorithm.methods import colour_of

LIGHT: Final[Mapping[str, str]] = {
    "ink": "#1f2430",
    "line": "#d5d9e2",
    "start": "#7d8597",
    "grpo": "#c2570c",
    "axpo": "#1767c9",
    "extra1": "#0d7a5f",
    "extra2": "#8a3ffc",
    "extra3": "#a8326e",
    "extra4": "#7a6a00",
}
"""Colours by role on a light ground; also the names of the CSS variables that charts within a page refer to."""

DARK: Final[Mapping[str, str]] = {
    "ink": "#e6e9f0",
    "line": "#333a4a",
    "start": "#98a1b5",
    "grpo": "#f59a52",
    "axpo": "#6cb0ff",
    "extra1": "#4fd1ae",
    "extra2": "#b899ff",
    "extra3": "#f08fc0",
    "extra4": "#d8c655",
}
"""The same roles on a dark ground."""


def roles(names: Sequence[str]) -> tuple[str, ...]:
    """The methods' colours: their own where they have one, the extra ones in turn for the others."""
    extra = cycle(role for role in LIGHT if role.startswith("extra"))
    own = ((name, colour_of(name)) for name in names)
    return tuple(colour if colour is not None and colour in LIGHT else next(extra) for _, colour in own)
