"""Defines `probe`, which asks a live policy again from snapshots of what it did, and `ProbeResult`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from axpo.checkpoint_evaluation import open_checkpoint
from axpo.diagnostics.estimates import Estimate
from axpo.evaluation.evaluate import EvaluationPlan, as_metric, sample_held_out
from axpo.probes.calibration import calibration
from axpo.probes.call_diversity import call_diversity
from axpo.probes.forced_acting import forced_acting
from axpo.probes.subject import Finding, Subject
from axpo.probes.without_tools import without_tools
from axpo.settings._evaluation import EvalConfig
from axpo.settings._probe import ProbeConfig, ProbeName
from axpo_agents.policy import Sampler
from axpo_envs.env import ToolEnv

logger = logging.getLogger(__name__)

PROBES: Final[Mapping[ProbeName, Callable[[Subject], Finding]]] = {
    ProbeName.DIVERSITY: call_diversity,
    ProbeName.TOOLS: without_tools,
    ProbeName.FORCED: forced_acting,
}
"""The probes by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What probes of a policy found."""

    metrics: Mapping[str, Estimate | None]
    """Every measure of every probe, with intervals over questions; None where there was nothing to count."""
    questions: tuple[Mapping[str, Any], ...]
    """What was counted of each question: its id, and an object for every probe that counted something."""
    rollouts: int
    """Episodes that were sampled from the questions and finished."""
    resampled: int
    """Episodes that were sampled from snapshots for the probes and finished."""
    dropped: int
    """Episodes that infrastructure faults took for good; they are scored nowhere."""
    undecided: Mapping[str, int]
    """Rollouts to which a probe could not be done, by the probe's name."""
    split: str
    """What the questions are called."""
    seconds: float
    """Wall-clock time."""

    def as_record(self) -> dict[str, Any]:
        """The form in which JSON files hold it."""
        return {
            "metrics": {name: as_metric(estimate) for name, estimate in self.metrics.items()},
            "questions": [dict(question) for question in self.questions],
            "rollouts": self.rollouts,
            "resampled": self.resampled,
            "dropped": self.dropped,
            "undecided": dict(self.undecided),
            "split": self.split,
            "seconds": self.seconds,
        }


def probe(
    policy: Sampler,
    env: ToolEnv,
    plan: EvaluationPlan,
    config: ProbeConfig,
    *,
    progress: Callable[[float], None] | None = None,
) -> ProbeResult:
    """Samples the rollouts of an evaluation, and from their snapshots what the probes ask for.

    All but `seconds` is a function of weights, environment, plan and config. The rollouts are those that `evaluate`
    samples with the same plan.

    Args:
        policy: what is probed.
        env: asks the held-out questions.
        plan: how many, how often, how answers are sampled.
        config: which probes are made.
        progress: told the finished share (0 to 1) now and then.

    Raises:
        ConfigError: a probe cannot be made of this policy or environment.
        InfrastructureFault: a whole part of the episodes was lost.
        NonFiniteError: logits or rewards are infinite or not a number.
    """
    started = time.perf_counter()
    stages = 1 + len(config.probes)
    told = progress or (lambda _share: None)
    sampled = sample_held_out(policy, env, plan, progress=lambda share: told(share / stages))
    subject = Subject(policy=policy, env=env, groups=sampled.groups, plan=plan, config=config)
    findings: dict[str, Finding] = {}
    for done, name in enumerate(dict.fromkeys(config.probes), start=1):
        findings[name.value] = PROBES[name](subject)
        told((done + 1) / stages)
    all_findings = (calibration(subject), *findings.values())
    return ProbeResult(
        metrics={name: estimate for finding in all_findings for name, estimate in finding.metrics.items()},
        questions=_questions(subject, findings),
        rollouts=sum(len(group.rollouts) for group in sampled.groups),
        resampled=sum(finding.episodes for finding in findings.values()),
        dropped=len(sampled.lost) + sum(finding.dropped for finding in findings.values()),
        undecided={name: finding.undecided for name, finding in findings.items()},
        split=plan.split,
        seconds=time.perf_counter() - started,
    )


def probe_checkpoint(
    config: EvalConfig, probes: ProbeConfig, *, progress: Callable[[float], None] | None = None
) -> ProbeResult:
    """Probes what `locate_checkpoint` has found.

    Args:
        config: what is asked, and how; its environment is known.
        probes: which probes are made.
        progress: told the finished share (0 to 1) now and then.

    Raises:
        ConfigError: a value is unusable.
        PolicyError: the checkpoint cannot be loaded, or the server cannot do what is needed.
        InfrastructureFault: the server stayed unreachable.
    """
    with open_checkpoint(config) as opened:
        return probe(opened.policy, opened.env, opened.plan, probes, progress=progress)


def _questions(subject: Subject, findings: Mapping[str, Finding]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "question": group.question.id,
            **{name: dict(found) for name, finding in findings.items() if (found := finding.questions.get(index))},
        }
        for index, group in enumerate(subject.groups)
    )
