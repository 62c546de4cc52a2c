"""Benchmarks as they are published, read from disk: one a module, and `BENCHMARKS`, which has them by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from axpo_benchmarks.loaders._benchmark import (
    Benchmark,
    BenchmarkQuestions,
    Entry,
    Expected,
    Kind,
    count_differences,
)
from axpo_benchmarks.loaders.dynamath import DYNAMATH
from axpo_benchmarks.loaders.hr_bench import HR_BENCH_4K, HR_BENCH_8K
from axpo_benchmarks.loaders.hr_mmsearch import HR_MMSEARCH
from axpo_benchmarks.loaders.math_vr import MATH_VR
from axpo_benchmarks.loaders.mathvision import MATHVISION
from axpo_benchmarks.loaders.mmsearch import MMSEARCH
from axpo_benchmarks.loaders.v_star import V_STAR
from axpo_benchmarks.loaders.visual_probe import VISUAL_PROBE
from axpo_envs.errors import EnvConfigError

BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "mathvision": MATHVISION,
    "dynamath": DYNAMATH,
    "math-vr": MATH_VR,
    "v-star": V_STAR,
    "visual-probe": VISUAL_PROBE,
    "hr-bench-4k": HR_BENCH_4K,
    "hr-bench-8k": HR_BENCH_8K,
    "hr-mmsearch": HR_MMSEARCH,
    "mmsearch": MMSEARCH,
}
"""The nine benchmarks of the AXPO paper by name."""

_ALIASES: Final = {"v*": "v-star", "vstarbench": "v-star", "mathvrbench": "math-vr"}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name, however it is spelled: `vstar`, `V*`, `HR-Bench 4K`, `hr_bench_4k`.

    Raises:
        EnvConfigError: there is none of that name.
    """
    plain = {_plain(known): benchmark for known, benchmark in BENCHMARKS.items()}
    given = _plain(str(name))
    found = plain.get(given) or BENCHMARKS.get(_ALIASES.get(given, ""))
    if found is None:
        raise EnvConfigError(f"expected a benchmark out of {', '.join(BENCHMARKS)}; got {name!r:.100}")
    return found


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter == "*")


__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "BenchmarkQuestions",
    "Entry",
    "Expected",
    "Kind",
    "count_differences",
    "find_benchmark",
]
