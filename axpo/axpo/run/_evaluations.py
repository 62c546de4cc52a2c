"""Defines `RunEvaluations`: when a run is evaluated on held-out questions, on what terms, and which time was best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from axpo.evaluation.evaluate import EvaluationPlan, evaluate
from axpo.run._beginning import RunParts
from axpo.run._following import RunRecords
from axpo.run._sampling_ahead import SamplingAhead
from axpo.run._stopping import best_step, is_exhausted
from axpo.run.countdown import Countdown
from axpo.run.display import Display
from axpo_agents.policy import Follower


class RunEvaluations:
    """The evaluations of one run.

    Args:
        parts: the policy, its settings, and the held-out questions.
        log: keeps the records.
        display: told how far an evaluation is, and its record.
    """

    def __init__(self, parts: RunParts, log: RunRecords, display: Display) -> None:
        self._parts = parts
        self._plan = parts.config.log
        self._log = log
        self._display = display

    def is_due(self, step: int) -> bool:
        """Whether the policy is to be evaluated after a step, and has not been."""
        every, last = self._plan.eval_every, self._parts.config.steps
        due = step in (0, last) or (every and step % every == 0)
        return bool(self._plan.eval_questions and due) and not any(
            done["step"] == step for done in self._log.evaluations()
        )

    def make(self, step: int, ahead: SamplingAhead | None = None) -> dict[str, Any]:
        """Evaluates the policy after a step; returns the record, which is on the disk by then.

        Args:
            step: the step.
            ahead: samples later steps meanwhile.

        Raises:
            InfrastructureFault: every episode was lost for good.
            NonFiniteError: the policy's logits are infinite or not a number.
            RunLogError: the disk is full.
        """
        config, worlds = self._parts.config, self._parts.worlds
        self._display.phase("evaluation")
        left = Countdown()
        sampler = self._parts.evaluated
        if isinstance(sampler, Follower) and ahead is not None:
            ahead.catch_up(step)
        elif isinstance(sampler, Follower):
            sampler.stage(self._parts.training.learner)
            sampler.adopt()
        evaluation = evaluate(
            sampler,
            worlds.held_out,
            EvaluationPlan(
                questions=self._plan.eval_questions,
                sampling=replace(config.sampling, group_size=self._plan.eval_samples),
                success_threshold=config.success_threshold,
                split=worlds.split,
            ),
            progress=lambda share: self._display.phase(f"evaluation {left(share)}"),
        )
        sampler.forget()
        record = {"step": step, **evaluation.as_record()}
        if worlds.note:
            record["split_note"] = worlds.note
        self._parts.ranks.together(lambda: self._log.append_evaluation(record))
        self._display.evaluation(record)
        return record

    def best_step(self) -> int | None:
        """The step with the highest `log.best_by` so far; None where none was asked for, or none was measured."""
        metric = self._plan.best_by
        return None if metric is None else best_step(self._log.evaluations(), metric)

    def are_exhausted(self) -> bool:
        """Whether `log.patience` evaluations in a row brought nothing better."""
        metric, patience = self._plan.best_by, self._plan.patience
        if metric is None or not patience:
            return False
        return is_exhausted(self._log.evaluations(), metric, patience=patience)
