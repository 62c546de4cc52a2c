"""Defines `axpo-bench phase`: GRPO and AXPO over success of guessing x success of acting x learning rate, as cells.

Guessing succeeds on `guess_rate` of the questions. How often acting succeeds at the start is moved by
`character_size`, the size of characters on signs: the shipped start learned to read one size, and smaller ones cost it
right tool-using rollouts and nothing else (on 150 validation questions x 8, sizes from 0.94 to 0.5 moved success of
acting from 0.47 to 0.12, success without a call by 0.002 and the rate of calls by 0.003). A crop shows all these sizes
legibly, so that training may learn to read them. What every point starts with is measured, together with what
Proposition 1 of AXPO's paper is about.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from axpo.run.validation import TINY_LR
from axpo.settings.config_file import checked
from axpo.settings.values import Count, Name, Positive, Probability
from axpo.terminal.unfailing import say, tell
from axpo_benchmarks.evidence.arms import START
from axpo_benchmarks.evidence.cells import Cell, Looks
from axpo_benchmarks.evidence.families import VISUAL_ZOOM, Family
from axpo_benchmarks.evidence.phase_figure import draw_phase
from axpo_benchmarks.evidence.phase_map import PHASE, phase_points, phase_section
from axpo_benchmarks.evidence.plan import Planned, missing, planned_cell
from axpo_benchmarks.evidence.pool import Place, Pool
from axpo_benchmarks.evidence.rows import read_rows
from axpo_envs.plumbing.whole_files import write_whole

ARMS: Final = ("grpo", "axpo")
"""What is compared at every point, by default."""
LOOKS: Final = Looks(
    questions=200,
    samples=4,
    paper_samples=0,
    greedy=False,
    mark_every=20,
    mark_questions=100,
    mark_samples=4,
    probe_resamples=16,
)
"""Cells are many, and evaluated at less than those of the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseConfig:
    """Train GRPO and AXPO (or other methods) at many strengths of guessing and acting, and draw where which does what.

    Cells resume and are kept as rows as those of `axpo-bench evidence`.
    """

    guess_rates: tuple[Probability, ...] = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """How often guessing may succeed."""
    character_sizes: tuple[Positive, ...] = (0.94, 0.88, 0.82, 0.76)
    """Sizes of characters, with which acting succeeds less and less often at the start."""
    methods: tuple[Name, ...] = ARMS
    """Arms by name, as those of `axpo-bench evidence`; others than GRPO and AXPO are told of beside the diagram."""
    rates: tuple[Positive, ...] = (1.0, 0.5, 2.0)
    """Learning rates, as multiples of the default."""
    seeds: Count = 3
    """So many seeds, from 0 on."""
    steps: Count = 60
    """Training steps of each cell: where GRPO loses its calls they are lost by then; some seeds come back later."""
    workers: Count = 2
    """Cells side by side."""
    minutes: Positive | None = None
    """Stop after so many minutes; what is under way is saved."""
    out: Path = Path("runs/phase")
    """Folder of the cells' folders, of phase.md and of phase.svg, which fill as they end."""
    rows: Path | None = None
    """Folder of the rows; OUT/rows by default."""
    keep_runs: bool = False
    """Keep the folders of finished cells: some 20 MB each."""
    list: bool = False
    """Tell the plan and run nothing."""


def run_phase(config: PhaseConfig) -> int:
    """Runs what is missing, and writes page and picture; returns the exit code, 1 where a cell failed."""
    config = checked(replace(config, out=config.out.absolute()))
    planned = phase_plan(config)
    out, folder = Path(config.out), Path(config.rows or config.out / "rows").absolute()
    if config.list:
        left = {one.identity for one in missing(planned, read_rows(folder))}
        for number, one in enumerate(planned, start=1):
            tell(f"{number:>4}  {'to run' if one.identity in left else 'done  '}  {one.cell.title}")
        return 0

    def write() -> None:
        points = phase_points(read_rows(folder), planned)
        write_whole(out / "phase.md", f"{phase_section(points, picture='phase.svg')}\n".encode())
        draw_phase(points, out / "phase.svg")

    out.mkdir(parents=True, exist_ok=True)
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    place = Place(out=out, rows=folder, command=command, workers=config.workers, keep_runs=config.keep_runs)
    pool = Pool(planned, place, write)
    try:
        pool.run(minutes=config.minutes)
    finally:
        write()
    left_out = missing(planned, read_rows(folder))
    if left_out:
        say(f"phase: {len(left_out)} of {len(planned)} cells were not run; the same command goes on with them")
    tell(f"page     {out / 'phase.md'}")
    return 1 if pool.failed else 0


def phase_plan(config: PhaseConfig) -> tuple[Planned, ...]:
    """Every cell in order: the first learning rate seed by seed over all points, then the others."""
    planned = []
    for rate in config.rates:
        for seed in range(config.seeds):
            for family in _families(config.guess_rates, config.character_sizes, rate):
                arms = (START, *config.methods) if seed == 0 and rate == config.rates[0] else config.methods
                for arm in arms:
                    planned.append(
                        planned_cell(Cell(family=family, arm=arm, seed=seed, steps=config.steps, looks=LOOKS))
                    )
    return tuple(planned)


def _families(guess_rates: Sequence[float], sizes: Sequence[float], rate: float) -> tuple[Family, ...]:
    """VisualZoom at every point, for one learning rate."""
    base = VISUAL_ZOOM.base
    return tuple(
        Family(
            name=f"{PHASE}{rate:g}",
            label=f"guessing {guess:g}, characters {size:g}, learning rate x {rate:g}",
            base=replace(
                base,
                env_args=(f"guess_rate={guess:g}", f"character_size={size:g}"),
                optim=replace(base.optim, lr=TINY_LR * rate),
            ),
            point=(("guess_rate", guess), ("character_size", size), ("rate", rate)),
        )
        for size in sizes
        for guess in guess_rates
    )
