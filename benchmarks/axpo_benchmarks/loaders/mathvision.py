"""Defines the loader of MathVision: `MathLLMs/MathVision`, splits `test` and `testmini`, by `load_mathvision`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo_benchmarks.loaders._benchmark import FULL, Benchmark, Entry, Expected, Kind
from axpo_benchmarks.loaders._files import files_of
from axpo_envs.suite.python_reasoning import MathVisionReward, load_mathvision

_LETTER: Final = re.compile(r"\s*[A-E]\s*")
_PATTERNS: Final = {"test": ("test-0*", "test"), "testmini": ("testmini-0*", "testmini", "testmini*")}
_TEST: Final = Expected(total=3040, parts={"multiple_choice": 1532, "free_form": 1508})


def _read(path: Path, slice_name: str) -> Iterator[Entry]:
    reward = MathVisionReward()
    for file in files_of(path, _PATTERNS["test" if slice_name == FULL else slice_name], "MathVision"):
        source = load_mathvision(file, reward)
        for index in range(source.size):
            question = source.question(index)
            # Options that are drawn are in the image alone; then the answer tells that there are some.
            choice = bool(question.options) or bool(_LETTER.fullmatch(question.answer))
            yield Entry(id=question.id, source=source, index=index, part="multiple_choice" if choice else "free_form")


MATHVISION: Final = Benchmark(
    name="mathvision",
    published="MathLLMs/MathVision, test and testmini",
    default="testmini",
    slices={"test": _TEST, "testmini": Expected(total=304), FULL: _TEST},
    kind=Kind.REASONING,
    sites=("mathllm.github.io", "github.com/mathllm"),
    reader=_read,
)
"""MathVision, 3,040 questions, of which the paper asks the 304 of `testmini`."""
