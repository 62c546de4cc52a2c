"""Defines `rllm_workflow`, an environment of ours as a `Workflow` of rLLM, for its engines of workflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo.adapters.rllm._library import Library
from axpo.adapters.rllm._play import Play
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault


def rllm_workflow(env: ToolEnv) -> Any:
    """A subclass of rLLM's `Workflow` that plays episodes of an environment of ours.

    Its tasks are dictionaries with an `index`, the number of the question. Every turn is a `Step`, with the engine's
    own tokens and log-probabilities; the last has the reward, so a trajectory's is the episode's. Where a limit of
    rLLM's ends an episode, its turns are kept, with the reward of no answer. An episode that an infrastructure fault
    took has no trajectory: rLLM's engine drops it from the batch, and begins none anew.

    Args:
        env: executes the turns; all workflows of a process share it.

    Raises:
        EnvConfigError: no rLLM with workflows (0.2, 0.3) is installed.
    """
    library = Library.load()

    class ToolEnvWorkflow(library.workflow):  # type: ignore[misc, name-defined]  # the library has no types
        """One episode at a time."""

        async def run(self, task: Mapping[str, Any], uid: str, **options: Any) -> Any:
            """Plays the episode of a task."""
            self.reset(task, uid)
            trajectory = library.trajectory(name="axpo", task=task)
            play = Play(
                env=env,
                library=library,
                engine=self.rollout_engine,
                execute=self.run_in_executor,
                options=options,
            )
            try:
                reason = await play.into(trajectory, int(task["index"]), uid)
            except InfrastructureFault as fault:
                return library.lost(task, uid, fault)
            self.commit(trajectory=trajectory)
            return self.postprocess_episode(self.collect_trajectories(), reason)

    return ToolEnvWorkflow
