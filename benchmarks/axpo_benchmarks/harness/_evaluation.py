"""Defines `evaluate_benchmarks`, which puts a model through benchmarks and goes on after a kill, and `rescore`."""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import EvaluatedRollout, Provenance
from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo_benchmarks.environment import ScorerReward
from axpo_benchmarks.harness._asking import Asked, find_asked, scorer_hash, scorer_of, takes_judge
from axpo_benchmarks.harness._engines import Engine, Job
from axpo_benchmarks.harness._judging import NamedJudge, judged_by, open_judge
from axpo_benchmarks.harness._models import open_engine
from axpo_benchmarks.harness._record import record_of
from axpo_envs.types import Question

logger = logging.getLogger(__name__)

_ROOT: Final = Path("evaluations")


def _nothing(_told: Any) -> None:
    """Tells nobody."""


def evaluate_benchmarks(
    config: BenchmarkEvalConfig,
    *,
    progress: Callable[[float], None] = _nothing,
    warn: Callable[[str], None] = _nothing,
) -> dict[str, Any]:
    """Makes the rollouts that the evaluation's folder does not hold yet, and counts all of them.

    Args:
        config: what is evaluated, and how.
        progress: told the finished share (0 to 1) now and then.
        warn: told what a person should know.

    Returns:
        The record of `record_of`.

    Raises:
        ConfigError: a setting is unusable, or the folder holds another evaluation; nothing has been asked yet.
        PolicyError: the model cannot be loaded, or its server cannot do what is needed.
        InfrastructureFault: every rollout was lost.
    """
    config = checked(config)
    folder = EvaluationFolder(folder_of(config))
    with (
        open_judge(config.judge, config.judge_model, config.judge_key_variable, folder=folder) as judge,
        open_engine(config, warn=warn) as (engine, revision),
    ):
        asked = find_asked(config, judge)
        for one in asked:
            for difference in one.differences():
                warn(f"{one.benchmark.name}: {difference}")
        folder.begin(_provenance(config, asked, revision))
        for one in asked:
            folder.write_questions(one.benchmark.name, one.questions())
        jobs = _open_jobs(folder, asked, config.protocol.samples)
        _make(folder, engine, jobs, total=_total(asked, config.protocol.samples), progress=progress, warn=warn)
    return record_of(folder)


def folder_of(config: BenchmarkEvalConfig) -> Path:
    """The evaluation's folder: the chosen one, or one named after the model."""
    if config.out is not None:
        return Path(config.out).expanduser()
    name = re.sub(r"[^A-Za-z0-9.]+", "-", re.sub("^https?://", "", config.model)).strip("-.")
    return _ROOT / (name or "model")


def _provenance(config: BenchmarkEvalConfig, asked: Sequence[Asked], revision: str | None) -> Provenance:
    return Provenance(
        axpo=importlib.metadata.version("axpo"),
        model=config.model if config.served_model is None else f"{config.model} {config.served_model}",
        revision=revision,
        protocol=config.protocol.as_record(),
        benchmarks={one.benchmark.name: one.provenance() for one in asked},
    )


def _total(asked: Sequence[Asked], samples: int) -> int:
    return sum(one.count * len(one.arms) * samples for one in asked)


def _open_jobs(folder: EvaluationFolder, asked: Sequence[Asked], samples: int) -> list[Job]:
    """What is still to be made, benchmark by benchmark and arm by arm."""
    jobs = []
    for one in asked:
        name = one.benchmark.name
        ids = [question.id for question in folder.questions(name)]
        for arm in one.arms:
            there = {(rollout.question, rollout.sample) for rollout in folder.rollouts(name, arm)}
            for index, question in enumerate(ids):
                left = tuple(sample for sample in range(samples) if (question, sample) not in there)
                if left:
                    jobs.append(Job(benchmark=name, arm=arm, env=one.env(arm, index), index=index, samples=left))
    return jobs


def _make(
    folder: EvaluationFolder,
    engine: Engine,
    jobs: Sequence[Job],
    *,
    total: int,
    progress: Callable[[float], None],
    warn: Callable[[str], None],
) -> None:
    done = total - sum(len(job.samples) for job in jobs)
    kept, lost = 0, []
    progress(done / total)
    with closing(engine.run(jobs)) as making:
        for made in making:
            if made.rollout is None:
                lost.append(made)
            else:
                folder.add(made.job.benchmark, made.job.arm, made.rollout)
                kept += 1
            progress((done + kept + len(lost)) / total)
    if lost:
        fault = lost[-1].fault
        if not kept and fault is not None:
            raise fault
        warn(
            f"{len(lost)} rollouts were lost to infrastructure faults, the last one: {fault}. They are not scored; the "
            "same command again makes them"
        )


def rescore(
    path: str | Path,
    *,
    judge: str | None = None,
    judge_model: str | None = None,
    judge_key_variable: str | None = None,
    warn: Callable[[str], None] = _nothing,
) -> tuple[dict[str, Any], int]:
    """Scores the responses of an evaluation again, by the rules of now, without asking the model.

    Every file is replaced as a whole. A judge is shown no images, which the folder does not hold.

    Args:
        path: the evaluation's folder.
        judge: `package.module:name` of a judge, or the address of its server; None for rules alone.
        judge_model: with an address, the model's name there.
        judge_key_variable: with an address, the environment variable that holds its key.
        warn: told what a person should know.

    Returns:
        The record of `record_of`, and how many verdicts changed.

    Raises:
        ConfigError: it is no evaluation.
        DamagedFileError: a file was changed.
        InfrastructureFault: the judge stays unreachable; what it said is kept, and nothing is replaced.
    """
    folder = EvaluationFolder(path)
    provenance = folder.provenance()
    with open_judge(judge, judge_model, judge_key_variable, folder=folder) as opened:
        changed = _rescored(folder, opened, warn)
    named = None if opened is None else opened.name
    benchmarks = {
        name: replace(one, scorer=scorer_hash(), judge=named if takes_judge(name) else None)
        for name, one in provenance.benchmarks.items()
    }
    folder.replace_provenance(replace(provenance, benchmarks=benchmarks))
    return record_of(folder), changed


def _rescored(folder: EvaluationFolder, judge: NamedJudge | None, warn: Callable[[str], None]) -> int:
    """Scores everything before anything is replaced; returns how many verdicts changed."""
    replaced = []
    for name, arm in folder:
        asked = {question.id: question.question for question in folder.questions(name)}
        scoring = ScorerReward(scorer_of(name, judge))
        before = folder.rollouts(name, arm)
        after = tuple(_judged_again(rollout, asked, scoring) for rollout in before)
        different = sum(one.judged != other.judged for one, other in zip(before, after, strict=True))
        if different:
            replaced.append((name, arm, after, different))
    for name, arm, after, different in replaced:
        folder.replace_rollouts(name, arm, after)
        warn(f"{name}, {arm}: {different} of {len(after)} verdicts changed")
    return sum(different for *_, different in replaced)


def _judged_again(rollout: EvaluatedRollout, asked: dict[str, Question], scoring: ScorerReward) -> EvaluatedRollout:
    if rollout.question not in asked:
        raise ConfigError(f"expected a question of the evaluation; got a rollout of {rollout.question!r}")
    last = rollout.turns[-1].text if rollout.turns else ""
    return replace(rollout, judged=judged_by(scoring.verdict(asked[rollout.question], last, rollout.stop)))


__all__ = ["evaluate_benchmarks", "folder_of", "rescore"]
