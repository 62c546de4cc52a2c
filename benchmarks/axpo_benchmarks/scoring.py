"""Defines `axpo-bench scoring`: how long it takes to load benchmarks and to score responses to them.

Rows are made up in the published layouts, with images of a few pixels, so that loading tells the cost of rows and not
of decoding. Half of the responses are right; the others are wrong, each in its own way, which is the dearer half.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from axpo.commands.arguments import check_output, write_json
from axpo.settings.config_file import checked
from axpo.settings.values import Count
from axpo.terminal.fitting_table import FittingTable
from axpo_benchmarks.loaders import BENCHMARKS
from axpo_benchmarks.machine import provenance
from axpo_benchmarks.scorers import SCORERS, Tally
from axpo_benchmarks.testing import write_layouts


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringConfig:
    """How many responses are scored."""

    answers: Count = 10_000
    """Responses, spread over the nine benchmarks."""
    questions: Count = 200
    """Questions of each; of HR-Bench rows."""
    json: Path | None = None
    """Write the measured values to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a benchmark took."""

    benchmark: str
    """Its name."""
    questions: int
    """Questions loaded."""
    answers: int
    """Responses scored."""
    load_seconds: float
    """Wall-clock time of loading and decoding all questions."""
    score_seconds: float
    """Wall-clock time of scoring."""


def measure(config: ScoringConfig, folder: Path) -> tuple[Scored, ...]:
    """The measurements, benchmark by benchmark.

    Args:
        config: how many responses.
        folder: an empty one, for made-up rows.

    Raises:
        AssertionError: a response is misjudged.
    """
    homes = write_layouts(folder, rows=config.questions)
    each = max(2, config.answers // len(homes))
    return tuple(_measured(name, homes[name], config.questions, each) for name in BENCHMARKS)


def _measured(name: str, home: Path, most: int, answers: int) -> Scored:
    with _timed() as load:
        questions = list(BENCHMARKS[name].questions(home))[:most]
    scorer = SCORERS[name]()
    # What is made at first use (workers, compiled patterns) is not what scoring costs.
    scorer(questions[0], "<answer>\\boxed{nowhere}</answer>")
    asked = [questions[number % len(questions)] for number in range(answers)]
    responses = [
        f"<think>Hm.</think><answer>\\boxed{{{question.answer if number % 2 else f'nowhere {number}'}}}</answer>"
        for number, question in enumerate(asked)
    ]
    with _timed() as score:
        verdicts = [scorer(*one) for one in zip(asked, responses, strict=True)]
    right = Tally.of(verdicts).right
    if right != answers // 2:
        raise AssertionError(f"{name}: expected {answers // 2} right responses; got {right}")
    return Scored(
        benchmark=name,
        questions=len(questions),
        answers=answers,
        load_seconds=load.seconds,
        score_seconds=score.seconds,
    )


class _Clock:
    seconds = 0.0


@contextmanager
def _timed() -> Iterator[_Clock]:
    clock, begun = _Clock(), time.perf_counter()
    yield clock
    clock.seconds = time.perf_counter() - begun


def run_scoring(config: ScoringConfig) -> int:
    """Measures and shows; returns the exit code."""
    config = checked(config)
    check_output(config.json)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(config, Path(folder))
    whole = {
        "load_seconds": sum(row.load_seconds for row in rows),
        "score_seconds": sum(row.score_seconds for row in rows),
    }
    record: dict[str, Any] = {**provenance(), "rows": [asdict(row) for row in rows], **whole}
    write_json(config.json, record)
    cells = [
        (row.benchmark, str(row.questions), f"{row.load_seconds:.2f}", str(row.answers), f"{row.score_seconds:.2f}")
        for row in rows
    ]
    total = (
        "all",
        "",
        f"{whole['load_seconds']:.2f}",
        str(sum(row.answers for row in rows)),
        f"{whole['score_seconds']:.2f}",
    )
    Console().print(
        FittingTable(
            title="Loading and scoring",
            columns=("questions", "load, s", "answers", "score, s"),
            rows=(*cells, total),
        )
    )
    return 0
