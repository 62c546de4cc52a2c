"""Defines `axpo-bench plan`: what `axpo plan` predicts of short runs on this machine, beside what they took.

A pilot of few small steps tells what episodes are like, a random model of the same shape is measured, and a step
several times as large is predicted. Then such steps are made. Time is the process's own on one thread, because other
programs may run on the machine; memory is the bytes of tensors, to which Python and its libraries come.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any, Final

import torch
import tyro
from rich.console import Console

from axpo.algorithm.outcome import StepOutcome
from axpo.algorithm.selection import prefix_budget
from axpo.algorithm.step import Training, train_step
from axpo.algorithm.types import Group
from axpo.commands.arguments import check_output, write_json
from axpo.plan.machines import machine_here
from axpo.plan.measuring import measure_costs
from axpo.plan.placement import Placement
from axpo.plan.planning import Plan, Subject, make_plan
from axpo.plan.workload import Expected
from axpo.run.environments import make_env, parse_env_args
from axpo.settings.config import ConfigError, TrainConfig
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_agents.types import Completion
from axpo_benchmarks.machine import provenance
from axpo_benchmarks.plan_cases import CASES, Case
from axpo_benchmarks.speed.models import save_vision_model
from axpo_benchmarks.speed.training import peak_bytes

LIMIT: Final = 0.25
"""Largest share by which a prediction may be off."""
_STEPS: Final = 3
"""Steps that are timed, after one that is not."""
_PILOT: Final = 6
"""Steps of a pilot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """Hold what `axpo plan` predicts of short runs on this machine against what they take."""

    cases: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Which runs (tiny, tiny-python, tiny-desk, "small random Qwen3-VL"); all by default."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure, predicted and measured."""

    case: str
    """Of which run."""
    name: str
    """What it is."""
    unit: str
    """In what."""
    predicted: float
    """What the plan says."""
    measured: float
    """What it was."""
    limit: float | None = LIMIT
    """Largest share by which it may be off; None for a figure that only informs."""

    @property
    def error(self) -> float:
        """By what share the prediction is too high, or too low if negative."""
        return self.predicted / self.measured - 1

    @property
    def is_met(self) -> bool:
        """Whether it is close enough."""
        return self.limit is None or abs(self.error) <= self.limit


def run_plan(config: PlanConfig) -> int:
    """Measures, prints and writes; returns the exit code: 1 if a prediction is further off than the limit."""
    if unknown := sorted(set(config.cases) - set(CASES)):
        raise ConfigError(f"cases: expected some of {', '.join(CASES)}; got {unknown[0]!r}")
    check_output(config.json)
    torch.set_num_threads(1)
    rows: list[Row] = []
    with Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat:
        for name, case in CASES.items():
            if not config.cases or name in config.cases:
                rows += check_case(case, heartbeat.doing)
    records = [{**asdict(row), "error": row.error} for row in rows]
    write_json(config.json, {**provenance(), "clock": "process time on one thread", "rows": records})
    Console().print(_table(rows))
    return int(not all(row.is_met for row in rows))


def check_case(case: Case, doing: Callable[[str], None], *, steps: int = _STEPS) -> list[Row]:
    """Predicts and makes the steps of a case.

    Args:
        case: the run.
        doing: told what is done.
        steps: steps that are timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = case.config
        if case.random_model:
            config = replace(config, model=str(save_vision_model(Path(folder) / "model")))
        doing(f"{case.name}: the pilot")
        expected = _pilot(replace(config, sampling=case.pilot))
        doing(f"{case.name}: measuring")
        plan = _planned(config, expected)
        doing(f"{case.name}: the run")
        return list(_compared(case.name, plan, steps))


def _pilot(config: TrainConfig) -> Expected:
    training, _ = _training(config)
    outcomes = [train_step(training, step) for step in range(1, _PILOT + 1)]
    expected = expected_of(config, outcomes, image_token=training.learner)
    work = Subject.of(replace(config, out="unused"), expected).work
    passed = fmean(outcome.stats.scored_tokens for outcome in outcomes)
    return replace(expected, trained_share=min(1.0, passed / work.tree_tokens))


def _training(config: TrainConfig) -> tuple[Training, TransformersPolicy]:
    policy = load_policy(config.model)
    env = make_env(config.env, parse_env_args(config.env_args))
    return Training.of(replace(config, optim=replace(config.optim, lr=1e-6)), env, policy), policy


def _planned(config: TrainConfig, expected: Expected) -> Plan:
    subject = Subject.of(replace(config, out="unused"), expected)
    env = make_env(config.env, parse_env_args(config.env_args))
    costs = measure_costs(subject.config, subject.model, subject.work, env=env)
    placement = Placement(learners=1, on_cuda=False, machine=machine_here("cpu"))
    return make_plan(subject, placement, costs=costs)


def expected_of(config: TrainConfig, outcomes: Sequence[StepOutcome], *, image_token: Any) -> Expected:
    """What steps tell of episodes, on the token level, which records of a run do not hold."""
    groups = [group for outcome in outcomes for group in outcome.groups]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    acting = [rollout for rollout in rollouts if rollout.used_tool]
    written = [len(turn.ids) - turn.forced for turn in _turns(groups)]
    seen = [turn.context for turn in _turns(groups, first=False)]
    image = getattr(image_token, "image_token", None)
    calls = [call.result.seconds for rollout in acting for turn in rollout.episode.turns for call in turn.calls]
    budget = prefix_budget(config.selection, config.sampling.questions * config.sampling.group_size)
    points = [len(outcome.points) for outcome in outcomes]
    return Expected(
        tool_rate=len(acting) / len(rollouts),
        calls=max(1.0, fmean(len(rollout.completions) - 1 for rollout in acting)) if acting else 1.0,
        turn_tokens=fmean(written),
        longest_turn=fmean(_longest(groups)),
        observation_tokens=fmean(sum(t != image for t in context.ids) for context in seen) if seen else 0.0,
        observation_images=fmean(len(context.images) for context in seen) if seen else 0.0,
        tool_seconds=median(calls) if calls else 0.0,
        selected_share=min(1.0, fmean(points) / budget) if budget else None,
    )


def _longest(groups: Sequence[Group]) -> list[int]:
    """Tokens of the longest turn of each round: of first turns, of second ones, and so on."""
    rounds: dict[int, list[int]] = {}
    for group in groups:
        for rollout in group.rollouts:
            for place, turn in enumerate(rollout.completions):
                rounds.setdefault(place, []).append(len(turn.ids))
    return [max(lengths) for lengths in rounds.values()]


def _turns(groups: Sequence[Group], *, first: bool = True) -> Iterator[Completion]:
    """The turns of all rollouts, and what continuations wrote; without `first` those behind a tool's result."""
    for group in groups:
        for rollout in group.rollouts:
            yield from rollout.completions[0 if first else 1 :]
        for branch in group.branches:
            for one in branch.continuations:
                yield from one.completions[branch.point.turn + (0 if first else 1) :]


def _compared(name: str, plan: Plan, steps: int) -> Iterator[Row]:
    """The run's steps, timed, and a last one whose memory is counted."""
    assert plan.times is not None
    training, policy = _training(plan.config)
    train_step(training, 1)
    watches = [_timed(training, step) for step in range(2, 2 + steps)]
    static = _held(training, policy)
    peak = static + peak_bytes(lambda: train_step(training, 2 + steps))
    phases = plan.times.phases
    predicted = {
        "sampling": sum(phases[part] for part in ("questions", "sampling", "resampling", "tools")),
        "update": sum(phases[part] for part in ("drift", "reference", "update")),
        "step": plan.times.step,
    }
    for part, seconds in predicted.items():
        measured = median(watch[part] for watch in watches)
        yield Row(
            case=name,
            name=part,
            unit="s",
            predicted=seconds,
            measured=measured,
            limit=LIMIT if part == "step" else None,
        )
    yield Row(case=name, name="peak memory", unit="MiB", predicted=plan.memory.peak / 2**20, measured=peak / 2**20)


def _timed(training: Training, step: int) -> dict[str, float]:
    """Seconds of a step of the process, by part."""
    spent: dict[str, float] = {}

    @contextmanager
    def phase(part: str) -> Iterator[None]:
        started = time.process_time()
        yield
        part = "update" if part == "update" else "sampling"
        spent[part] = spent.get(part, 0.0) + time.process_time() - started

    started = time.process_time()
    train_step(training, step, phase=phase)
    return {**spent, "step": time.process_time() - started}


def _held(training: Training, policy: TransformersPolicy) -> int:
    """Bytes of what lies there between steps."""
    held = sum(parameter.nbytes for parameter in policy.model.parameters())
    reference = training.reference
    if isinstance(reference, TransformersPolicy):
        held += sum(parameter.nbytes for parameter in reference.model.parameters())
    return held + sum(tensor.nbytes for tensor in training.optimizer.state().values())


def _table(rows: Sequence[Row]) -> FittingTable:
    return FittingTable(
        title="Predicted and measured",
        columns=("predicted", "measured", "off by", "should be", "verdict"),
        rows=tuple(
            (
                f"{row.case}: {row.name}",
                f"{row.predicted:.3g} {row.unit}",
                f"{row.measured:.3g} {row.unit}",
                f"{row.error:+.0%}",
                "" if row.limit is None else f"<= {row.limit:.0%}",
                "" if row.is_met else "missed",
            )
            for row in rows
        ),
    )
