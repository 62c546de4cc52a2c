"""Defines `record_of`: everything that is counted of an evaluation's folder, as JSON files hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from axpo.diagnostics.estimates import Estimate
from axpo.evaluation.evaluate import as_metric
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import BenchmarkProvenance
from axpo_benchmarks.harness._asking import NO_TOOLS, TOOLS, UNSEEN_TOOLS
from axpo_benchmarks.harness._figures import (
    Figures,
    Groups,
    acting,
    by_question,
    categories,
    cost,
    judging,
    mean_of,
    paired,
    success,
)
from axpo_benchmarks.harness._published import GRADED, PUBLISHED
from axpo_benchmarks.loaders import BENCHMARKS

_UNKNOWN: Final[Mapping[str, Any]] = {"value": None}


def record_of(folder: EvaluationFolder) -> dict[str, Any]:
    """Counts what is there, an unfinished evaluation too.

    Returns:
        `metrics`: the averages over benchmarks, which are the figures themselves where there is just one; `benchmarks`:
        by name, with `metrics` and `arms`; `provenance`. Of graded benchmarks (MMSearch) the averages take the mean
        score and the best of four.

    Raises:
        ConfigError: it is no evaluation.
        DamagedFileError: a file was changed.
    """
    provenance = folder.provenance()
    benchmarks = {name: _benchmark(folder, name, asked) for name, asked in provenance.benchmarks.items()}
    firsts = {name: found["arms"][TOOLS]["metrics"] for name, found in benchmarks.items()}
    metrics = next(iter(firsts.values())) if len(firsts) == 1 else _averages(firsts)
    extra = next(iter(benchmarks.values()))["metrics"] if len(firsts) == 1 else {}
    return {
        "metrics": {**metrics, **extra},
        "benchmarks": benchmarks,
        "rollouts": sum(arm["rollouts"] for found in benchmarks.values() for arm in found["arms"].values()),
        "missing": sum(arm["missing"] for found in benchmarks.values() for arm in found["arms"].values()),
        "provenance": asdict(provenance),
    }


def _benchmark(folder: EvaluationFolder, name: str, asked: BenchmarkProvenance) -> dict[str, Any]:
    questions = folder.questions(name)
    samples = int(folder.provenance().protocol["samples"])
    groups: dict[str, Groups] = {arm: by_question(folder.rollouts(name, arm)) for arm in asked.tools}
    arms = {}
    for arm, rollouts in groups.items():
        made = sum(map(len, rollouts.values()))
        figures = {**success(questions, rollouts), **acting(questions, rollouts), **cost(questions, rollouts)}
        figures |= {} if asked.judge is None else judging(questions, rollouts)
        published = PUBLISHED.get(name)
        figures |= {} if published is None else published(questions, rollouts)
        arms[arm] = {
            "metrics": _metrics(figures),
            "categories": {
                kind: {value: {"metrics": _metrics(found)} for value, found in values.items()}
                for kind, values in categories(questions, rollouts).items()
            },
            "rollouts": made,
            "missing": len(questions) * samples - made,
        }
    between: Figures = {}
    # Stages that are asked without tools in every arm say nothing of tools.
    acted = [one for one in questions if one.part not in BENCHMARKS[name].single_turn]
    if NO_TOOLS in groups:
        between |= paired(acted, groups[TOOLS], groups[NO_TOOLS], prefix="tool")
    if UNSEEN_TOOLS in groups:
        between |= paired(acted, groups[UNSEEN_TOOLS], groups[TOOLS], prefix="unseen_tool")
    return {
        "slice": asked.slice,
        "questions": len(questions),
        "differences": list(asked.differences),
        "metrics": _metrics(between),
        "arms": arms,
    }


def headline(name: str, metrics: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the paper's tables show of a benchmark: Pass@1 and Pass@4, of graded ones mean score and best of four.

    Where all stages of MMSearch were asked, both are what they weigh together.

    Args:
        name: the benchmark's name.
        metrics: its metrics as JSON holds them.
    """
    if metrics.get("final", _UNKNOWN)["value"] is not None:
        return metrics["final"], metrics["final_best_of_4"]
    if name in GRADED:
        return metrics["score"], metrics["best_of_4_score"]
    return metrics["pass1"], metrics["any_of_4"]


def _averages(firsts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    pairs = [headline(name, metrics) for name, metrics in firsts.items()]
    shared = {"pass1": [one for one, _ in pairs], "any_of_4": [other for _, other in pairs]}
    for name in ("tool_attempt_rate", "unparsable_rate", "cut_rate", "tokens_written"):
        shared[name] = [metrics[name] for metrics in firsts.values()]
    return _metrics({name: mean_of([_estimate(one) for one in values]) for name, values in shared.items()})


def _estimate(metric: Mapping[str, Any]) -> Estimate | None:
    return None if metric["value"] is None else Estimate(**metric)


def _metrics(figures: Mapping[str, Estimate | None]) -> dict[str, Any]:
    return {name: as_metric(estimate) for name, estimate in figures.items()}
