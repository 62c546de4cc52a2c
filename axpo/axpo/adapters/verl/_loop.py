"""Defines `ToolEnvAgentLoop`, verl's agent loop over an environment of ours, with second attempts from prefixes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

from axpo.adapters.verl._families import Families, Family
from axpo.adapters.verl.marking import Role, response_mask
from axpo.algorithm.types import BranchPoint
from axpo_agents.formats.codec import TurnCodec
from axpo_agents.rolling import REDO, Start, advance
from axpo_agents.types import Completion, Context, FinishReason, Rollout, TokenSequence
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import Episode

with requiring("verl", "an agent loop of verl"):
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register

logger = logging.getLogger(__name__)

_FAMILIES: Final = Families()


@register("axpo")
class ToolEnvAgentLoop(AgentLoopBase):  # type: ignore[misc]  # the library has no types
    """Rolls episodes of an environment of ours with verl's servers, token ids in and out.

    The prompt is the environment's own, made by the checkpoint's chat template; of a row `index` alone is read, the
    number of the question (`extra_info.index` where there is no such column). With `continuations` the last so many of
    a question's `rollout.n` rollouts are second attempts: they wait for the others, and go on from the least confident
    failed tool call's frozen prefix and snapshot, or begin at the question where there is none.

    Args:
        env: Gymnasium id of the environment.
        env_args: its arguments.
        continuations: second attempts per question (K); 0 is plain GRPO.
        success_threshold: a rollout with a reward below it is wrong.
        arguments: verl's own.
    """

    def __init__(
        self,
        *arguments: Any,
        env: str,
        env_args: Mapping[str, Any] | None = None,
        continuations: int = 0,
        success_threshold: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._env = _environment(env, tuple(sorted((env_args or {}).items())))
        self._codec = _codec(str(self.config.actor_rollout_ref.model.path))
        self._continuations = continuations
        self._threshold = success_threshold
        self._size = int(self.rollout_config.n)
        if not 0 <= continuations < self._size:
            raise ValueError(f"expected continuations from 0 to rollout.n - 1 = {self._size - 1}; got {continuations}")

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Rolls one episode; one that an infrastructure fault took has a mask of zeros, by which it is left out."""
        index = row.get("index", (row.get("extra_info") or {}).get("index"))
        if index is None:
            raise ValueError(f"expected rows with an index of a question; got {sorted(row)}")
        uid = row.get("uid", index)
        family = _FAMILIES.of(uid, self._size, self._continuations, self._threshold)
        number = await family.join()
        if not family.branches:
            _FAMILIES.leave(uid, family)
            if self._continuations:
                logger.warning(
                    "a worker holds %d of %d rollouts of a question: no branches", family.members, self._size
                )
        seed = int(digest_of("verl", int(index), number)[:15], 16)
        start = Start(state=self._env.begin(self._env.questions.question(int(index)), seed=seed))
        if family.is_second(number):
            return await self._second(start, family, sampling_params)
        try:
            rollout = await self._roll(start, sampling_params)
        except BaseException as error:
            family.give_up(error)
            raise
        if not family.branches:
            return self._output(rollout, start, Role.ORDINARY)
        family.deliver(number, rollout)
        point = await family.chosen()
        if point is not None and point.rollout == number:
            return self._output(rollout, start, Role.SOURCE, point)
        return self._output(rollout, start, Role.ORDINARY)

    async def _second(self, start: Start, family: Family, params: dict[str, Any]) -> AgentLoopOutput:
        point = await family.chosen()
        source = None if point is None else family.firsts[point.rollout]
        if point is None or source is None:
            return self._output(await self._roll(start, params), start, Role.ORDINARY)
        start = Start.within(source, turn=point.turn, token=point.token)
        return self._output(await self._roll(start, params), start, Role.CONTINUATION, point)

    async def _roll(self, start: Start, params: dict[str, Any]) -> Rollout | None:
        request, asked = uuid4().hex, start
        try:
            while start.state.stop is None:
                start = await self._turn(start, params, request)
        except InfrastructureFault as fault:
            question = asked.state.question.id
            logger.warning("a rollout of question %r was lost: %r", question, fault)
            return None
        return Rollout(
            episode=Episode.from_state(start.state), completions=start.completions, snapshots=start.snapshots
        )

    async def _turn(self, start: Start, params: dict[str, Any], request: str) -> Start:
        context = self._context(start)
        sequence = TokenSequence.of(start.completions, then=context)
        prompt = len((start.completions[0].context if start.completions else context).ids)
        ids = (*sequence.ids, *start.forced)
        room = int(self.rollout_config.response_length) - (len(ids) - prompt)
        new: tuple[int, ...] = ()
        logprobs: tuple[float, ...] = ()
        finish = FinishReason.LENGTH
        if room > 0:
            output = await self.server_manager.generate(
                request_id=request,
                prompt_ids=list(ids),
                sampling_params={**params, "max_tokens": room},
                image_data=[image.to_pil() for image in sequence.images] or None,
            )
            new = tuple(output.token_ids[:room])
            logprobs = tuple((output.log_probs or [0.0] * len(new))[: len(new)])
            ended = bool(new) and new[-1] in self._codec.stop_ids
            finish = FinishReason.STOP if ended else FinishReason.LENGTH
        turn = start.forced + new
        spans = self._codec.find_spans(turn)
        completion = Completion(
            context=context,
            ids=turn,
            logprobs=start.forced_logprobs + logprobs,
            forced=len(start.forced),
            thinking=spans.thinking,
            call=spans.call,
            cut=spans.cut,
            finish=finish,
            policy_version=0,
        )
        text, cut_off = self._codec.decode_turn(turn), finish is FinishReason.LENGTH
        state = await asyncio.get_running_loop().run_in_executor(
            None, lambda: advance(self._env, start.state, text, cut_off=cut_off, retries=REDO)
        )
        return Start(
            state=state,
            completions=(*start.completions, completion),
            snapshots=(*start.snapshots, self._env.snapshot_of(start.state)),
        )

    def _context(self, start: Start) -> Context:
        if start.context is not None:
            return start.context
        if not start.completions:
            return self._codec.encode_prompt(self._env, start.state)
        after = start.completions[-1].ids
        return self._codec.encode_observation(start.state.turns[-1].observation, after=after)

    def _output(
        self, rollout: Rollout | None, start: Start, role: Role, point: BranchPoint | None = None
    ) -> AgentLoopOutput:
        if rollout is None:
            return self._lost(start)
        # A last turn that had no room is no turn of verl's, nor is what was shown before it.
        turns = rollout.completions if rollout.completions[-1].ids else rollout.completions[:-1]
        if not turns:
            return self._lost(start)
        sequence, first = TokenSequence.of(turns), rollout.turn_offset(0)
        cut = 0 if point is None else rollout.turn_offset(point.turn) + point.token - first
        return AgentLoopOutput(
            prompt_ids=list(sequence.ids[:first]),
            response_ids=list(sequence.ids[first:]),
            response_mask=response_mask(sequence, first, role, cut),
            response_logprobs=list(sequence.logprobs[first:]),
            multi_modal_data={"images": [image.to_pil() for image in sequence.images]} if sequence.images else {},
            reward_score=rollout.reward,
            num_turns=2 * len(turns),
            metrics=AgentLoopMetrics(),
            extra_fields={"axpo_role": role.value, "axpo_stop": rollout.episode.stop.value},
        )

    def _lost(self, start: Start) -> AgentLoopOutput:
        """One token that is not trained: verl has no rows without any. Its reward is read by nobody."""
        prompt = self._context(replace(start, completions=(), snapshots=(), context=None, state=_opened(start)))
        return AgentLoopOutput(
            prompt_ids=list(prompt.ids),
            response_ids=[self._codec.stop_ids[0]],
            response_mask=[0],
            response_logprobs=[0.0],
            multi_modal_data={"images": [image.to_pil() for image in prompt.images]} if prompt.images else {},
            reward_score=0.0,
            num_turns=1,
            metrics=AgentLoopMetrics(),
            extra_fields={"axpo_role": Role.LOST.value, "axpo_stop": "infrastructure_fault"},
        )


def _opened(start: Start) -> Any:
    return replace(start.state, turns=())


@lru_cache(maxsize=8)
def _environment(name: str, arguments: tuple[tuple[str, Any], ...]) -> ToolEnv:
    import gymnasium

    import axpo_envs  # noqa: F401  (registers the suite)

    env = gymnasium.make(name, **dict(arguments)).unwrapped
    if not isinstance(env, ToolEnv):
        raise TypeError(f"expected a ToolEnv; {name} makes a {type(env).__name__}")
    return env


@lru_cache(maxsize=8)
def _codec(model: str) -> TurnCodec:
    return TurnCodec.load(model)
