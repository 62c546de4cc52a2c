"""Defines `axpo-bench evidence`: the comparison of methods over families and seeds, resumable, told as tables."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from axpo.commands.arguments import check_output, write_json
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import Count, Name, Positive
from axpo.terminal.unfailing import say, tell
from axpo_benchmarks.evidence.families import FAMILIES, family_named
from axpo_benchmarks.evidence.plan import Planned, missing, plan
from axpo_benchmarks.evidence.pool import Place, Pool
from axpo_benchmarks.evidence.rows import read_rows
from axpo_benchmarks.evidence.tables import summary_of, tables_of
from axpo_envs.plumbing.whole_files import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceConfig:
    """Train methods from the same starts on the same questions over seeds, and compare them on held-out ones.

    Cells that are finished are never run again, those under way when the command was stopped or killed go on. Every
    cell is a process of its own with one thread.
    """

    families: tuple[Name, ...] = ()
    """Families by name; all by default."""
    methods: tuple[Name, ...] = ()
    """Arms by name (grpo, axpo, grpo_longer, axpo_mb4, any training method); all by default, the
    most telling first."""
    seeds: Count = 8
    """So many seeds, from 0 on."""
    steps: Count = 120
    """Training steps of each cell."""
    workers: Count = 2
    """Cells side by side."""
    minutes: Positive | None = None
    """Stop after so many minutes; what is under way is saved."""
    out: Path = Path("runs/evidence")
    """Folder of the cells' folders, and of tables.md, which fills as they end."""
    rows: Path | None = None
    """Folder of the rows, one JSON line per finished cell; OUT/rows by default."""
    json: Path | None = None
    """Write a summary of the tables to this file."""
    list: bool = False
    """Tell the plan and run nothing."""


def run_evidence(config: EvidenceConfig) -> int:
    """Runs what is missing and writes the tables; returns the exit code, 1 where a cell failed."""
    config = checked(replace(config, out=config.out.absolute()))
    check_output(config.json)
    families = tuple(map(family_named, config.families)) if config.families else FAMILIES
    planned = plan(families, config.methods, seeds=config.seeds, steps=config.steps)
    folder = Path(config.rows or config.out / "rows").absolute()
    if config.list:
        _tell_plan(planned, folder)
        return 0
    place = Place(
        out=config.out,
        rows=folder,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        workers=config.workers,
    )

    def write() -> None:
        rows = read_rows(folder)
        write_whole(config.out / "tables.md", tables_of(rows, planned).encode())
        write_json(config.json, summary_of(rows))

    config.out.mkdir(parents=True, exist_ok=True)
    pool = Pool(planned, place, write)
    try:
        pool.run(minutes=config.minutes)
    finally:
        write()
    tell(tables_of(read_rows(folder), planned))
    left = missing(planned, read_rows(folder))
    if left:
        say(f"evidence: {len(left)} of {len(planned)} cells were not run; the same command goes on with them")
    return 1 if pool.failed else 0


def _tell_plan(planned: tuple[Planned, ...], rows: Path) -> None:
    left = {one.identity for one in missing(planned, read_rows(rows))}
    for number, one in enumerate(planned, start=1):
        tell(f"{number:>4}  {'to run' if one.identity in left else 'done  '}  {one.cell.title}")
    if not planned:
        raise ConfigError("the plan is empty")
