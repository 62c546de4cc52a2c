"""Defines `axpo-bench evidence`: the comparison behind the README over seeds and strengths of guessing, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from axpo.commands.arguments import check_output, write_json
from axpo.compare.comparison import EMBEDDED, ComparisonConfig, compare
from axpo.records.outcomes import Comparison
from axpo.settings.config_file import checked
from axpo.settings.values import Count, CountOrNone, Probability
from axpo_benchmarks.machine import provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceConfig:
    """Compare methods over seeds, at one or several strengths of guessing.

    Runs that are finished are used again, unfinished ones are continued, so the command may be repeated.
    """

    methods: tuple[str, ...] = ("grpo", "grpo_n10", "axpo")
    """Methods and ablations, as `axpo compare` names them."""
    seeds: tuple[CountOrNone, ...] = (0, 1, 2, 3, 4)
    """Seeds."""
    guess_rates: tuple[Probability, ...] = (0.7,)
    """How often guessing may succeed: a comparison is made for each."""
    steps: Count = 60
    """Training steps of each run."""
    model: str = "tiny"
    """The policy that every run starts from."""
    out: Path = Path("runs/evidence")
    """Folder of the runs."""
    json: Path | None = None
    """Write the results to this file."""


def run_evidence(config: EvidenceConfig) -> int:
    """Trains what is missing, compares, writes; returns the exit code."""
    config = checked(config)
    check_output(config.json)
    console = Console()
    points = []
    for rate in config.guess_rates:
        console.rule(f"guess rate {rate:g}")
        comparison = compare(_comparison(config, rate), console=console)
        points.append({"guess_rate": rate, **_summary(comparison)})
        if config.json is not None:
            record = {**provenance(), "steps": config.steps, "seeds": list(config.seeds), "points": points}
            write_json(config.json, record)
    return 0


def _comparison(config: EvidenceConfig, rate: float) -> ComparisonConfig:
    base = replace(
        EMBEDDED,
        model=config.model,
        steps=config.steps,
        env_args=(f"guess_rate={rate:g}",),
        out=str(config.out / f"{rate:g}"),
    )
    log = replace(base.log, checkpoint_every=config.steps, keep_checkpoints=1, rollouts_every=0, tensorboard=False)
    return ComparisonConfig(methods=config.methods, seeds=config.seeds, base=replace(base, log=log))


def _summary(comparison: Comparison) -> dict[str, Any]:
    """Each method's outcome by seed, its mean and its standard deviation."""
    return {
        "start": None if comparison.start is None else comparison.start.outcome.values,
        "methods": {
            entry.name: {
                "mean": entry.mean.values,
                "sd": entry.spread,
                "by_seed": {str(run.seed): run.outcome.values for run in entry.runs},
            }
            for entry in comparison.entries
        },
    }
