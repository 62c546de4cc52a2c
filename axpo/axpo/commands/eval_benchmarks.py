"""Defines `axpo eval --benchmark` and `axpo eval --rescore`.

What evaluates benchmarks lies in a package above this one, so it is imported by its name when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.console import Console

from axpo.commands._measuring import measured_table, measuring
from axpo.commands.arguments import check_output, parse, write_json
from axpo.records import _atomic as atomic
from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig
from axpo.settings.values import Name
from axpo.terminal.unfailing import Unfailing, say

HARNESS: Final = "axpo_benchmarks.harness"
BENCHMARK: Final = "--benchmark"
RESCORE: Final = "--rescore"
_RESULTS: Final = "results"
_ENDINGS: Final = {"json": ".json", "markdown": ".md", "latex": ".tex", "html": ".html"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalBenchmarksArguments:
    """Put a model through published benchmarks, by the protocol of AXPO's paper unless other settings are given.

    The evaluation is a folder of data (docs/evaluations.md) that holds the results as JSON, Markdown, LaTeX and HTML,
    too. The same command again goes on where a kill stopped it.
    """

    settings: Annotated[BenchmarkEvalConfig, tyro.conf.arg(name="")]
    """What is evaluated, and how."""
    json: Path | None = None
    """Write the results to this file, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoreArguments:
    """Score the responses of an evaluation on benchmarks again, by the rules of now, without asking the model."""

    rescore: Path
    """The evaluation's folder."""
    judge: Name | None = None
    """Decides where rules do not, without images: the address of an OpenAI-compatible server such as
    `http://host:8000/v1`, or `package.module:name` of a function of question and answer."""
    judge_model: Name | None = None
    """With a judge's address: the model's name there."""
    judge_key_variable: Name | None = None
    """With a judge's address: the environment variable that holds its key."""
    json: Path | None = None
    """Write the results to this file, too."""


def asks_for_benchmarks(arguments: Sequence[str]) -> bool:
    """Whether the arguments of `axpo eval` are those of this command."""
    return any(argument.partition("=")[0] in (BENCHMARK, RESCORE) for argument in arguments)


def run(arguments: Sequence[str]) -> int:
    """Evaluates, or scores again; returns the exit code."""
    harness: Any = importlib.import_module(HARNESS)
    if any(argument.partition("=")[0] == RESCORE for argument in arguments):
        return _rescore(harness, arguments)
    parsed = parse(EvalBenchmarksArguments, "eval", arguments)
    check_output(parsed.json)
    with measuring("evaluating") as told:
        record = harness.evaluate_benchmarks(parsed.settings, progress=told, warn=_warn)
    _finish(harness, record, harness.folder_of(parsed.settings), parsed.json)
    return 0


def _rescore(harness: Any, arguments: Sequence[str]) -> int:
    parsed = parse(RescoreArguments, "eval", arguments)
    check_output(parsed.json)
    record, changed = harness.rescore(
        parsed.rescore,
        judge=parsed.judge,
        judge_model=parsed.judge_model,
        judge_key_variable=parsed.judge_key_variable,
        warn=_warn,
    )
    say(f"axpo: {changed} of {record['rollouts']} verdicts changed")
    _finish(harness, record, parsed.rescore, parsed.json)
    return 0


def _warn(text: str) -> None:
    say(f"axpo: {text}")


def _finish(harness: Any, record: Mapping[str, Any], folder: Path, json: Path | None) -> None:
    write_json(json, record)
    files = {kind: folder / f"{_RESULTS}{ending}" for kind, ending in _ENDINGS.items()}
    write_json(files["json"], record)
    for kind, made in (("markdown", harness.markdown), ("latex", harness.latex), ("html", harness.page)):
        atomic.write_text(files[kind], made(record))
    show, console = Unfailing(), Console()
    for name, found in record["benchmarks"].items():
        for arm, counted in found["arms"].items():
            title = f"{record['provenance']['model']} on {name}, {found['slice']}, {arm}"
            show(console.print, measured_table(counted["metrics"], title=title))
        if found["metrics"]:
            show(console.print, measured_table(found["metrics"], title=f"{name}, between arms"))
    say(f"axpo: written to {folder}: {', '.join(file.name for file in files.values())}")
