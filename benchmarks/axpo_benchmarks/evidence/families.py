"""Defines `Family`, an environment with a start and the settings of training on it, and the families there are.

A family's settings are fixed here before its seeds are run; nothing in this room chooses a
setting by held-out questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from axpo.compare.comparison import EMBEDDED
from axpo.settings.config import ConfigError, SamplingConfig, TrainConfig
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

MULTI_HOP_SEARCH: Final = Family(
    name="multi-hop-search",
    label="MultiHopSearch, guessing succeeds on 80 %",
    base=TrainConfig(
        env="axpo/MultiHopSearch-v0",
        env_args=(
            "documents=brief",
            "corpus_size=1600",
            "hops=2",
            "kinds=bridge",
            "top_k=1",
            'answers=["currency", "continent", "quadrant"]',
            "guess_rate=0.8",
        ),
        model="tiny-search",
        sampling=SamplingConfig(max_turn_tokens=32, max_episode_tokens=320),
    ),
)
"""Two documents, of which the first tells what to look up in the second; its start searches for wrong things, too."""

PYTHON_REASONING: Final = Family(
    name="python-reasoning",
    label="PythonReasoning, guessing succeeds on 80 %",
    base=TrainConfig(
        env="axpo/PythonReasoning-v0",
        env_args=("source=written", "python=expressions", "guess_rate=0.8"),
        model="tiny-python",
        sampling=SamplingConfig(max_turn_tokens=32, max_episode_tokens=200),
    ),
)
"""Sums in words that an expression computes; its start writes wrong ones more often than right ones."""

FAMILIES: Final = (VISUAL_ZOOM, MULTI_HOP_SEARCH, PYTHON_REASONING)
"""The families, in the order in which their cells are run."""


def _desk(denials: str, told: str) -> Family:
    return Family(
        name=f"desk-{denials}",
        label=f"Desk, {told}",
        base=TrainConfig(
            env="axpo/Desk-v0",
            env_args=("desk=brief", "guess_rate=0.6", f"denials={denials}"),
            model="tiny-desk",
            sampling=SamplingConfig(max_turn_tokens=32, max_episode_tokens=200),
        ),
    )


DESK_FAMILIES: Final = (
    _desk("hidden", "forbidden calls are denied unseen"),
    _desk("visible", "denials are read"),
    _desk("costly", "denials are read and cost reward"),
)
"""Desk, where acting is needed, optional or forbidden, by what becomes of forbidden calls; run where they are named."""


def family_named(name: str) -> Family:
    """The family of a name.

    Raises:
        ConfigError: there is none.
    """
    everything = (*FAMILIES, *DESK_FAMILIES)
    for family in everything:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in everything)
    raise ConfigError(f"families: expected some of {known}; got {name!r}")
