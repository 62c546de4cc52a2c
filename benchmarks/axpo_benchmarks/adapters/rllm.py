"""Checks of the rLLM adapter against a checkout of it: its engine of workflows, its types, its parser, no weights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Final

import cloudpickle
from rllm.engine.rollout.rollout_engine import ModelOutput, RolloutEngine
from rllm.parser.chat_template_parser import QwenChatTemplateParser
from rllm.workflows.workflow import TerminationEvent, TerminationReason

from axpo.adapters.rllm import rllm_workflow
from axpo_benchmarks.adapters.toys import CALL, FAULTY, signs, sums, zoom
from axpo_envs import ToolEnv

try:
    from rllm.engine.unified_workflow_engine import UnifiedWorkflowEngine as WorkflowEngine
except ModuleNotFoundError:
    from rllm.engine.agent_workflow_engine import AgentWorkflowEngine as WorkflowEngine

_RIGHT: Final = "<answer>3</answer>"


class _Tokenizer:
    """What the parser asks of one: it writes the template of Qwen's models itself."""

    bos_token = eos_token = "<|im_end|>"
    name_or_path = "qwen"

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        del messages
        return ""


class _Scripted(RolloutEngine):  # type: ignore[misc]
    """Writes what it was given, in place of a model; its prompts go through rLLM's parser."""

    def __init__(self, *turns: str | Exception) -> None:
        super().__init__()
        self.turns = iter(turns)
        self.chat_parser = QwenChatTemplateParser(_Tokenizer(), processor=SimpleNamespace())
        self.prompts: list[str] = []

    async def get_model_response(self, messages: list[dict[str, Any]], **options: Any) -> Any:
        told = {"is_first_msg": True, "add_generation_prompt": True, "tools": options.get("tools", [])}
        self.prompts.append(self.chat_parser.parse(messages, **told))
        turn = next(self.turns)
        if isinstance(turn, Exception):
            raise turn
        tokens = [ord(letter) for letter in turn]
        return ModelOutput(
            text=turn,
            prompt_ids=[1, 2],
            completion_ids=tokens,
            multi_modal_inputs={"pixel_values": []},
            logprobs=[-1.0] * len(tokens),
            finish_reason="stop",
        )


def _played(engine: _Scripted, workflow: Any, indices: Sequence[int] = (1,)) -> list[Any]:
    async def run() -> Any:
        plays = WorkflowEngine(workflow, {}, engine, n_parallel_tasks=1, retry_limit=2, raise_on_error=False)
        return await plays.execute_tasks([{"index": index} for index in indices], ["task"] * len(indices))

    return list(asyncio.run(run()))


def _one(env: ToolEnv, *turns: str | Exception) -> tuple[Any, _Scripted]:
    engine = _Scripted(*turns)
    (episode,) = _played(engine, rllm_workflow(env))
    return episode, engine


def its_engine_plays_our_episodes() -> None:
    """A call, its result, the answer; every step has the engine's tokens, the last the reward."""
    episode, engine = _one(sums(), CALL, _RIGHT)
    (trajectory,) = episode.trajectories
    assert (episode.id, episode.is_correct) == ("task:0", True), episode
    assert episode.termination_reason is TerminationReason.ENV_DONE, episode.termination_reason
    assert (float(trajectory.reward), [step.reward for step in trajectory.steps]) == (1.0, [0.0, 1.0]), trajectory
    assert [len(step.response_ids) for step in trajectory.steps] == [len(CALL), len(_RIGHT)], trajectory
    assert all(len(step.logprobs) == len(step.response_ids) for step in trajectory.steps), trajectory
    assert trajectory.is_cumulative()
    assert "<tool_response>\n3\n</tool_response>" in engine.prompts[1], engine.prompts
    assert '"name": "add"' in engine.prompts[0], engine.prompts


def images_become_vision_tokens_of_its_parser() -> None:
    """Those of the question and of results, each at the beginning of its message."""
    _, engine = _one(signs(), zoom(), _RIGHT)
    assert [prompt.count("<|image_pad|>") for prompt in engine.prompts] == [1, 2], engine.prompts
    assert "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><tool_response>" in engine.prompts[1]


def rollouts_of_a_question_are_its_rollouts() -> None:
    """They come back in the engine's order, with one task and places of their own."""
    engine = _Scripted(_RIGHT, "<answer>9</answer>")
    episodes = _played(engine, rllm_workflow(sums()), (1, 1))
    assert sorted(episode.id for episode in episodes) == ["task:0", "task:1"], episodes
    assert sorted(float(episode.trajectories[0].reward) for episode in episodes) == [0.0, 1.0], episodes


def a_fault_leaves_no_trajectory_and_is_not_played_again() -> None:
    """The engine returns the episode at once; its fault is told."""
    episode, engine = _one(sums(), FAULTY, _RIGHT)
    assert (episode.trajectories, len(engine.prompts)) == ([], 1), episode
    assert "down" in episode.info["fault"], episode.info
    assert episode.termination_reason is getattr(TerminationReason, "SANDBOX_ERROR", TerminationReason.UNKNOWN)


def a_limit_of_the_engine_keeps_the_turns_before_it() -> None:
    """They have the reward of no answer."""
    reason = TerminationReason.MAX_PROMPT_LENGTH_EXCEEDED
    episode, _ = _one(sums(), CALL, TerminationEvent(reason))
    assert episode.termination_reason is reason, episode
    assert [(step.reward, step.done) for step in episode.trajectories[0].steps] == [(0.0, True)], episode


def an_engine_that_fails_is_asked_again() -> None:
    """rLLM's own retry: nothing of the first attempt is left."""
    episode, engine = _one(sums(), CALL, RuntimeError("no server"), CALL, _RIGHT)
    assert (len(engine.prompts), len(episode.trajectories[0].steps)) == (4, 2), episode
    assert float(episode.trajectories[0].reward) == 1.0, episode


def the_workflow_goes_to_another_process() -> None:
    """As Ray sends it: by value, with its environment."""
    workflow = cloudpickle.loads(cloudpickle.dumps(rllm_workflow(sums())))
    (episode,) = _played(_Scripted(_RIGHT), workflow)
    assert float(episode.trajectories[0].reward) == 1.0, episode


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    its_engine_plays_our_episodes,
    images_become_vision_tokens_of_its_parser,
    rollouts_of_a_question_are_its_rollouts,
    a_fault_leaves_no_trajectory_and_is_not_played_again,
    a_limit_of_the_engine_keeps_the_turns_before_it,
    an_engine_that_fails_is_asked_again,
    the_workflow_goes_to_another_process,
)
"""What is tried, in order."""
