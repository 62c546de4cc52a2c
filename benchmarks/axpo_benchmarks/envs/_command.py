"""Defines the command `axpo-bench envs`: its settings, and the table and the file that it writes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from axpo.commands.arguments import check_output, write_json
from axpo.diagnostics.estimates import Estimate
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import Count
from axpo_benchmarks.envs._measuring import Measured, measure
from axpo_benchmarks.envs._picturing import picture
from axpo_benchmarks.envs._row import COLUMNS
from axpo_benchmarks.envs._rows import rows
from axpo_benchmarks.machine import provenance

_WIDTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvsConfig:
    """Measure floors, ceilings and the cost of snapshots of every environment, or draw them."""

    only: tuple[str, ...] = ()
    """Environments; all by default."""
    episodes: Count = 1000
    """Held-out questions for each column."""
    json: Path | None = None
    """Write what was measured to this file; it grows with every environment, and keeps those that are not measured."""
    pictures: Path | None = None
    """Measure nothing; write a picture of the expert's first episode in every environment into this folder."""


def run_envs(config: EnvsConfig) -> int:
    """Measures, prints, writes.

    Returns:
        0, or 1 where a bound does not hold.
    """
    config = checked(config)
    check_output(config.json)
    if config.pictures is not None:
        for row in rows(config.only):
            print(picture(row, config.pictures))
        return 0
    records = _kept(config.json)
    measured: list[Measured] = []
    for row in rows(config.only):
        measured.append(measure(row, config.episodes))
        records[row.name] = {**_record(measured[-1]), "measured": provenance()}
        write_json(config.json, {"environments": [records[name] for name in sorted(records)]})
    console = Console()
    # In a file or a narrow terminal no figure is cut off.
    console.width = max(console.width, _WIDTH)
    console.print(_table(measured), soft_wrap=True)
    for one in measured:
        for column in one.broken:
            console.print(f"{one.row.name}: {column} must be {one.row.bounds[column]}", soft_wrap=True)
    return int(any(one.broken for one in measured))


def _kept(path: Path | None) -> dict[str, Any]:
    """By name: what an earlier file says of environments.

    Raises:
        ConfigError: there is such a file, and it says something else.
    """
    if path is None or not path.exists():
        return {}
    try:
        return {record["name"]: record for record in json.loads(path.read_text(encoding="utf-8"))["environments"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"json: expected a file of measured environments, or none; {path} holds no such: {error!r}"
        ) from None


def _record(measured: Measured) -> dict[str, Any]:
    return {
        "name": measured.row.name,
        "env": measured.row.env_id,
        "settings": dict(measured.row.settings),
        "metrics": {
            column: measured.shares[column].as_dict() if column in measured.shares else None for column in COLUMNS
        },
        "by_kind": {
            kind: {column: estimate.as_dict() for column, estimate in columns.items()}
            for kind, columns in measured.by_kind.items()
        },
        "bounds": {column: str(bound) for column, bound in measured.row.bounds.items()},
        "notes": measured.notes,
        "snapshot": asdict(measured.snapshot),
    }


def _table(measured: list[Measured]) -> Table:
    table = Table()
    for heading in ("environment", *COLUMNS, "snapshot"):
        table.add_column(heading, no_wrap=True)
    for one in measured:
        cost = one.snapshot
        snapshot = f"{cost.first_us:.0f}-{cost.last_us:.0f} us, {cost.last_bytes / 1000:.1f} kB"
        table.add_row(one.row.name, *(_cell(one.shares.get(column)) for column in COLUMNS), snapshot)
    return table


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"
