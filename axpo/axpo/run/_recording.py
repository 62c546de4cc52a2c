"""Defines `StepRecorder`, which makes the records of a run's steps, writes them down, and says what stands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axpo.algorithm.types import Group
from axpo.diagnostics._collapse import tool_collapse
from axpo.diagnostics._thresholds import threshold_problem
from axpo.diagnostics.metrics import step_metrics
from axpo.diagnostics.parts import step_parts
from axpo.run._beginning import RunParts
from axpo.run._following import RunRecords
from axpo.run._step_record import warnings_of
from axpo.run.display import Display


class StepRecorder:
    """Records the steps of a run.

    Args:
        parts: what is trained, on what, and how.
        log: where the records go.
        display: told of every step, and of what stands out.
    """

    def __init__(self, parts: RunParts, log: RunRecords, display: Display) -> None:
        self._parts = parts
        self._config = parts.config
        self._log = log
        self._display = display
        self._history = log.steps()
        self._threshold_doubted = False

    @property
    def last(self) -> Mapping[str, Any]:
        """The record of the last step; empty before the first."""
        return self._history[-1] if self._history else {}

    def diagnosed(self, groups: Sequence[Group]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The metrics of a step's groups, and what their rewards are made of."""
        tools = [tool.name for tool in self._parts.worlds.training.tools]
        threshold = self._config.success_threshold
        metrics = step_metrics(groups, tools=tools, success_threshold=threshold)
        return metrics, step_parts(groups, tools=tools, success_threshold=threshold)

    def add(self, measured: Mapping[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
        """Writes a step down and tells it; all processes must call it.

        Args:
            measured: the step, under `step`, and what was measured of it.
            groups: what it learned from.

        Returns:
            Its record.
        """
        collapse = tool_collapse([*self._history, measured])
        record = {**measured, "tool_collapse": float(collapse is not None), "tool_collapse_kind": collapse}
        self._parts.ranks.together(lambda: self._write(record, groups))
        for warning in warnings_of(record, self._history, questions=self._config.sampling.questions):
            self._display.note(warning)
        self._doubt_threshold(groups)
        self._history.append(record)
        self._display.step(record)
        return record

    def _write(self, record: Mapping[str, Any], groups: Sequence[Group]) -> None:
        log, step = self._config.log, record["step"]
        if log.rollouts_every and step % log.rollouts_every == 0:
            self._log.write_rollouts(step, groups, log.rollouts_per_step, self._parts.worlds.training.tools)
        self._log.append_step(record)

    def _doubt_threshold(self, groups: Sequence[Group]) -> None:
        """Says once if what counts as a success is not what the rewards say."""
        rewards = (rollout.reward for group in groups for rollout in group.rollouts)
        problem = threshold_problem(rewards, self._config.success_threshold)
        if problem and not self._threshold_doubted:
            self._threshold_doubted = True
            self._display.note(f"success_threshold: {problem}")
