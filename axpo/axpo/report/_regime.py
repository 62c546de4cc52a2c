"""Defines what is said beside the default comparison: that its setting was chosen, and what was measured before."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Final

from pydantic import TypeAdapter

DATA: Final = "regime.json"
"""Measurements around the default setting, packaged beside this module; the page says less where it is missing."""

NOTES: Final = (
    "This setting is chosen, not typical. It was picked so that guesses earn reward sooner than an agent learns where "
    "to look, which can train the calling of the tool away. Whether it did so here is what the table above says.",
    "Equal rollouts are not equal work: a rollout that calls the tool has more tokens to write, read and train on than "
    "one that does not. Rollouts, tokens and seconds stand side by side in the table above for that reason.",
)
"""What a reader of the default comparison has to know, whatever came out; nothing in it is a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimePoint:
    """What one method reached at one strength of guessing."""

    guess_rate: float
    """How often guessing succeeds."""
    method: str
    """The method's label."""
    pass1: float
    """Pass@1 at the end, mean over seeds."""
    sd: float | None
    """Its sample standard deviation over seeds; None for one seed."""
    tool_attempt_rate: float
    """Share of rollouts that call the tool at the end, mean over seeds."""
    seeds: int
    """How many seeds were run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """The notes and the measurements behind them."""

    notes: tuple[str, ...]
    """Paragraphs."""
    points: tuple[RegimePoint, ...]
    """Measurements, weakest guessing first; empty where none are shipped."""


def default_regime() -> Regime:
    """What this version ships about its default setting."""
    data = resources.files("axpo.report") / DATA
    points = TypeAdapter(tuple[RegimePoint, ...]).validate_json(data.read_bytes()) if data.is_file() else ()
    return Regime(notes=NOTES, points=tuple(sorted(points, key=lambda point: (point.guess_rate, point.method))))
