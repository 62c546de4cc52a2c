"""Defines `axpo eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

import axpo
from axpo.commands import eval_benchmarks
from axpo.commands._measuring import measured_table, measuring, part_tables
from axpo.commands.arguments import check_output, parse, write_json
from axpo.records.solved import write_solved
from axpo.settings._evaluation import EvalConfig
from axpo.terminal.unfailing import Unfailing, say


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalArguments:
    """Measure a policy on held-out questions: Pass@1, Pass@4 and every diagnostic, with 95 % intervals.

    On published benchmarks: `axpo eval --benchmark NAME --benchmark-path PATH MODEL`; `axpo eval --benchmark --help`
    lists its options. `axpo eval --rescore FOLDER` scores again what such an evaluation saved.
    """

    settings: Annotated[EvalConfig, tyro.conf.arg(name="")]
    """What is evaluated, and how."""
    json: Path | None = None
    """Write the results to this file."""
    solved: Path | None = None
    """Write to this file how often each question was solved, for `axpo train --filter.always` and `--filter.never`."""


def run(arguments: Sequence[str]) -> int:
    """Evaluates; returns the exit code."""
    if eval_benchmarks.asks_for_benchmarks(arguments):
        return eval_benchmarks.run(arguments)
    parsed = parse(EvalArguments, "eval", arguments)
    check_output(parsed.json)
    check_output(parsed.solved, option="solved")
    config = axpo.locate_checkpoint(parsed.settings, warn=lambda text: say(f"axpo: {text}"))
    with measuring("evaluating") as told:
        evaluation = axpo.evaluate_checkpoint(config, progress=told)
    record = {
        **evaluation.as_record(),
        "settings": asdict(config),
        "tried": [asdict(question) for question in evaluation.tried],
    }
    write_json(parsed.json, record)
    if parsed.solved is not None:
        write_solved(parsed.solved, evaluation.solved)
    title = f"{config.checkpoint} in {config.env}, split {record['split']}"
    Unfailing()(Console().print, measured_table(record["metrics"], title=title), *part_tables(record))
    return 0
