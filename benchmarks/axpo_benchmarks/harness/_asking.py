"""Defines what is asked in an evaluation: `Asked`, a benchmark with an environment for each arm, found and checked."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from axpo.records.evaluation_records import AskedQuestion, BenchmarkProvenance
from axpo.settings.benchmark_evaluation import ALL, BenchmarkEvalConfig, ProtocolConfig
from axpo.settings.config import ConfigError
from axpo_benchmarks import scorers
from axpo_benchmarks.environment import BenchmarkEnv, sites_of
from axpo_benchmarks.harness._judging import NamedJudge
from axpo_benchmarks.loaders import (
    BENCHMARKS,
    Benchmark,
    BenchmarkQuestions,
    Kind,
    count_differences,
    find_benchmark,
)
from axpo_benchmarks.loaders._benchmark import FULL
from axpo_envs.errors import EnvConfigError
from axpo_envs.types import Question

TOOLS: Final = "tools"
"""The arm with the tools of the protocol."""
NO_TOOLS: Final = "no_tools"
"""The arm without any."""
UNSEEN_TOOLS: Final = "unseen_tools"
"""The arm with further tools."""

_SINGLE_TURN: Final = (
    "Do what is asked. Write what you find, and nothing else, in a box between answer tags: "
    "<answer>\\boxed{...}</answer>"
)
_LONGEST_KIND: Final = 40
_CLUSTERS: Final = {"hr-bench-4k": "group", "hr-bench-8k": "group", "dynamath": "seed"}
"""The column that tells which questions are not independent."""
_JUDGED: Final[Mapping[str, Callable[[scorers.Judge], scorers.Scorer]]] = {
    "visual-probe": lambda judge: scorers.VisualProbeScorer(judge=judge),
    "hr-mmsearch": lambda judge: scorers.HRMMSearchScorer(judge=judge),
    "math-vr": lambda judge: scorers.MathVRScorer(judge=judge),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A benchmark with an environment for each arm."""

    benchmark: Benchmark
    """What is asked."""
    path: Path
    """Its files."""
    slice: str
    """Its slice."""
    count: int
    """Questions that are asked, the first ones."""
    arms: Mapping[str, BenchmarkEnv]
    """By arm."""
    single: BenchmarkEnv | None
    """Asks what is answered in one turn, without tools, in every arm; None where there is nothing such."""
    judge: str | None
    """The judge's name."""

    @property
    def source(self) -> BenchmarkQuestions:
        """The questions, shared by all arms."""
        return next(iter(self.arms.values())).asked

    def env(self, arm: str, index: int) -> BenchmarkEnv:
        """What asks the question at that place."""
        if self.single is not None and self.source.part(index) in self.benchmark.single_turn:
            return self.single
        return self.arms[arm]

    def questions(self) -> tuple[AskedQuestion, ...]:
        """The questions as records hold them; no image is decoded for it."""
        return tuple(self._question(index) for index in range(self.count))

    def _question(self, index: int) -> AskedQuestion:
        question, images = self.source.outline(index)
        return asked_question(self.benchmark, question, part=self.source.part(index), images=images)

    def differences(self) -> tuple[str, ...]:
        """What differs from the published counts."""
        counts = Counter(self.source.part(index) for index in range(self.source.size))
        return count_differences(self.benchmark.slices[self.slice], counts)

    def provenance(self) -> BenchmarkProvenance:
        """What the evaluation's file says of it."""
        return BenchmarkProvenance(
            slice=self.slice,
            questions=self.count,
            fingerprint=self.source.fingerprint,
            differences=self.differences(),
            scorer=scorer_hash(),
            judge=self.judge,
            prompts={arm: _prompt_hash(env) for arm, env in self.arms.items()},
            tools={arm: tuple(tool.name for tool in env.tools) for arm, env in self.arms.items()},
            sites=sites_of(self.benchmark),
        )


def find_asked(config: BenchmarkEvalConfig, judge: NamedJudge | None = None) -> tuple[Asked, ...]:
    """The benchmarks of an evaluation; nothing is asked yet.

    Args:
        config: what is evaluated, and how.
        judge: decides where rules do not.

    Raises:
        ConfigError: a benchmark is unknown, its files are not found or unusable, or a tool cannot be made.
    """
    try:
        homes = _homes(config)
        return tuple(_asked(config, benchmark, home, judge) for benchmark, home in homes)
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error


def _homes(config: BenchmarkEvalConfig) -> list[tuple[Benchmark, Path]]:
    base = Path(config.benchmark_path).expanduser()
    if not base.exists():
        raise ConfigError(f"benchmark_path: there is no {str(base)!r}")
    beside = {_spelled(found.name): found for found in sorted(base.iterdir())} if base.is_dir() else {}
    if ALL in config.benchmark:
        homes = [(benchmark, beside[name]) for name, benchmark in BENCHMARKS.items() if name in beside]
        if not homes:
            raise ConfigError(f"benchmark_path: expected folders named {', '.join(BENCHMARKS)} in {str(base)!r}")
        return homes
    wanted = list(dict.fromkeys(find_benchmark(name).name for name in config.benchmark))
    if len(wanted) == 1 and wanted[0] not in beside:
        return [(BENCHMARKS[wanted[0]], base)]
    missing = [name for name in wanted if name not in beside]
    if missing:
        raise ConfigError(f"benchmark_path: expected a folder for each of {', '.join(missing)} in {str(base)!r}")
    return [(BENCHMARKS[name], beside[name]) for name in wanted]


def _spelled(folder: str) -> str:
    try:
        return find_benchmark(folder).name
    except EnvConfigError:
        return ""


def _asked(config: BenchmarkEvalConfig, benchmark: Benchmark, home: Path, judge: NamedJudge | None) -> Asked:
    protocol = config.protocol
    slice_name = config.slice or benchmark.default
    searches = benchmark.kind is Kind.SEARCH and slice_name not in benchmark.single_turn
    if searches and protocol.search is None and "paper" in protocol.tools:
        raise ConfigError(
            f"search: {benchmark.name} asks for what stands on the web: say what is searched, or leave the search out "
            "by --tools python image_zoom_in"
        )
    arms: dict[str, tuple[str, ...]] = {TOOLS: protocol.tools}
    if protocol.without_tools:
        arms[NO_TOOLS] = ("none",)
    if protocol.unseen_tools:
        arms[UNSEEN_TOOLS] = (*protocol.tools, *protocol.unseen_tools)
    scorer = scorer_of(benchmark.name, judge)
    single = None
    if slice_name in (FULL, *benchmark.single_turn) and benchmark.single_turn:
        single = _env(config, benchmark, home, tools=("none",), scorer=scorer, instructions=_SINGLE_TURN)
    made = {arm: _env(config, benchmark, home, tools=tools, scorer=scorer) for arm, tools in arms.items()}
    size = next(iter(made.values())).asked.size
    return Asked(
        benchmark=benchmark,
        path=home,
        slice=slice_name,
        count=size if config.questions is None else min(size, config.questions),
        arms=made,
        single=single,
        judge=judge.name if judge is not None and takes_judge(benchmark.name) else None,
    )


def _env(
    config: BenchmarkEvalConfig, benchmark: Benchmark, home: Path, *, tools: Sequence[str], **more: Any
) -> BenchmarkEnv:
    protocol: ProtocolConfig = config.protocol
    searches = any(name in ("paper", "search") for name in tools)
    return BenchmarkEnv(
        name=benchmark.name,
        path=home,
        slice=config.slice,
        tools=list(tools),
        search=protocol.search if searches else None,
        max_turns=protocol.max_turns,
        view_size=protocol.view_size,
        **more,
    )


def takes_judge(benchmark: str) -> bool:
    """Whether a judge decides anything there."""
    return benchmark in _JUDGED


def scorer_of(benchmark: str, judge: NamedJudge | None) -> scorers.Scorer:
    """The scorer of a benchmark, with the judge where it takes one."""
    if judge is None or not takes_judge(benchmark):
        return scorers.SCORERS[benchmark]()
    return _JUDGED[benchmark](judge.judge)


def asked_question(benchmark: Benchmark, question: Question, *, part: str, images: int) -> AskedQuestion:
    """A question as records hold it.

    Args:
        benchmark: what it belongs to.
        question: the question.
        part: its part of the benchmark.
        images: how many images its prompt shows.
    """
    extra = {name: value for name, value in question.extra.items() if _is_plain(value)}
    kinds = {name: str(value) for name, value in extra.items() if isinstance(value, str | int | bool)}
    own = _CLUSTERS.get(benchmark.name)
    return AskedQuestion(
        id=question.id,
        part=part,
        cluster=question.id if own is None else str(question.extra[own]),
        kinds={"part": part, **{name: value for name, value in kinds.items() if len(value) <= _LONGEST_KIND}},
        text=question.text,
        images=images,
        answer=question.answer,
        alternatives=question.alternatives,
        options=question.options,
        extra=extra,
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _prompt_hash(env: BenchmarkEnv) -> str:
    tools = [[tool.name, tool.description, dict(tool.parameters)] for tool in env.tools]
    told = json.dumps([env.instructions, tools], sort_keys=True, default=repr)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def scorer_hash() -> str:
    """A hash over the source of the scorers: equal hashes score equal responses equally."""
    digest = hashlib.sha256()
    for file in sorted(Path(scorers.__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:32]
