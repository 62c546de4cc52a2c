"""Defines `Library`, the names of rLLM that a workflow of ours is made of, the same in 0.2 and 0.3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.types import StopReason

_WANTED = "rllm_workflow: expected rLLM 0.2 or 0.3 (github.com/rllm-org/rllm), with rllm.workflows.workflow.Workflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The classes, as rLLM defines them."""

    workflow: Any
    episode: Any
    trajectory: Any
    step: Any
    reason: Any
    event: Any

    @classmethod
    def load(cls) -> Library:
        """Imports them.

        Raises:
            EnvConfigError: what is installed under this name is not rLLM, or has no workflows (0.1), or there is none.
        """
        try:
            from rllm.agents.agent import Episode, Step, Trajectory
            from rllm.workflows.workflow import TerminationEvent, TerminationReason, Workflow
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "rllm":
                raise
            raise EnvConfigError(f"{_WANTED}; got {_installed()}: {error}") from error
        return cls(
            workflow=Workflow,
            episode=Episode,
            trajectory=Trajectory,
            step=Step,
            reason=TerminationReason,
            event=TerminationEvent,
        )

    def ended(self, stop: StopReason | None) -> Any:
        """rLLM's reason for the end of an episode."""
        reasons = {
            StopReason.MAX_TURNS: self.reason.MAX_TURNS_EXCEEDED,
            StopReason.MAX_TOKENS: self.reason.MAX_RESPONSE_LENGTH_EXCEEDED,
        }
        return self.reason.ENV_DONE if stop is None else reasons.get(stop, self.reason.ENV_DONE)

    def is_limit(self, reason: Any) -> bool:
        """Whether the policy's own length or turns ended an episode, which is then scored."""
        limits = ("MAX_PROMPT_LENGTH_EXCEEDED", "MAX_RESPONSE_LENGTH_EXCEEDED", "MAX_TURNS_EXCEEDED")
        return reason.name in limits

    def lost(self, task: Mapping[str, Any], uid: str, fault: InfrastructureFault) -> Any:
        """An episode without a trajectory, which no batch counts."""
        episode = self.episode(id=uid, task=task)
        # 0.3 has no such argument and would drop it without a word; both have the mapping.
        episode.info["fault"] = str(fault)
        # 0.3 counts this reason as an error, not as a wrong answer; 0.2 has none for faults but the one it plays again.
        episode.termination_reason = getattr(self.reason, "SANDBOX_ERROR", self.reason.UNKNOWN)
        return episode


def _installed() -> str:
    try:
        return f"rllm {metadata.version('rllm')}"
    except metadata.PackageNotFoundError:
        return "no installed rllm"
