"""Defines `roll`, which runs or continues a batch of episodes from any turn and token, and `roll_agent` for text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from axpo_agents._redo import REDO, advance, redo
from axpo_agents.errors import NonFiniteError, NonFiniteRowError
from axpo_agents.policy import Prefix, Sampled, Sampler, TextAgent
from axpo_agents.starts import Lost, Start
from axpo_agents.types import Completion, Context, FinishReason, Rollout, Sampling, TokenSequence
from axpo_envs.digest import digest_of
from axpo_envs.engine.crew import Crew
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.parsing import parse_turn
from axpo_envs.plumbing.web import Retries
from axpo_envs.snapshot import Snapshot
from axpo_envs.tool.protocol import AsyncTool, Effects, Tool
from axpo_envs.types import Episode, EpisodeState

__all__ = ["REDO", "Lost", "Start", "advance", "roll", "roll_agent"]

_THREADS_FOR_WAITING: Final = 32


def roll(
    policy: Sampler,
    env: ToolEnv,
    starts: Sequence[Start],
    sampling: Sampling,
    *,
    seed: int,
    retries: Retries = REDO,
) -> list[Rollout | Lost]:
    """Runs every episode to its end; all that still run sample their next turns together, in one call of the policy.

    A policy that takes several calls at once (its attribute `at_once`) is asked for each episode's turn as soon as the
    one before has been executed, so that no episode waits for another's tools.

    The results are a function of weights, starts, settings and seed. Both token limits hold whatever the
    policy does: a longer turn is cut off, and where a context leaves no room for a token the turn is empty and cut
    off. Tools and rewards of different episodes run side by side as soon as they keep others waiting (`Crew`).

    A turn that meets an `InfrastructureFault` is executed again from the state before it, with the same tokens: an
    episode begun anew might not call the faulty tool, and so faults would thin out acting among those that are left.
    Only turns that call a tool with external effects that is not repeatable are never executed twice.

    Args:
        policy: samples the turns.
        env: executes them; its own current episode is left alone.
        starts: where each episode starts.
        sampling: temperature and limits.
        seed: seeds every turn.
        retries: how often a faulty turn is tried, and the waits in between.

    Returns:
        In the order of `starts`: the finished episode, or `Lost` where an `InfrastructureFault` of a tool took it for
        good (or one of the policy, which takes every episode that was being sampled).

    Raises:
        ValueError: a start's episode has already ended.
        NonFiniteError: logits, log-probabilities or a reward are infinite or not a number, of the question named.
    """
    for start in starts:
        if start.state.stop is not None:
            question = start.state.question.id
            raise ValueError(f"expected running episodes; that of question {question!r} ended ({start.state.stop})")
    moments: list[Start | Rollout | Lost] = [
        start if start.seed is not None else replace(start, seed=place) for place, start in enumerate(starts)
    ]
    machine = _Machine(policy=policy, env=env, sampling=sampling, seed=seed, retries=retries)
    at_once: int = getattr(policy, "at_once", 1)
    if at_once > 1 and len(moments) > 1:
        # Each episode goes its own way: none waits for the turns, or for the tools, of another.
        with Crew(first=at_once) as crew:
            ended = crew.map(machine.fly, [moment for moment in moments if isinstance(moment, Start)])
        ends = zip(ended, starts, strict=True)
        return [replace(end, start=start) if isinstance(end, Lost) else end for end, start in ends]
    with Crew(first=_threads_at_once(env)) as crew:
        while running := {index: moment for index, moment in enumerate(moments) if isinstance(moment, Start)}:
            outcomes = machine.round(list(running.values()), crew)
            for index, outcome in zip(running, outcomes, strict=True):
                moments[index] = replace(outcome, start=starts[index]) if isinstance(outcome, Lost) else outcome
    return [moment for moment in moments if not isinstance(moment, Start)]


def roll_agent(
    agent: TextAgent, env: ToolEnv, starts: Sequence[EpisodeState], *, retries: Retries = REDO
) -> list[Rollout]:
    """Runs every episode to its end with an agent that writes text.

    The agent observes what Gymnasium's `reset` and `step` would show it. It acts in one episode after the other, turn
    by turn; tools and rewards then run side by side as in `roll`, faulty turns again. Its rollouts have no completions.

    Raises:
        InfrastructureFault: a tool's machinery failed for good; the caller decides whether to begin again.
    """
    states = list(starts)
    snapshots: list[tuple[Snapshot, ...]] = [()] * len(states)
    with Crew(first=_threads_at_once(env)) as crew:
        while running := [index for index, state in enumerate(states) if state.stop is None]:
            before = [states[index] for index in running]
            turns = [agent.act(dict(env.observe(state)), state) for state in before]
            after = crew.map(lambda step: advance(env, *step, retries=retries), zip(before, turns, strict=True))
            for index, state in zip(running, after, strict=True):
                snapshots[index] += (env.snapshot_of(states[index]),)
                states[index] = state
    return [
        Rollout(episode=Episode.from_state(state), completions=(), snapshots=moments)
        for state, moments in zip(states, snapshots, strict=True)
    ]


class _SampledTurn(NamedTuple):
    completion: Completion
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """Takes the turns of running episodes."""

    policy: Sampler
    env: ToolEnv
    sampling: Sampling
    seed: int
    retries: Retries

    def round(self, moments: Sequence[Start], crew: Crew) -> Sequence[Start | Rollout | Lost]:
        """What the next turn of every episode leads to."""
        try:
            turns = redo(lambda: self.sample(moments), self.retries)
        except InfrastructureFault as fault:
            return [_lost(moment, fault) for moment in moments]
        return crew.map(lambda step: self.step(*step), zip(moments, turns, strict=True))

    def fly(self, moment: Start) -> Rollout | Lost:
        """What becomes of one episode, its turns asked for one by one."""
        while True:
            try:
                (turn,) = redo(lambda start=moment: self.sample([start]), self.retries)  # type: ignore[misc]
            except InfrastructureFault as fault:
                return _lost(moment, fault)
            outcome = self.step(moment, turn)
            if not isinstance(outcome, Start):
                return outcome
            moment = outcome

    def sample(self, moments: Sequence[Start]) -> list[_SampledTurn]:
        """The next turn of every episode, its frozen tokens included."""
        policy, sampling = self.policy, self.sampling
        contexts = [_context(policy, self.env, moment) for moment in moments]
        prefixes = [
            Prefix(
                sequence=TokenSequence.of(moment.completions, then=context),
                forced=moment.forced,
                seed=_seed("turn", self.seed, moment.seed, len(moment.completions)),
            )
            for moment, context in zip(moments, contexts, strict=True)
        ]
        rooms = [prefix.room(sampling) for prefix in prefixes]
        roomy = [index for index, room in enumerate(rooms) if room > 0]
        version = policy.version
        sampled: Sequence[Sampled] = ()
        if roomy:
            asked = [prefixes[index] for index in roomy]
            with _naming([moments[index] for index in roomy]):
                sampled = policy.sample(asked, sampling, seed=_seed("turns", *(prefix.seed for prefix in asked)))
        drawn = dict(zip(roomy, sampled, strict=True))
        turns = []
        for index, (moment, context) in enumerate(zip(moments, contexts, strict=True)):
            new = _fit(drawn[index], rooms[index]) if index in drawn else _NOTHING
            _check_logprobs(new, moment)
            ids = moment.forced + new.ids
            spans = policy.find_spans(ids)
            completion = Completion(
                context=context,
                ids=ids,
                logprobs=moment.forced_logprobs + new.logprobs,
                forced=len(moment.forced),
                thinking=spans.thinking,
                call=spans.call,
                cut=spans.cut,
                finish=new.finish,
                policy_version=version if new.version is None else new.version,
            )
            turns.append(_SampledTurn(completion, policy.decode_turn(ids)))
        return turns

    def step(self, moment: Start, turn: _SampledTurn) -> Start | Rollout | Lost:
        """What a turn leads to: the next moment, the finished episode, or the loss of the episode."""
        cut_off = turn.completion.finish is FinishReason.LENGTH
        try:
            state = advance(self.env, moment.state, turn.text, cut_off=cut_off, retries=self.retries)
        except InfrastructureFault as fault:
            return _lost(moment, fault, turn.text)
        completions = (*moment.completions, turn.completion)
        snapshots = (*moment.snapshots, self.env.snapshot_of(moment.state))
        if state.stop is None:
            return Start(state=state, completions=completions, snapshots=snapshots, seed=moment.seed)
        if not math.isfinite(state.reward):
            raise NonFiniteError(f"expected a finite reward; got {state.reward} for question {state.question.id!r}")
        return Rollout(episode=Episode.from_state(state), completions=completions, snapshots=snapshots)


def _lost(moment: Start, fault: InfrastructureFault, text: str = "") -> Lost:
    acted = any(turn.calls for turn in moment.state.turns) or bool(parse_turn(text).calls)
    return Lost(start=moment, fault=fault, used_tool=acted)


def _context(policy: Sampler, env: ToolEnv, moment: Start) -> Context:
    if moment.context is not None:
        return moment.context
    if not moment.completions:
        return policy.encode_prompt(env, moment.state)
    return policy.encode_observation(moment.state.turns[-1].observation, after=moment.completions[-1].ids)


_NOTHING: Final = Sampled(ids=(), logprobs=(), finish=FinishReason.LENGTH)


def _fit(sampled: Sampled, room: int) -> Sampled:
    if len(sampled.ids) <= room:
        return sampled
    return Sampled(ids=sampled.ids[:room], logprobs=sampled.logprobs[:room], finish=FinishReason.LENGTH)


@contextmanager
def _naming(moments: Sequence[Start]) -> Iterator[None]:
    """Adds the question to what a policy reports of one of the prefixes it was given."""
    try:
        yield
    except NonFiniteRowError as error:
        moment = moments[error.row]
        raise NonFiniteError(f"{error}, in {_place(moment)}") from error


def _check_logprobs(sampled: Sampled, moment: Start) -> None:
    for number, value in enumerate(sampled.logprobs):
        if not math.isfinite(value):
            raise NonFiniteError(
                f"expected finite log-probabilities; got {value} for token {number} of {_place(moment)}"
            )


def _place(moment: Start) -> str:
    return f"turn {len(moment.completions) + 1} of question {moment.state.question.id!r}"


def _threads_at_once(env: ToolEnv) -> int:
    return _THREADS_FOR_WAITING if any(map(_may_wait, env.tools)) else 1


def _may_wait(tool: Tool) -> bool:
    return tool.timeout_s is not None or tool.effects is Effects.EXTERNAL or isinstance(tool, AsyncTool)


def _seed(*parts: int | str | None) -> int:
    return int(digest_of(*parts)[:15], 16)
