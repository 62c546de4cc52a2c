"""Defines `axpo-bench speed`: measures the parts that are asked for, and prints and writes one table."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tyro
from rich.console import Console

from axpo.commands.arguments import check_output, write_json
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_benchmarks.machine import provenance
from axpo_benchmarks.speed.left_out import LeftOut
from axpo_benchmarks.speed.rows import Ratio, Row, as_record

PARTS: Final = {
    "environment": "axpo_benchmarks.speed.environment",
    "tools": "axpo_benchmarks.speed.tools",
    "python": "axpo_benchmarks.speed.python_tool",
    "training": "axpo_benchmarks.speed.training",
    "rollout": "axpo_benchmarks.speed.rollout",
    "trl": "axpo_benchmarks.speed.trl_step",
    "tool-step": "axpo_benchmarks.speed.tool_step",
    "step": "axpo_benchmarks.speed.training_step",
    "engines": "axpo_benchmarks.speed.engines",
    "cuda": "axpo_benchmarks.speed.cuda",
}
"""Parts of the table and the modules whose `measure` gives their rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedConfig:
    """Measure speed: ratios within one run, and costs on this machine."""

    parts: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Parts to measure (environment, tools, python, training, rollout, trl, tool-step, step, engines, cuda); all by
    default."""
    only: tuple[str, ...] = ()
    """The same as an option."""
    device: str = "cuda"
    """Torch device of the part `cuda`."""
    shape: Literal["qwen3-vl-2b", "toy"] = "qwen3-vl-2b"
    """Shape of the part `cuda`."""
    server: str | None = None
    """Address of a vLLM server of the embedded policy, for the part `engines`, in place of this package's own."""
    json: Path | None = None
    """Write the rows, the machine and the versions to this file."""


def run_speed(config: SpeedConfig) -> int:
    """Measures, prints and writes; returns the exit code.

    It is 2 for a part that does not exist, and 1 for one that was asked for but cannot be measured here.
    """
    asked = (*config.parts, *config.only)
    if unknown := sorted(set(asked) - set(PARTS)):
        print(f"axpo-bench: expected some of {', '.join(PARTS)}; got {unknown[0]!r}", file=sys.stderr)
        return 2
    check_output(config.json)
    rows: list[Row] = []
    wanted = [part for part in PARTS if not asked or part in asked]
    with Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat:
        for number, part in enumerate(wanted, start=1):
            heartbeat.doing(f"measuring {part}, part {number} of {len(wanted)}")
            try:
                rows += importlib.import_module(PARTS[part]).measure(**_options(config, part))
            except LeftOut as reason:
                say(f"axpo-bench: {part} is left out: {reason}")
                if asked:
                    return 1
    write_json(config.json, {**provenance(), "rows": [as_record(row) for row in rows]})
    Console().print(_table(rows))
    return 0


def _options(config: SpeedConfig, part: str) -> dict[str, Any]:
    """What a part is told."""
    if part == "cuda":
        return {"device": config.device, "shape": config.shape}
    return {"server": config.server} if part == "engines" else {}


def _table(rows: list[Row]) -> FittingTable:
    lines: list[tuple[str, ...]] = []
    for row in rows:
        if isinstance(row, Ratio):
            measured, wanted = f"{row.ratio:.1f} x", "" if row.target is None else f">= {row.target:g} x"
        else:
            measured, wanted = (
                f"{row.value:.3g} {row.unit}",
                "" if row.limit is None else f"<= {row.limit:g} {row.unit}",
            )
        lines.append((row.name, measured, wanted, "" if row.is_met else "missed"))
    return FittingTable(title="Speed", columns=("measured", "should be", "verdict"), rows=tuple(lines))
