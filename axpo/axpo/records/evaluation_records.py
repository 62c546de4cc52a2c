"""Defines what the folder of an evaluation holds: questions, rollouts, what was said of them, and its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final

from pydantic import Field

from axpo.settings.values import Count, CountOrNone, Name, NonNegative
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.types import CallOutcome, Episode, Question, StopReason, ToolStatus

FORMAT: Final = 1
"""Of the folder; rises with every change that an older reader would misread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A question of a benchmark as scorers and comparisons need it: everything but its images."""

    id: Name
    """Unique within its benchmark."""
    part: str
    """The part of the benchmark that it belongs to, by which figures are reported."""
    cluster: Name
    """Questions of one cluster are not independent: the four rows of HR-Bench, the variants of a seed question of
    DynaMath. Intervals and bootstraps draw clusters. Elsewhere its id."""
    kinds: Mapping[str, str]
    """What kind of question it is, by what says so: the short columns of its row, such as `category`, and `part`."""
    text: str
    """The prompt's text."""
    images: CountOrNone
    """How many images the prompt shows."""
    answer: str
    """The reference answer."""
    alternatives: tuple[str, ...] = ()
    """Further reference answers."""
    options: tuple[str, ...] = ()
    """The texts of its options, lettered A, B, C, ..."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further columns of its row, those that are no text, number or list of such left out."""

    @property
    def question(self) -> Question:
        """The question without images, for scorers to be asked again."""
        return Question(
            id=self.id,
            prompt=(self.text,),
            answer=self.answer,
            alternatives=self.alternatives,
            options=self.options,
            extra=Columns(self.extra.items()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """A call of a tool."""

    name: str
    """The tool's name; empty where none could be read."""
    arguments: str
    """Raw JSON, or the raw text where it is none."""
    outcome: CallOutcome
    """How far it got."""
    status: ToolStatus
    """How it ended."""
    said: str
    """The text of the result."""
    images: CountOrNone
    """How many images the result showed."""
    seconds: NonNegative
    """Wall-clock time of its execution."""

    @property
    def valid(self) -> bool:
        """It parsed, named a known tool and fitted its schema."""
        return self.outcome in (CallOutcome.EXECUTED, CallOutcome.OVER_LIMIT, CallOutcome.WITHHELD)

    @property
    def succeeded(self) -> bool:
        """It was executed and the tool returned a result."""
        return self.outcome is CallOutcome.EXECUTED and self.status is ToolStatus.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidTurn:
    """A turn of the policy."""

    text: str
    """What it wrote, tags and thinking included."""
    calls: tuple[MadeCall, ...] = ()
    """The calls that it made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the scorer said of a rollout."""

    outcome: Annotated[str, Field(pattern="^(right|wrong|unparsable)$")]
    """`right`, `wrong` or `unparsable`; the last counts as not right."""
    reason: str
    """Which rule matched what."""
    score: Annotated[float, Field(ge=0, le=1)]
    """What it is worth; graded by MMSearch (F1), else 0 or 1."""
    cut: bool
    """Whether a token limit cut the response."""
    rule: Annotated[str, Field(pattern="^(right|wrong|unparsable)$")] | None = None
    """The outcome by rules alone; None where no judge was asked."""
    judge: Annotated[str, Field(pattern="^(right|wrong|unreadable)$")] | None = None
    """What the judge said; None where none was asked."""

    @property
    def right(self) -> bool:
        """Whether the outcome is `right`."""
        return self.outcome == "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedRollout:
    """A rollout of an evaluation. One that an infrastructure fault took is no line: it is sampled when resumed."""

    question: Name
    """The question's id."""
    sample: CountOrNone
    """Its number among the question's rollouts, from 0; (question, sample) is unique."""
    stop: StopReason
    """Why the episode ended."""
    turns: tuple[SaidTurn, ...]
    """Every turn; the last one is what is scored."""
    judged: Judged
    """What the scorer said."""
    written: CountOrNone | None
    """Tokens sampled; None where the policy does not tell."""
    read: CountOrNone | None
    """Tokens given, each counted once: prompt and observations."""
    reread: CountOrNone | None
    """Tokens that stood before later turns and had been read or written before: what a cache spares."""
    seconds: NonNegative
    """Wall-clock time: its share, by tokens, of what was sampled together."""

    @property
    def used_tool(self) -> bool:
        """It opened at least one call outside its thinking."""
        return any(turn.calls for turn in self.turns)

    @property
    def calls(self) -> tuple[MadeCall, ...]:
        """Every call, in order."""
        return tuple(call for turn in self.turns for call in turn.calls)


def said_turns(episode: Episode) -> tuple[SaidTurn, ...]:
    """The turns of an episode as records hold them; half of a surrogate pair becomes U+FFFD."""
    return tuple(
        SaidTurn(
            text=well_formed(turn.text),
            calls=tuple(
                MadeCall(
                    name=well_formed(made.call.name),
                    arguments=well_formed(made.call.arguments),
                    outcome=made.outcome,
                    status=made.result.status,
                    said="".join(part for part in made.result.content if isinstance(part, str)),
                    images=sum(not isinstance(part, str) for part in made.result.content),
                    seconds=made.result.seconds,
                )
                for made in turn.calls
            ),
        )
        for turn in episode.turns
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkProvenance:
    """Which benchmark was asked, and by which rules it was scored."""

    slice: Name
    """Its slice."""
    questions: Count
    """How many of its questions were asked, the first ones."""
    fingerprint: Name
    """Hash over all questions of the slice, images included."""
    differences: tuple[str, ...]
    """What differs from the published counts; empty where nothing does."""
    scorer: Name
    """Hash of the scorers' source."""
    judge: str | None
    """What decides where rules do not: `package.module:name`, or a model and the hash of what it is told; None for
    rules alone."""
    prompts: Mapping[str, Name]
    """By arm: hash of the instructions and of the tools as the policy is told of them."""
    tools: Mapping[str, tuple[str, ...]]
    """By arm: the names of the tools."""
    sites: tuple[str, ...]
    """Sites on which searches find nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What was evaluated, and how: evaluations are compared, and gone on with, by it."""

    format: int = FORMAT
    """The folder's format."""
    axpo: Name
    """Version of this package that began it."""
    model: Name
    """The model as it was named: a folder, an id, `tiny`, a server's address, `package.module:name`."""
    revision: str | None
    """What tells its weights: a hash of them, where they are here; else what the user said."""
    protocol: Mapping[str, Any]
    """How it was asked: sampling, limits, samples per question, seed, and the preset's name."""
    benchmarks: Mapping[str, BenchmarkProvenance]
    """What was asked, by the benchmarks' names."""

    def differences(self, other: Provenance) -> tuple[str, ...]:
        """What keeps an evaluation from going on under other settings, one text each; the version does not."""
        ours, theirs = _flat(asdict(self)), _flat(asdict(other))
        names = sorted({*ours, *theirs} - {"axpo"})
        return tuple(
            f"{name}: it has {ours.get(name)!r}; got {theirs.get(name)!r}"
            for name in names
            if ours.get(name) != theirs.get(name)
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return found
