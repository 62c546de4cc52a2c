"""Defines the plan of the evidence: which cells, in which order, and which of them wait for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from axpo_benchmarks.evidence._job import TRAINED, Job
from axpo_benchmarks.evidence.arms import START, arm_named, tiers_of
from axpo_benchmarks.evidence.cells import FULL, Cell, Looks, identity
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.rows import Row

SPENT = ("rollouts", "tokens", "cpu_seconds")
"""What runs can be equal in, beside steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A cell of the plan."""

    cell: Cell
    """What is run."""
    identity: str
    """What tells it apart."""
    needs: str | None = None
    """The identity of a cell whose row it needs."""
    begun_by: str | None = None
    """The identity of a cell that makes its first steps, or what it begins from."""


def plan(
    families: Sequence[Family], methods: Sequence[str], *, seeds: int, steps: int, looks: Looks = FULL
) -> tuple[Planned, ...]:
    """Every cell in the order in which they are to be run: tier by tier, family by family, seed by seed.

    Args:
        families: what is trained on.
        methods: names of arms; all of `TIERS` where there is none.
        seeds: how many, from 0 on.
        steps: training steps of each.
        looks: how each is evaluated.

    Raises:
        ConfigError: an arm or a setting is unusable.
    """
    planned = []
    for tier in tiers_of(methods):
        for family in families:
            for seed in range(seeds):
                for name in tier:
                    if name != START or seed == 0:
                        planned.append(planned_cell(Cell(family=family, arm=name, seed=seed, steps=steps, looks=looks)))
    return tuple(planned)


def planned_cell(cell: Cell) -> Planned:
    """A cell with what it waits for."""
    arm = arm_named(cell.arm)
    begun_by = arm.longer_than or arm.after
    return Planned(
        cell=cell,
        identity=identity(cell),
        needs=identity(replace(cell, arm=arm.as_much_as)) if arm.longer_than else None,
        begun_by=identity(replace(cell, arm=begun_by)) if begun_by else None,
    )


def missing(planned: Iterable[Planned], rows: Iterable[Row]) -> tuple[Planned, ...]:
    """The cells that have no row yet."""
    done = {row["cell"] for row in rows}
    return tuple(one for one in planned if one.identity not in done)


def job_of(planned: Planned, rows: Mapping[str, Row], *, out: Path, command: str, workers: int) -> Job:
    """What a cell's process is told.

    Args:
        planned: the cell, whose needs are met.
        rows: all rows by identity.
        out: the folder of the cells' folders.
        command: the command that asked for it.
        workers: how many cells run side by side.
    """
    job = Job(cell=planned.cell, identity=planned.identity, command=command, workers=workers)
    first = rows.get(planned.begun_by or "")
    made = out / (planned.begun_by or "")
    begun = made if first is not None and (made / TRAINED).is_file() else None
    if planned.needs is None:
        return replace(job, begun=begun)
    until = {name: float(rows[planned.needs][name]) for name in SPENT}
    # A run that has spent more already cannot be looked at where it had spent as much.
    useful = first is not None and all(first[name] < until[name] for name in SPENT)
    return replace(job, until=until, begun=begun if useful else None)
