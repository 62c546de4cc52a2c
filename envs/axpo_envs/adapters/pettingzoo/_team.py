"""Defines `Team`, how several agents with different tools work on one question, as functions from state to state.

What a member writes, by what stands outside its thinking:

| it holds | the member may | what happens |
|---|---|---|
| calls | call these tools | they are executed; everybody reads the results |
| calls | not call one of them | that one is denied; everybody reads so |
| an answer, no calls | answer | the episode ends, and everybody gets its reward |
| an answer, no calls | not answer | it stays a message, with a note that says who answers |
| neither | | a message to the others; nothing at all is a pass |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError, SnapshotError
from axpo_envs.gate import CallRequest, Ruling, Verdict
from axpo_envs.observation import Observation, to_observation, wrap_results
from axpo_envs.parsing import ParsedTurn, parse_turn
from axpo_envs.snapshot import Snapshot
from axpo_envs.turn_format.tags import TAGS, quote_text
from axpo_envs.types import EpisodeState, Parts

ANSWER: Final = "answer"
"""Stands among a member's tools where it may answer."""

Members: TypeAlias = Mapping[str, Sequence[str]]
"""Names of members, each with the tools that it may call; in the order in which they act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a member wrote, and what came of it."""

    member: str
    """Who wrote it."""
    text: str
    """What the others read of it: all but thinking, with its tags quoted; empty for a pass."""
    result: Parts
    """Tool results or a note, for everybody; empty without."""
    heard: int
    """How many sayings the member knew of when it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamState:
    """Everything a team's episode is at one moment. It never changes."""

    episode: EpisodeState
    """The environment's part."""
    sayings: tuple[Saying, ...] = ()
    """What was written so far, by one member after another."""
    out_of_rounds: bool = False
    """It ended because there were no more rounds."""

    @property
    def over(self) -> bool:
        """It has ended."""
        return self.episode.stop is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamSnapshot:
    """A moment of a team's episode that can be returned to; picklable, and nothing is copied."""

    moment: Snapshot
    """The environment's part."""
    sayings: tuple[Saying, ...]
    """What was written so far."""
    out_of_rounds: bool
    """It ended because there were no more rounds."""
    team: str
    """Fingerprint of who may do what."""


class Team:
    """Members with tools of one environment.

    Args:
        env: the environment; its own current episode is left alone.
        members: who may do what, in the order in which they act.
        max_rounds: rounds after which the episode is cut off and scored as having no answer.

    Raises:
        EnvConfigError: a tool is unknown or nobody's, nobody may answer, there are no members or no rounds.
    """

    def __init__(self, env: ToolEnv, members: Members, *, max_rounds: int) -> None:
        _check(env, members, max_rounds)
        self.env: Final = env
        self.members: Final = {name: tuple(tools) for name, tools in members.items()}
        self.names: Final = tuple(members)
        self.max_rounds: Final = max_rounds
        self.fingerprint: Final = digest_of(tuple(self.members.items()), max_rounds)
        self._permitted: Final = {
            name: env.gated(_OnlyOwn(name=name, members=tuple(self.members.items())), agent=name) for name in members
        }

    def opening(self, member: str) -> str:
        """What a member reads before the question: who is in the team, and what it may do itself."""
        team = ", ".join(f"{name} ({_abilities(tools)})" for name, tools in self.members.items())
        own = self.members[member]
        calls = [tool for tool in own if tool != ANSWER]
        may = [f"call {', '.join(calls)}"] if calls else []
        may += ["give the answer"] if ANSWER in own else []
        return (
            f"You are {member}, one of a team that answers a question together: {team}. You may "
            f"{' and '.join(may) or 'advise'}; what you write outside of your thinking is read by the others.\n\n"
        )

    def act(self, state: TeamState, member: str, text: str, *, heard: int) -> TeamState:
        """What a member's turn leads to.

        Args:
            state: the state before it, not ended.
            member: who acts.
            text: what it writes.
            heard: how many sayings it knows of.

        Raises:
            TypeError: the turn is no text.
            ToolFault, RewardFault: the code of a tool or of the reward failed.
            InfrastructureFault: the machinery failed; the state before the turn is still good.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected {member} to write a text; got {type(text).__name__}")
        parsed = parse_turn(text, answers=self.env.rules.answers)
        answers = parsed.answer is not None and not parsed.calls
        episode = state.episode
        result: Parts = ()
        if parsed.calls or (answers and ANSWER in self.members[member]):
            transition = self._permitted[member].advance(episode, text)
            episode = transition.state
            result = wrap_results(transition.observation) if transition.observation else ()
        elif answers:
            result = (f"Note: {_listed(self.members, ANSWER)} gives the answer.",)
        said = Saying(member=member, text=_visible(text, parsed), result=result, heard=heard)
        after = replace(state, episode=episode, sayings=(*state.sayings, said))
        if not after.over and len(after.sayings) >= self.max_rounds * len(self.names):
            # A turn without call and answer: it is scored as every episode without an answer.
            return replace(after, episode=self.env.advance(episode, "").state, out_of_rounds=True)
        return after

    def observe(self, state: TeamState, member: str) -> Observation:
        """What a member has not read yet: everything since its own last turn, or from the beginning."""
        if state.over:
            return to_observation(())
        own = [number for number, saying in enumerate(state.sayings) if saying.member == member]
        start = state.sayings[own[-1]].heard if own else 0
        parts: Parts = ()
        if not own:
            instructions = (f"{self.env.instructions}\n\n",) if self.env.instructions else ()
            parts = (self.opening(member), *instructions, *self.env.opening(state.episode), "\n")
        for saying in state.sayings[start:]:
            parts += _read(saying, own=saying.member == member)
        return to_observation(parts)

    def snapshot(self, state: TeamState) -> TeamSnapshot:
        """The snapshot of any state; nothing is copied."""
        return TeamSnapshot(
            moment=self.env.snapshot_of(state.episode),
            sayings=state.sayings,
            out_of_rounds=state.out_of_rounds,
            team=self.fingerprint,
        )

    def restored(self, snapshot: TeamSnapshot) -> TeamState:
        """The state of a snapshot.

        Raises:
            SnapshotError: it is of another team or another environment.
        """
        if snapshot.team != self.fingerprint:
            raise SnapshotError(f"expected a moment of the team {', '.join(self.names)}; got one of another team")
        self.env.check(snapshot.moment)
        return TeamState(episode=snapshot.moment.state, sayings=snapshot.sayings, out_of_rounds=snapshot.out_of_rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnlyOwn:
    """Lets a member call its own tools."""

    name: str
    members: tuple[tuple[str, tuple[str, ...]], ...]

    def __call__(self, request: CallRequest) -> Ruling:
        members = dict(self.members)
        if request.tool.name in members[self.name]:
            return Ruling(verdict=Verdict.ALLOW)
        reason = f"{self.name} may not call {request.tool.name}; {_listed(members, request.tool.name)} may"
        return Ruling(verdict=Verdict.DENY, reason=reason)


def result_info(state: TeamState) -> dict[str, Any]:
    """What is told of an episode's end; empty while it runs."""
    if state.episode.stop is None:
        return {}
    terms = {term.name: term.value for term in state.episode.terms}
    return {"stop": state.episode.stop.value, "out_of_rounds": state.out_of_rounds, "terms": terms}


def transcript_of(state: TeamState) -> str:
    """What was said, as text for people."""
    lines = [f"[question {state.episode.question.id}] {state.episode.question.text}"]
    for saying in state.sayings:
        result = "".join(
            part if isinstance(part, str) else f"[image {part.width}x{part.height}]" for part in saying.result
        )
        lines += [f"[{saying.member}] {saying.text}", *([result] if result else [])]
    if state.episode.stop is not None:
        lines.append(f"[{state.episode.stop.value}] reward {state.episode.reward:g}")
    return "\n".join(lines)


def _check(env: ToolEnv, members: Members, max_rounds: int) -> None:
    if not members:
        raise EnvConfigError("members: expected who may do what, such as {'looker_0': ['image_zoom_in']}; got none")
    known = {tool.name for tool in env.tools}
    if ANSWER in known:
        raise EnvConfigError(f"members: the environment's tool {ANSWER!r} has the name that stands for answering")
    for name, tools in members.items():
        if isinstance(tools, str) or (unknown := sorted(set(tools) - known - {ANSWER})):
            got = repr(tools) if isinstance(tools, str) else unknown[0]
            raise EnvConfigError(
                f"members: expected for {name!r} a list of {', '.join([*sorted(known), ANSWER])}; got {got}"
            )
    held = {tool for tools in members.values() for tool in tools}
    if missing := sorted((known | {ANSWER}) - held):
        raise EnvConfigError(f"members: expected somebody to hold {', '.join(missing)}; nobody does")
    if max_rounds < 1:
        raise EnvConfigError(f"max_rounds: expected at least 1; got {max_rounds}")


def _abilities(tools: Sequence[str]) -> str:
    words = [tool for tool in tools if tool != ANSWER] + ["answers"] * (ANSWER in tools)
    return ", ".join(words) or "advises"


def _listed(members: Members, ability: str) -> str:
    return " or ".join(name for name, tools in members.items() if ability in tools)


def _visible(text: str, parsed: ParsedTurn) -> str:
    kept, start = [], 0
    for span in parsed.thinking_spans:
        kept.append(text[start : span.start])
        start = span.stop
    return quote_text("".join([*kept, text[start:]]).strip(), TAGS)


def _read(saying: Saying, *, own: bool) -> Parts:
    heading = () if own or not saying.text else (f"[{saying.member}] {saying.text}\n",)
    return (*heading, *saying.result, "\n") if saying.result else heading
