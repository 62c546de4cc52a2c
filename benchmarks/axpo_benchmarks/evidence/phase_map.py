"""Defines the phase diagram: what GRPO does at a point, what AXPO changes, by stated rules; Proposition 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median_high
from typing import Final

from axpo.diagnostics.estimates import pass_at_k
from axpo_benchmarks.evidence.arms import START, arm_named
from axpo_benchmarks.evidence.comparing import Point, values
from axpo_benchmarks.evidence.plan import Planned, missing
from axpo_benchmarks.evidence.rows import Row

PHASE: Final = "phase-lr"
"""What the families of the diagram are called; the learning rate follows, as a multiple of the default."""

COMPARED: Final = ("grpo", "axpo")
"""The arms that the diagram is about."""
COLLAPSED: Final = 0.5
"""GRPO has collapsed where its tool-attempt rate ends below this share of the start's."""
DIPPED: Final = 0.75
"""It is delayed where it ended above that, but was below this share of the start's at a mark on the way."""
MARGIN: Final = 0.05
"""Differences of Pass@1 from here on count, where every seed has their sign."""

STATES: Final = ("no help needed", "delayed", "collapse")
"""What GRPO does, from the best to the worst; of several seeds the median, the worse of two."""
EFFECTS: Final = ("makes the difference", "nothing", "harm")
"""What AXPO changes."""
CONTINUATIONS: Final = 4
"""Of a prefix, in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePoint:
    """A point of the diagram, with what was measured there; None where it was not."""

    guess_rate: float
    """How often guessing may succeed."""
    character_size: float
    """Size of characters."""
    rate: float
    """Learning rate, as a multiple of the default."""
    start: Row | None
    """The row of the start."""
    arms: dict[str, dict[int, Row]]
    """Rows of GRPO and AXPO, by seed."""
    left: int
    """Cells of the point that were not run."""

    @property
    def state(self) -> str | None:
        """What GRPO does there."""
        found = [STATES.index(grpo_state(row)) for row in self.arms.get("grpo", {}).values()]
        return STATES[median_high(found)] if found else None

    @property
    def gains(self) -> tuple[float, ...]:
        """AXPO's Pass@1 less GRPO's, by seed."""
        axpo, grpo = (values(self.arms, Point(arm=arm), "pass1") for arm in ("axpo", "grpo"))
        return tuple(axpo[seed] - grpo[seed] for seed in sorted(axpo.keys() & grpo.keys()))

    @property
    def effect(self) -> str | None:
        """What AXPO changes there."""
        return axpo_effect(self.gains) if self.gains else None

    def rates(self, arm: str, metric: str) -> tuple[float, ...]:
        """What an arm ends with, by seed."""
        return tuple(values(self.arms, Point(arm=arm), metric).values())


def grpo_state(row: Row) -> str:
    """What a run of GRPO did, from its marks; see `COLLAPSED` and `DIPPED`.

    Worked values, of a start at 0.28: an end at 0.10 is a collapse; one at 0.5 behind a mark at 0.20 delayed; one at
    0.5 behind 0.25 needed no help.
    """
    rates = [mark["tool_attempt_rate"] for mark in row["marks"] if mark["tool_attempt_rate"] is not None]
    first, *later = rates
    if later[-1] < COLLAPSED * first:
        return "collapse"
    return "delayed" if min(later) < DIPPED * first else "no help needed"


def axpo_effect(gains: Sequence[float]) -> str:
    """What AXPO changes, from its gains by seed; see `MARGIN`."""
    mean = fmean(gains)
    if mean >= MARGIN and min(gains) > 0:
        return "makes the difference"
    return "harm" if mean <= -MARGIN and max(gains) < 0 else "nothing"


def phase_points(rows: Iterable[Row], planned: Sequence[Planned]) -> tuple[PhasePoint, ...]:
    """The points of a plan, in its order, with their rows."""
    done = {row["cell"]: row for row in rows}
    left = {one.identity for one in missing(planned, done.values())}
    cells: dict[tuple[tuple[str, float], ...], list[Planned]] = {}
    for one in planned:
        cells.setdefault(one.cell.family.point, []).append(one)
    points = []
    for point, found in cells.items():
        arms: dict[str, dict[int, Row]] = {}
        for one in found:
            if one.identity in done:
                arms.setdefault(one.cell.arm, {})[one.cell.seed] = done[one.identity]
        start = arms.pop(START, {}).get(0)
        count = sum(one.identity in left for one in found)
        points.append(PhasePoint(**dict(point), start=start, arms=arms, left=count))
    return tuple(points)


def phase_section(points: Sequence[PhasePoint], *, picture: str) -> str:
    """Markdown: the rules, the picture, every point, Proposition 1, and what was not run."""
    parts = [
        "## Where guessing and acting decide what happens",
        _RULES,
        f"![The phase diagram]({picture})",
        *_tables(points),
        *_others(points),
        *_proposition(points),
    ]
    left = sum(point.left for point in points)
    if left:
        without = sum(point.effect is None for point in points)
        parts.append(f"Not run: {left} cells; {without} of {len(points)} points have no pair of GRPO and AXPO.")
    return "\n\n".join(parts)


_RULES: Final = f"""\
GRPO and AXPO on VisualZoom, from one start. Across: how often guessing may succeed (`guess_rate`). Down: the size of
characters (`character_size`), which moves how often tool-using rollouts of the start succeed and leaves guessing as
it is. GRPO has *collapsed* where its tool-attempt rate on held-out questions ends below {COLLAPSED:g} of the
start's, is *delayed* where it does not but was below {DIPPED:g} of it at a mark on the way, and *needs no help*
otherwise (of several seeds the median). AXPO *makes the difference* where its Pass@1 ends at least {MARGIN:g} above
GRPO's on the mean and above it with every seed, *harms* the other way round, and changes *nothing* otherwise."""


_PROPOSITION: Final = """\
Proposition 1 of the paper: N resamples of a prefix t find a right tool-using rollout with probability 1 - (1 -
p(t))^N, N new rollouts with 1 - (1 - q p_tool)^N. Measured at the start of every point: q and p_tool from 8 rollouts
of each of 200 held-out questions, p(t) from 16 resamples of the first failed tool-using rollout of each question."""


def _tables(points: Sequence[PhasePoint]) -> Iterator[str]:
    for rate in dict.fromkeys(point.rate for point in points):
        here = [point for point in points if point.rate == rate]
        guesses = list(dict.fromkeys(point.guess_rate for point in here))
        lines = [
            f"Learning rate x {rate:g}: GRPO, AXPO, and AXPO's Pass@1 less GRPO's (seeds).",
            "",
            _line("characters", *(f"guessing {guess:g}" for guess in guesses)),
            _line(*["---"] * (len(guesses) + 1)),
        ]
        for size in dict.fromkeys(point.character_size for point in here):
            row = {point.guess_rate: point for point in here if point.character_size == size}
            lines.append(_line(f"{size:g}", *(_cell(row[guess]) for guess in guesses)))
        yield "\n".join(lines)


def _cell(point: PhasePoint) -> str:
    if point.state is None:
        return "not run"
    if point.effect is None:
        return point.state
    return f"{point.state}; {point.effect}: {fmean(point.gains):+.2f} ({len(point.gains)})"


def _others(points: Sequence[PhasePoint]) -> Iterator[str]:
    """What further arms came to, beside GRPO and AXPO, where they were run."""
    arms = [arm for arm in dict.fromkeys(arm for point in points for arm in point.arms) if arm not in COMPARED]
    if not arms:
        return
    shown = (*COMPARED, *arms)
    heads = ("guessing", "characters", "learning rate", *(arm_named(arm).label for arm in shown))
    lines = ["Pass@1 (tool-attempt rate), mean of the seeds that were run:", "", _line(*heads)]
    lines.append(_line(*["---"] * len(heads)))
    for point in points:
        if any(arm in point.arms for arm in arms):
            where = (f"{value:g}" for value in (point.guess_rate, point.character_size, point.rate))
            lines.append(_line(*where, *(_ended(point, arm) for arm in shown)))
    yield "\n".join(lines)


def _ended(point: PhasePoint, arm: str) -> str:
    right, calls = point.rates(arm, "pass1"), point.rates(arm, "tool_attempt_rate")
    return f"{fmean(right):.2f} ({fmean(calls):.2f})" if right and calls else "not run"


def _proposition(points: Sequence[PhasePoint]) -> Iterator[str]:
    """What each point starts with, and whether resampling a prefix finds right calls more often than sampling anew."""
    probed = [point for point in points if point.start is not None and point.start.get("probe")]
    if not probed:
        return
    heads = (
        *("guessing", "characters", "q", "p_tool", "success without a call", "prefixes", "mean p(t)"),
        *("p(t) > q p_tool", "4 resamples find one", "4 new rollouts find one", "recovery in training, steps 1 to 5"),
    )
    lines = [_line(*heads), _line(*["---"] * len(heads))]
    wins = 0
    for point in probed:
        probe = (point.start or {})["probe"]
        found = proposition(probe)
        wins += found["resampled"] > found["anew"]
        lines.append(
            _line(
                f"{point.guess_rate:g}",
                f"{point.character_size:g}",
                *(_share(probe[name]) for name in ("q", "p_tool", "p_no_tool")),
                str(len(probe["right"])),
                *(f"{found[name]:.2f}" for name in ("mean", "above", "resampled", "anew")),
                _recovery(point),
            )
        )
    yield (
        f"{_PROPOSITION} Resampling finds one more often at {wins} of {len(probed)} points. What training then "
        "recovered with 4 continuations stands beside it."
    )
    yield "\n".join(lines)


def proposition(probe: Row) -> dict[str, float]:
    """What a probe says of Proposition 1: the mean of p(t), the share of prefixes above q p_tool, and how often 4
    resamples (without bias, from the resamples of each prefix) and 4 new rollouts find a right one.

    Worked value: 2 prefixes, right 0 and 16 of 16; q p_tool 0.5 x 0.2: 0.5, 0.5, 0.5, and 1 - 0.9^4 = 0.344.
    """
    anew, resamples = probe["q"] * (probe["p_tool"] or 0.0), probe["resamples"]
    shares = [right / resamples for right in probe["right"]]
    if not shares:
        return {"mean": 0.0, "above": 0.0, "resampled": 0.0, "anew": 1 - (1 - anew) ** CONTINUATIONS}
    return {
        "mean": fmean(shares),
        "above": fmean(share > anew for share in shares),
        "resampled": fmean(pass_at_k(resamples, right, CONTINUATIONS) for right in probe["right"]),
        "anew": 1 - (1 - anew) ** CONTINUATIONS,
    }


def _recovery(point: PhasePoint) -> str:
    curves = [row["curve"]["recovery_rate"][0] for row in point.arms.get("axpo", {}).values()]
    known = [value for value in curves if value is not None]
    return f"{fmean(known):.2f}" if known else "not run"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
