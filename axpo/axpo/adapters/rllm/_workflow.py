"""Defines `rllm_workflow`, an environment of ours as a `Workflow` of rLLM, for its `AgentWorkflowEngine`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_agents.rolling import REDO, advance
from axpo_envs.adapters.messages import (
    content_of,
    function_schemas,
    image_url_part,
    opening_messages,
    turn_of_message,
)
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.observation import without_tags, wrap_results
from axpo_envs.types import EpisodeState, StopReason


def rllm_workflow(env: ToolEnv) -> Any:
    """A subclass of rLLM's `Workflow` that plays episodes of an environment of ours.

    Its tasks are dictionaries with an `index`, the number of the question. Every turn is a `Step`, with the engine's
    own tokens and log-probabilities; the last has the reward, so a trajectory's is the episode's. An episode that an
    infrastructure fault took has no trajectory: rLLM's engine drops it from the batch, and begins none anew.

    Args:
        env: executes the turns; all workflows of a process share it.
    """
    from rllm.agents.agent import Episode, Step, Trajectory
    from rllm.workflows.workflow import TerminationReason, Workflow

    reasons = {
        StopReason.MAX_TURNS: TerminationReason.MAX_TURNS_EXCEEDED,
        StopReason.MAX_TOKENS: TerminationReason.MAX_RESPONSE_LENGTH_EXCEEDED,
    }

    class ToolEnvWorkflow(Workflow):  # type: ignore[misc]  # the library has no types
        """One episode at a time."""

        async def run(self, task: Mapping[str, Any], uid: str, **options: Any) -> Episode:
            """Plays the episode of a task."""
            self.reset(task, uid)
            seed = int(digest_of("rllm", uid)[:15], 16)
            state = env.begin(env.questions.question(int(task["index"])), seed=seed)
            messages = opening_messages(env, env.opening(state), image_url_part)
            trajectory = Trajectory(name="axpo", task=task)
            options.setdefault("tools", function_schemas(env.tools))
            try:
                while state.stop is None:
                    output = await self.rollout_engine.get_model_response(messages, application_id=uid, **options)
                    text = output.text if output.text is not None else turn_of_message(_message(output))
                    before, cut_off = state, output.finish_reason == "length"
                    state = await self.run_in_executor(advance, env, before, text, cut_off=cut_off, retries=REDO)
                    messages = [*messages, {"role": "assistant", "content": text}]
                    trajectory.steps.append(
                        Step(
                            chat_completions=messages,
                            model_response=text,
                            model_output=output,
                            action=text,
                            reward=state.reward,
                            done=state.stop is not None,
                        )
                    )
                    if state.stop is None:
                        shown = wrap_results(without_tags(state.turns[-1].observation))
                        messages = [*messages, {"role": "user", "content": content_of(shown, image_url_part)}]
            except InfrastructureFault as fault:
                episode = Episode(id=uid, task=task, info={"fault": str(fault)})
                episode.termination_reason = TerminationReason.UNKNOWN
                return episode
            self.commit(trajectory=trajectory)
            reason = reasons.get(_stop(state), TerminationReason.ENV_DONE)
            return self.postprocess_episode(self.collect_trajectories(), reason)

    return ToolEnvWorkflow


def _stop(state: EpisodeState) -> StopReason:
    assert state.stop is not None
    return state.stop


def _message(output: Any) -> dict[str, Any]:
    calls = [{"name": call.name, "arguments": call.arguments} for call in output.tool_calls or ()]
    return {"content": output.content, "reasoning_content": output.reasoning, "tool_calls": calls}
