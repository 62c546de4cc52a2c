"""Defines what an episode is made of: questions, calls, results, turns, states, snapshots and finished episodes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeAlias

from axpo_envs.images import ImageRef
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.surrogates import well_formed

Parts: TypeAlias = tuple[str | ImageRef, ...]
"""Text and images in the order in which a policy reads them."""


def _well_formed_parts(parts: Parts) -> Parts:
    return tuple(well_formed(part) if isinstance(part, str) else part for part in parts)


def _fill(made: Question | CallRecord, state: list[Any]) -> None:
    # A pickle of an earlier version holds the fields that there were then, in the same order.
    for number, field in enumerate(fields(made)):
        object.__setattr__(made, field.name, state[number] if number < len(state) else field.default)


class Label(StrEnum):
    """What a question demands of a policy beyond its answer."""

    MUST_ACT = "must_act"
    """The question cannot be answered without a tool call: any, or one of each of `Question.required_tools`."""
    MUST_NOT_ACT = "must_not_act"
    """A tool call is forbidden, or of no use: any call, or one of `Question.forbidden_tools` where it names some."""
    EITHER = "either"
    """A call is as good as none: neither acting nor declining is held against a policy."""


class ToolStatus(StrEnum):
    """How the execution of a call ended."""

    OK = "ok"
    """The tool ran and returned a result."""
    ERROR = "error"
    """The call was malformed or the tool reported an error; the policy reads which."""
    DENIED = "denied"
    """Permissions or limits refused the call; nothing ran."""
    TIMEOUT = "timeout"
    """The tool ran past its time limit and was stopped."""
    DRY_RUN = "dry_run"
    """The call was checked and recorded, not executed."""


class CallOutcome(StrEnum):
    """What became of one attempted call: how far it got on its way to execution."""

    EXECUTED = "executed"
    """It parsed, named a known tool, fitted its schema, and was handed to it (whatever the tool then said)."""
    MALFORMED = "malformed"
    """The text between the tags is no call in any known format."""
    UNCLOSED = "unclosed"
    """The opening tag was never closed."""
    UNKNOWN_TOOL = "unknown_tool"
    """No tool of this environment has that name."""
    INVALID_ARGUMENTS = "invalid_arguments"
    """The arguments do not fit the tool's schema."""
    OVER_LIMIT = "over_limit"
    """A limit (calls per turn, turns, tokens) forbade it; it was not executed."""
    WITHHELD = "withheld"
    """The environment's gate denied it or let it run dry (the status says which), or it could not be recorded; it was
    not executed. The status is `ERROR` where a dry run tells that the call would fail."""


class StopReason(StrEnum):
    """Why an episode ended."""

    ANSWERED = "answered"
    """A turn gave a final answer (terminated)."""
    NO_ANSWER = "no_answer"
    """A turn neither called a tool nor gave an answer; nothing more will come (terminated, scored as no answer)."""
    MAX_TURNS = "max_turns"
    """The policy called tools in every turn it had (truncated)."""
    MAX_TOKENS = "max_tokens"
    """A turn was cut off by a token limit; it was not executed (truncated)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One task: what is asked, and what a right answer is. Half of a surrogate pair in its texts becomes U+FFFD."""

    id: str
    """Unique within its source."""
    prompt: Parts
    """Text and images at their original size, in the order shown."""
    answer: str
    """The reference answer."""
    hops: int | None = None
    """Tool calls that an answer needs at least; None where unknown."""
    labels: frozenset[Label] = frozenset()
    """Demands beyond the answer."""
    source: str = ""
    """Fingerprint of the question source that made it; a snapshot is only restored where it matches."""
    alternatives: tuple[str, ...] = ()
    """Further reference answers; each is as good as `answer`."""
    options: tuple[str, ...] = ()
    """The texts of the options that the prompt offers, lettered A, B, C, ...; empty where it offers none, or where they
    stand in the prompt only."""
    extra: Columns = Columns()  # noqa: RUF009 - it is immutable
    """Further columns of the row that it came from, for rewards and tools."""
    forbidden_tools: frozenset[str] = frozenset()
    """Names of tools that must not be called; a policy may call others freely."""
    required_tools: frozenset[str] = frozenset()
    """Names of tools each of which must be called at least once."""

    def __setstate__(self, state: list[Any]) -> None:
        _fill(self, state)

    @property
    def answers(self) -> tuple[str, ...]:
        """Every reference answer, the first one first."""
        return (self.answer, *self.alternatives)

    def __post_init__(self) -> None:
        # No tokenizer and no file takes half of a surrogate pair.
        object.__setattr__(self, "id", well_formed(self.id))
        object.__setattr__(self, "prompt", _well_formed_parts(self.prompt))
        object.__setattr__(self, "answer", well_formed(self.answer))

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images of the prompt, in order."""
        return tuple(part for part in self.prompt if isinstance(part, ImageRef))

    @property
    def text(self) -> str:
        """The text parts of the prompt, joined."""
        return "".join(part for part in self.prompt if isinstance(part, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call as the policy wrote it."""

    name: str
    """The tool's name; empty where none could be read."""
    arguments: str
    """The arguments as raw JSON, or the raw text between the tags where it is no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What came of a call. Half of a surrogate pair in its text becomes U+FFFD."""

    status: ToolStatus = ToolStatus.OK
    """How the execution ended."""
    content: Parts = ()
    """What the policy reads: text and images."""
    seconds: float = 0.0
    """Wall-clock time of the execution. Excluded from digests and comparisons of trajectories."""

    def __post_init__(self) -> None:
        # What is no tuple stays as it is, for those to refuse who take results from tools.
        if isinstance(self.content, tuple):
            object.__setattr__(self, "content", _well_formed_parts(self.content))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One attempted call and what became of it."""

    call: ToolCall
    """The call as written."""
    outcome: CallOutcome
    """How far it got."""
    result: ToolResult
    """What the policy reads of it."""
    changed: str | None = None
    """The arguments that a gate let it run with, as JSON, where they are others than those of `call`."""
    rule: str = ""
    """Name of the rule by which a gate decided; empty where there was none."""
    agent: str = ""
    """Who called, in a team; empty where there is none."""

    def __setstate__(self, state: list[Any]) -> None:
        _fill(self, state)

    @property
    def valid(self) -> bool:
        """It parsed, named a known tool and fitted its schema."""
        return self.outcome in (CallOutcome.EXECUTED, CallOutcome.OVER_LIMIT, CallOutcome.WITHHELD)

    @property
    def succeeded(self) -> bool:
        """It was executed and the tool returned a result."""
        return self.outcome is CallOutcome.EXECUTED and self.result.status is ToolStatus.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One assistant turn and the observation it got."""

    text: str
    """The assistant's turn, tags and thinking included."""
    calls: tuple[CallRecord, ...] = ()
    """The attempted calls outside the thinking span, in order."""
    answer: str | None = None
    """The final answer, if the turn gave one."""
    observation: Parts = ()
    """What the environment answered; empty when the episode ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerm:
    """One named part of a reward."""

    name: str
    """What it measures."""
    value: float
    """Its contribution: the reward is the sum of its terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeState:
    """Everything an episode is at one moment. It never changes, hence the state is the snapshot."""

    question: Question
    """What is asked."""
    seed: int
    """Seeds whatever randomness the episode's tools have."""
    turns: tuple[Turn, ...] = ()
    """The turns so far."""
    tool_states: tuple[tuple[str, Any], ...] = ()
    """(tool name, immutable state) of every tool that keeps one, in the environment's order."""
    stop: StopReason | None = None
    """Why the episode ended; None while it runs."""
    terms: tuple[RewardTerm, ...] = ()
    """The terms of the reward; empty while it runs."""
    digest: str = ""
    """Chained hash of question and turns: equal digests are equal histories."""

    @property
    def reward(self) -> float:
        """Sum of the reward terms; 0.0 while the episode runs."""
        return sum((term.value for term in self.terms), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What one assistant turn led to."""

    state: EpisodeState
    """The state after the turn."""
    observation: Parts
    """What the policy reads next; empty when the episode ended."""
    reward: float
    """The reward of this turn; that of the episode arrives with its end."""
    terminated: bool
    """The policy ended the episode."""
    truncated: bool
    """A limit ended the episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A finished episode."""

    question: Question
    """What was asked."""
    turns: tuple[Turn, ...]
    """Every turn."""
    stop: StopReason
    """Why it ended."""
    reward: float
    """Sum of the terms."""
    terms: tuple[RewardTerm, ...]
    """The named parts of the reward."""

    @classmethod
    def from_state(cls, state: EpisodeState) -> Episode:
        """The episode that ended in this state.

        Raises:
            ValueError: the episode is still running.
        """
        if state.stop is None:
            raise ValueError(
                f"episode of question {state.question.id!r} is still running after {len(state.turns)} turns"
            )
        return cls(question=state.question, turns=state.turns, stop=state.stop, reward=state.reward, terms=state.terms)

    @property
    def calls(self) -> tuple[CallRecord, ...]:
        """Every attempted call of the episode, in order."""
        return tuple(call for turn in self.turns for call in turn.calls)

    @property
    def used_tool(self) -> bool:
        """At least one call was opened outside the thinking span, whether or not it parsed or succeeded."""
        return any(turn.calls for turn in self.turns)
