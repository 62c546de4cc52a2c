"""Defines `evaluate`: Pass@k and every diagnostic of a policy on held-out questions, with intervals over questions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from axpo.algorithm.questions import held_out_questions
from axpo.algorithm.sampling import agent_groups, sample_groups
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Group
from axpo.diagnostics._thresholds import threshold_problem
from axpo.diagnostics.estimates import Estimate
from axpo.diagnostics.metrics import PASS_KS, evaluation_metrics, has_no_room, step_metrics
from axpo.diagnostics.parts import Parts, evaluation_parts
from axpo.records.solved import Solved
from axpo.records.tried import Tried, shared_by_tokens, tried_of
from axpo.settings.config import ConfigError, SamplingConfig
from axpo_agents.policy import Sampler, TextAgent
from axpo_agents.rolling import Lost
from axpo_envs.env import ToolEnv
from axpo_envs.types import Question

logger = logging.getLogger(__name__)

Metric = dict[str, float | int | None]
"""A measured value as JSON holds it: value, n, low, high; the value is None where nothing was counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What is asked, how often, and how answers are sampled."""

    questions: int = 100
    """Held-out questions, the first of their source; fewer if it has fewer."""
    sampling: SamplingConfig
    """Its group size is the number of rollouts per question, its questions are what is sampled at a time."""
    seed: int = 0
    """Seeds the sampling; independent of any training seed."""
    success_threshold: float = 0.5
    """A rollout with a reward below it is wrong."""
    split: str = "test"
    """What the questions are called in records: a split, `held_out` or `all` (see `axpo.run.environments`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an evaluation found."""

    metrics: Mapping[str, Estimate | None]
    """Pass@k and every diagnostic, with intervals over questions; None where there was nothing to count."""
    questions: int
    """Questions asked."""
    rollouts: int
    """Episodes finished."""
    tokens: int
    """Tokens sampled."""
    dropped_rollouts: int
    """Episodes that infrastructure faults took for good; they are scored nowhere."""
    dropped_tool_rollouts: int
    """Those of them that had called a tool."""
    prompts_too_long: int
    """Questions whose prompts left no room for a token; they count as wrong."""
    seconds: float
    """Wall-clock time, the drawing of questions included."""
    split: str
    """What the questions are called."""
    parts: Parts = field(default_factory=dict)
    """The same per environment, per tool and per number of needed calls."""
    solved: tuple[Solved, ...] = ()
    """How often each question was solved, in the order in which they were asked; not in the record."""
    tried: tuple[Tried, ...] = ()
    """What every rollout of each question came to and cost, in the same order; not in the record."""

    def as_record(self) -> dict[str, Any]:
        """The form in which JSON files hold it."""
        return {
            "metrics": {name: as_metric(estimate) for name, estimate in self.metrics.items()},
            **{
                kind: {
                    part: {name: as_metric(estimate) for name, estimate in found.items()}
                    for part, found in parts.items()
                }
                for kind, parts in self.parts.items()
            },
            "split": self.split,
            "questions": self.questions,
            "rollouts": self.rollouts,
            "tokens": self.tokens,
            "dropped_rollouts": self.dropped_rollouts,
            "dropped_tool_rollouts": self.dropped_tool_rollouts,
            "prompts_too_long": self.prompts_too_long,
            "seconds": self.seconds,
        }


def evaluate(
    policy: Sampler | TextAgent,
    env: ToolEnv,
    plan: EvaluationPlan,
    *,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Samples the plan's rollouts and measures them. The result is a function of weights, environment and plan.

    How many questions are sampled at a time (`plan.sampling.questions`) changes nothing but rounding.

    Args:
        policy: what is evaluated: whatever samples tokens, or an agent that writes text (in one process, turn by turn).
        env: asks the held-out questions.
        plan: how many, how often.
        progress: told the finished share (0 to 1) now and then.

    Raises:
        ConfigError: no question's prompt leaves room for a token.
        InfrastructureFault: a whole part of the episodes was lost.
        NonFiniteError: logits or rewards are infinite or not a number.
    """
    started = time.perf_counter()
    return _measured(sample_held_out(policy, env, plan, progress=progress), env, plan, started)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What was sampled of held-out questions."""

    groups: tuple[Group, ...]
    """The rollouts, by question."""
    seconds: tuple[float, ...]
    """Per group: its share, by tokens sampled, of the wall-clock time of what was sampled together."""
    lost: tuple[Lost, ...]
    """Episodes that infrastructure faults took for good."""


def sample_held_out(
    policy: Sampler | TextAgent,
    env: ToolEnv,
    plan: EvaluationPlan,
    *,
    progress: Callable[[float], None] | None = None,
) -> HeldOut:
    """The rollouts that `evaluate` measures, by question.

    Args:
        policy: what samples them.
        env: asks the held-out questions.
        plan: how many, how often.
        progress: told the finished share (0 to 1) now and then.

    Raises:
        InfrastructureFault: a whole part of the episodes was lost.
        NonFiniteError: logits or rewards are infinite or not a number.
    """
    questions = held_out_questions(env.questions, plan.questions)
    at_a_time = plan.sampling.questions
    groups: list[Group] = []
    seconds: list[float] = []
    lost: list[Lost] = []
    for start in range(0, len(questions), at_a_time):
        part = questions[start : start + at_a_time]
        begun = time.perf_counter()
        sampled = _sampled(policy, part, env, plan, lost.append)
        groups += sampled
        seconds += shared_by_tokens(time.perf_counter() - begun, sampled)
        if progress is not None:
            progress((start + len(part)) / len(questions))
    return HeldOut(groups=tuple(groups), seconds=tuple(seconds), lost=tuple(lost))


def _sampled(
    policy: Sampler | TextAgent,
    questions: Sequence[Question],
    env: ToolEnv,
    plan: EvaluationPlan,
    on_lost: Callable[[Lost], None],
) -> tuple[Group, ...]:
    seed = derive_seed(plan.seed, "evaluation")
    if hasattr(policy, "encode_prompt"):
        return sample_groups(questions, cast("Sampler", policy), env, plan.sampling, seed=seed, on_lost=on_lost)
    return agent_groups(questions, policy, env, plan.sampling, seed=seed)


def _count_unfit(groups: Sequence[Group], sampling: SamplingConfig) -> int:
    """How many questions' prompts left no room for a token, which is said; all of them is refused."""
    unfit = sum(all(map(has_no_room, group.rollouts)) for group in groups)
    if not unfit:
        return 0
    problem = (
        f"the prompts of {unfit} of {len(groups)} questions leave no room for a token; the limit of an episode is "
        f"{sampling.max_episode_tokens} tokens (max_episode_tokens), or what the model was made for"
    )
    if unfit == len(groups):
        raise ConfigError(problem)
    logger.warning("%s. They count as wrong", problem)
    return unfit


def _measured(sampled: HeldOut, env: ToolEnv, plan: EvaluationPlan, started: float) -> Evaluation:
    groups, lost = sampled.groups, sampled.lost
    tools = [tool.name for tool in env.tools]
    threshold = plan.success_threshold
    ks = [k for k in PASS_KS if k <= plan.sampling.group_size]
    rewards = (rollout.reward for group in groups for rollout in group.rollouts)
    if problem := threshold_problem(rewards, threshold):
        logger.warning("%s", problem)
    counts = step_metrics(groups, tools=tools, success_threshold=threshold)
    return Evaluation(
        metrics=evaluation_metrics(groups, ks=ks, tools=tools, success_threshold=threshold),
        parts=evaluation_parts(groups, ks=ks, tools=tools, success_threshold=threshold),
        questions=len(groups),
        rollouts=int(counts["rollouts"] or 0),
        tokens=int(counts["tokens"] or 0),
        dropped_rollouts=len(lost),
        dropped_tool_rollouts=sum(episode.used_tool for episode in lost),
        prompts_too_long=_count_unfit(groups, plan.sampling),
        seconds=time.perf_counter() - started,
        split=plan.split,
        solved=tuple(
            Solved(
                question=group.question.id,
                rollouts=len(group.rollouts),
                right=sum(rollout.reward >= threshold for rollout in group.rollouts),
            )
            for group in groups
        ),
        tried=tuple(
            tried_of(group, seconds, success_threshold=threshold)
            for group, seconds in zip(groups, sampled.seconds, strict=True)
        ),
    )


def as_metric(estimate: Estimate | None) -> Metric:
    """A measured value as JSON holds it."""
    return {"value": None, "n": 0, "low": None, "high": None} if estimate is None else estimate.as_dict()
