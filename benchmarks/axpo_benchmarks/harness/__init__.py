"""The harness: any model through the benchmarks, by the paper's protocol, resumable, with its rollouts as data."""

from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig, ProtocolConfig
from axpo_benchmarks.harness._evaluation import evaluate_benchmarks, folder_of, rescore
from axpo_benchmarks.harness._record import record_of
from axpo_benchmarks.harness._said import Said, Speaker
from axpo_benchmarks.harness.tables import latex, markdown, page

__all__ = [
    "BenchmarkEvalConfig",
    "ProtocolConfig",
    "Said",
    "Speaker",
    "evaluate_benchmarks",
    "folder_of",
    "latex",
    "markdown",
    "page",
    "record_of",
    "rescore",
]
