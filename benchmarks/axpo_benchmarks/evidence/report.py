"""Defines `axpo-bench evidence-report`: what the rows tell, in plain words, tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import Count, Name
from axpo.terminal.unfailing import tell
from axpo_benchmarks.evidence._sections import (
    dynamics_section,
    equal_sections,
    family_section,
    means_section,
    orderings_section,
    provenance_section,
)
from axpo_benchmarks.evidence.arms import START
from axpo_benchmarks.evidence.comparing import by_arm
from axpo_benchmarks.evidence.families import DESK_FAMILIES, FAMILIES, Family, family_named
from axpo_benchmarks.evidence.figures import draw_family
from axpo_benchmarks.evidence.helplessness import helplessness_section
from axpo_benchmarks.evidence.phase import PhaseConfig, phase_plan
from axpo_benchmarks.evidence.phase_figure import draw_phase
from axpo_benchmarks.evidence.phase_map import COMPARED, PHASE, PhasePoint, phase_points, phase_section
from axpo_benchmarks.evidence.plan import missing, plan
from axpo_benchmarks.evidence.recovering import recovering_section
from axpo_benchmarks.evidence.recovering_figure import draw_recovering
from axpo_benchmarks.evidence.rows import COMMITTED, TOLD, Row, read_rows
from axpo_benchmarks.evidence.tables import not_run
from axpo_envs.plumbing.whole_files import write_whole

_INTRODUCTION: Final = """\
# Does resampling tool calls train tool use, and at what price?

This page is written by `axpo-bench evidence-report` from the rows in
[results/evidence](axpo_benchmarks/results/evidence): change those, not this. How rows are made, and what their
fields are: [docs/evidence.md](../docs/evidence.md).

AXPO ([arXiv:2605.28774](https://arxiv.org/abs/2605.28774)) claims that *where* rollouts are spent beats *how many*:
freeze the thinking of a failed tool-using rollout, sample its call anew, and credit both. Its tables come from
models of 2 to 8 billion parameters and one training seed. Here the embedded policy of 1.7 million parameters trains
on small families of questions, so that every arm has several seeds; whether an ordering that holds here holds at 8B
is not shown by it."""

_READING: Final = """\
How to read it: every arm of a family starts from the same weights and is asked the same training questions with the
same seed, so differences are paired by seed. Rows of several processors stand beside each other: these round
differently, which training makes grow, so that a seed shares its questions across processors, not its path.
Intervals are 95 % over seeds (Student's t), or over questions where that is said. The p-value is that of the
two-sided sign-flip test over seeds; with n seeds it cannot be below 2 / 2^n (5 seeds: 0.0625, 8 seeds: 0.0078), and
none is corrected for the number of comparisons on this page. An ordering *holds* where the interval lies beyond
zero, *the reverse holds* where it lies beyond zero on the other side, and is *open* otherwise. d is the mean
difference over the standard deviation of the differences."""

_DECISIONS: Final = """\
## In which order things were decided

1. A prototype, and version 0.1, chose VisualZoom with guessing at 70 %, the learning rate and the start, so that
   GRPO and AXPO differ: the setting is chosen, not typical. Their runs (60 steps, 5 seeds, 100 held-out questions)
   are in `results/evidence-0.1.json` and no part of this page.
2. Single runs of version 0.1 then showed that 60 steps cut AXPO off on its way up, that 4 mini-batches do better
   than 2, and that greedy decoding does better than sampling. Hence 120 steps, the arm with 4 mini-batches, and
   greedy beside sampling here.
3. Families, arms, steps, the order of cells and the evaluations were then fixed in code (`families.py`, `arms.py`,
   `cells.py`). Every row names the commit that it was run at, and a hash of its settings.
4. The orderings of this page, and when one counts as holding, were written before any of these rows had been
   looked at (`claims.py`).
5. Rows were run arm by arm in the order of `axpo-bench evidence --list`, GRPO and AXPO first; how many seeds each
   family has follows from the time there was. No setting was chosen by the test questions that are asked here.
6. The families of Desk were added and fixed after rows of the others had been seen, before any of their own. Whether
   there are settings of Desk in which GRPO stops acting was not searched for.
7. What goes beyond the paper was run on PythonReasoning first, where AXPO had most left to gain, one seed each. The one
   that was ahead after four of six, `axpo_forced`, was given further seeds and the other families next, so its first
   seed there is a chosen one. Ablations came behind it, on PythonReasoning first, three seeds each.
8. Cells of the phase diagram end after 60 steps, for the time there was.
9. `axpo_idle` (AXPO+) was written after the rows of AXPO and of `axpo_forced` had been seen, run with seeds 0 to 2 of
   each family, and not changed after that. Arms that come after GRPO were added with `axpo_forced` in mind, before any
   of them was run; those with `axpo_idle` followed it. `axpo_longer` was held to what `axpo_idle` spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReportConfig:
    """Write the page and the figures from rows; nothing is trained."""

    out: Path = Path("benchmarks/README.md")
    """The page; figures go to the folder `figures` beside it."""
    rows: Path = COMMITTED
    """Folder of the rows."""
    families: tuple[Name, ...] = ()
    """Families by name; all by default."""
    methods: tuple[Name, ...] = ()
    """Arms whose missing cells are named; all by default."""
    seeds: Count = 8
    """Seeds whose missing cells are named, from 0 on."""
    steps: Count = 120
    """Training steps of the rows that are told of."""


def run_evidence_report(config: EvidenceReportConfig) -> int:
    """Writes the page; returns the exit code."""
    config = checked(config)
    out = Path(config.out)
    if out.suffix != ".md":
        raise ConfigError(f"out: expected a file that ends in .md; got {out}")
    families = tuple(map(family_named, config.families)) if config.families else FAMILIES
    planned = plan(families, config.methods, seeds=config.seeds, steps=config.steps)
    rows = tuple(row for row in read_rows(Path(config.rows), TOLD) if row["asked_steps"] in (0, config.steps))
    known = [family for family in families if any(row["family"] == family.name for row in rows)]
    for family in known:
        draw_family(by_arm(rows, family.name), out.parent / "figures" / f"{family.name}.svg")
    sections = [
        _INTRODUCTION,
        _READING,
        *_sections(known, rows),
        _recovering(known, rows, out.parent / "figures"),
        helplessness_section(DESK_FAMILIES, rows),
        _phase(Path(config.rows), out.parent / "figures"),
        _DECISIONS,
        provenance_section(rows),
        not_run(missing(planned, rows), len(planned)),
    ]
    write_whole(out, ("\n\n".join(section for section in sections if section) + "\n").encode())
    tell(f"report   {out}")
    return 0


def _recovering(families: Sequence[Family], rows: Sequence[Row], figures: Path) -> str:
    """What came after policies that have given their tools up, where rows of it are there."""
    drawn = draw_recovering(
        {family.label: by_arm(rows, family.name) for family in families}, figures / "recovering.svg"
    )
    return recovering_section(families, rows, picture="figures/recovering.svg" if drawn else None)


def _phase(folder: Path, figures: Path) -> str:
    """The phase diagram, where rows of it are there."""
    rows = read_rows(folder, TOLD)
    found = {row["asked_steps"] for row in rows if row["family"].startswith(PHASE) and row["asked_steps"]}
    if not found:
        return "## Where guessing and acting decide what happens\n\nThe phase diagram (`axpo-bench phase`) was not run."
    points = _points(rows, max(found))
    draw_phase(points, figures / "phase.svg")
    return phase_section(points, picture="figures/phase.svg")


def _points(rows: Sequence[Row], steps: int) -> tuple[PhasePoint, ...]:
    """The points with every arm that was run; of those that were not, the default ones count."""
    arms = dict.fromkeys(row["arm"] for row in rows if row["family"].startswith(PHASE) and row["arm"] != START)
    plans = (phase_plan(PhaseConfig(steps=steps, methods=named)) for named in (COMPARED, (*COMPARED, *arms)))
    asked, run = (phase_points(rows, planned) for planned in plans)
    return tuple(replace(point, left=default.left) for default, point in zip(asked, run, strict=True))


def _sections(families: Sequence[Family], rows: Sequence[Row]) -> Iterator[str]:
    found = {family.name: by_arm(rows, family.name) for family in families}
    labels = {family.name: family.label for family in families}
    if not found:
        yield "There are no rows yet."
        return
    yield orderings_section(found, labels)
    if len(found) > 1:
        yield means_section(found)
    for name, arms in found.items():
        yield family_section(name, labels[name], arms)
        yield from equal_sections(arms)
        yield dynamics_section(arms)
