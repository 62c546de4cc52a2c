"""Defines `roll`, which runs or continues a batch of episodes from any turn and token, and `roll_agent` for text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from axpo_agents.crew import Crew
from axpo_agents.policy import Prefix, Sampled, TextAgent, TokenPolicy
from axpo_agents.types import Completion, Context, FinishReason, Rollout, Sampling, TokenSequence
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import InfrastructureFault
from axpo_envs.snapshot import Snapshot
from axpo_envs.tools.tool import AsyncTool, Effects, Tool
from axpo_envs.types import Episode, EpisodeState

_THREADS_FOR_WAITING: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an episode starts or goes on."""

    state: EpisodeState
    """The environment before the first turn to sample."""
    completions: tuple[Completion, ...] = ()
    """The turns so far on the token level; as many as `state.turns`."""
    snapshots: tuple[Snapshot, ...] = ()
    """The moment before each of them."""
    context: Context | None = None
    """What is added before the first turn to sample, where it is already known as tokens; None encodes it."""
    forced: tuple[int, ...] = ()
    """Token ids the first turn must start with."""
    forced_logprobs: tuple[float, ...] = ()
    """Their log-probabilities when they were sampled."""

    def __post_init__(self) -> None:
        turns = len(self.state.turns)
        if len(self.completions) != turns or len(self.snapshots) != turns:
            raise ValueError(
                f"expected a completion and a snapshot for each of {turns} turns; "
                f"got {len(self.completions)} and {len(self.snapshots)}"
            )
        if len(self.forced) != len(self.forced_logprobs):
            raise ValueError(
                f"expected a log-probability for each of {len(self.forced)} forced tokens; "
                f"got {len(self.forced_logprobs)}"
            )

    @classmethod
    def within(cls, rollout: Rollout, *, turn: int, token: int) -> Start:
        """The moment after the first `token` sampled tokens of a turn of a finished rollout: where a branch starts.

        Everything before is taken over as token ids, the turn's context included; nothing is tokenized again.
        """
        cut = rollout.completions[turn]
        return cls(
            state=rollout.snapshots[turn].state,
            completions=rollout.completions[:turn],
            snapshots=rollout.snapshots[:turn],
            context=cut.context,
            forced=cut.ids[:token],
            forced_logprobs=cut.logprobs[:token],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An episode that the infrastructure took; it has no reward."""

    start: Start
    """Where it started, and may be started again."""
    fault: InfrastructureFault
    """What happened."""


def roll(
    policy: TokenPolicy, env: ToolEnv, starts: Sequence[Start], sampling: Sampling, *, seed: int
) -> list[Rollout | Lost]:
    """Runs every episode to its end; all that still run sample their next turns together, in one call of the policy.

    The results are a function of weights, starts, settings and seed. Both token limits hold whatever the
    policy does: a longer turn is cut off, and where a context leaves no room for a token the turn is empty and cut
    off. Tools and rewards of different episodes run side by side as soon as they keep others waiting (`Crew`).

    Args:
        policy: samples the turns.
        env: executes them; its own current episode is left alone.
        starts: where each episode starts.
        sampling: temperature and limits.
        seed: seeds every turn.

    Returns:
        In the order of `starts`: the finished episode, or `Lost` where an `InfrastructureFault` of a tool took it (or
        one of the policy, which takes every episode that was being sampled).

    Raises:
        ValueError: a start's episode has already ended.
    """
    for start in starts:
        if start.state.stop is not None:
            question = start.state.question.id
            raise ValueError(f"expected running episodes; that of question {question!r} ended ({start.state.stop})")
    moments: list[Start | Rollout | Lost] = list(starts)
    with Crew(first=_threads_at_once(env)) as crew:
        for turn in count():
            running = {index: moment for index, moment in enumerate(moments) if isinstance(moment, Start)}
            if not running:
                break
            outcomes: Sequence[Start | Rollout | InfrastructureFault]
            try:
                turns = _sample(policy, env, list(running.values()), sampling, seed=_turn_seed(seed, turn))
                outcomes = crew.map(lambda step: _step(env, *step), zip(running.values(), turns, strict=True))
            except InfrastructureFault as fault:
                outcomes = [fault] * len(running)
            for index, outcome in zip(running, outcomes, strict=True):
                if isinstance(outcome, InfrastructureFault):
                    moments[index] = Lost(start=starts[index], fault=outcome)
                else:
                    moments[index] = outcome
    return [moment for moment in moments if not isinstance(moment, Start)]


def roll_agent(agent: TextAgent, env: ToolEnv, starts: Sequence[EpisodeState]) -> list[Rollout]:
    """Runs every episode to its end with an agent that writes text.

    The agent observes what Gymnasium's `reset` and `step` would show it. It acts in one episode after the other, turn
    by turn; tools and rewards then run side by side as in `roll`. Its rollouts have no completions.

    Raises:
        InfrastructureFault: a tool's machinery failed; the caller decides whether to begin again.
    """
    states = list(starts)
    snapshots: list[tuple[Snapshot, ...]] = [()] * len(states)
    with Crew(first=_threads_at_once(env)) as crew:
        while running := [index for index, state in enumerate(states) if state.stop is None]:
            before = [states[index] for index in running]
            turns = [agent.act(dict(env.observe(state)), state) for state in before]
            after = crew.map(lambda step: env.advance(*step).state, zip(before, turns, strict=True))
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


def _sample(
    policy: TokenPolicy, env: ToolEnv, moments: Sequence[Start], sampling: Sampling, *, seed: int
) -> list[_SampledTurn]:
    """The next turn of every episode, its frozen tokens included."""
    contexts = [_context(policy, env, moment) for moment in moments]
    prefixes = [
        Prefix(sequence=TokenSequence.of(moment.completions, then=context), forced=moment.forced)
        for moment, context in zip(moments, contexts, strict=True)
    ]
    rooms = [prefix.room(sampling) for prefix in prefixes]
    roomy = [index for index, room in enumerate(rooms) if room > 0]
    version = policy.version
    sampled = policy.sample([prefixes[index] for index in roomy], sampling, seed=seed) if roomy else []
    drawn = dict(zip(roomy, sampled, strict=True))
    turns = []
    for index, (moment, context) in enumerate(zip(moments, contexts, strict=True)):
        new = _fit(drawn[index], rooms[index]) if index in drawn else _NOTHING
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
            policy_version=version,
        )
        turns.append(_SampledTurn(completion, policy.decode_turn(ids)))
    return turns


def _context(policy: TokenPolicy, env: ToolEnv, moment: Start) -> Context:
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


def _step(env: ToolEnv, moment: Start, turn: _SampledTurn) -> Start | Rollout | InfrastructureFault:
    """What a turn leads to: the next moment, the finished episode, or the fault that took it."""
    try:
        state = env.advance(moment.state, turn.text, cut_off=turn.completion.finish is FinishReason.LENGTH).state
    except InfrastructureFault as fault:
        return fault
    completions = (*moment.completions, turn.completion)
    snapshots = (*moment.snapshots, env.snapshot_of(moment.state))
    if state.stop is None:
        return Start(state=state, completions=completions, snapshots=snapshots)
    return Rollout(episode=Episode.from_state(state), completions=completions, snapshots=snapshots)


def _threads_at_once(env: ToolEnv) -> int:
    return _THREADS_FOR_WAITING if any(map(_may_wait, env.tools)) else 1


def _may_wait(tool: Tool) -> bool:
    return tool.timeout_s is not None or tool.effects is Effects.EXTERNAL or isinstance(tool, AsyncTool)


def _turn_seed(seed: int, turn: int) -> int:
    return int(digest_of("turn", seed, turn)[:15], 16)
