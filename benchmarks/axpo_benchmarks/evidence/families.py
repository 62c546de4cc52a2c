"""Defines `Family`, an environment with a start and the settings of training on it, and the families there are.

A family's settings are fixed here before its seeds are run; nothing in this room chooses a
setting by held-out questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo.compare.comparison import EMBEDDED
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.values import Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An environment, the policy that training starts from, and how it is trained."""

    name: Name
    """How it is asked for, and the folder of its rows."""
    label: Name
    """What people read."""
    base: TrainConfig
    """Environment, its arguments, the start, and every setting of training; method, seed, steps, `out` and `log` are
    decided by the cell."""
    point: tuple[tuple[str, float], ...] = ()
    """Where in a phase diagram it lies, by name; empty for what is in none."""


VISUAL_ZOOM: Final = Family(
    name="visual-zoom",
    label="VisualZoom, guessing succeeds on 70 %",
    base=EMBEDDED,
)
"""The main job: signs that are too small in the view, the embedded start."""

FAMILIES: Final = (VISUAL_ZOOM,)
"""The families, in the order in which their cells are run."""


def family_named(name: str) -> Family:
    """The family of a name.

    Raises:
        ConfigError: there is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise ConfigError(f"families: expected some of {known}; got {name!r}")
