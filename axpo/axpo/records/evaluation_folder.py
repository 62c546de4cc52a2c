"""Defines the folder of an evaluation on benchmarks: its settings, the questions asked, and every rollout as data.

```
FOLDER/
  evaluation.json                what was evaluated, and how: `Provenance`, with a checksum; written first
  BENCHMARK/questions.jsonl      one `AskedQuestion` a line
  BENCHMARK/ARM/rollouts.jsonl   one `EvaluatedRollout` a line, in the order in which they ended
  judgements.jsonl               what a judge behind a server said of each answer, where there is one
```

Lines carry checksums (`JsonLines`): one that a kill left half-written does not count, one that was changed is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from axpo.records import _checked_json as checked_json
from axpo.records._checked_json import DamagedFileError
from axpo.records._jsonl import JsonLines
from axpo.settings.config import ConfigError
from axpo.settings.values import Count, CountOrNone, Name, NonNegative
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.plumbing.whole_files import write_whole
from axpo_envs.types import CallOutcome, Episode, Question, StopReason, ToolStatus

FORMAT: Final = 1
"""Of the folder; rises with every change that an older reader would misread."""
PROVENANCE: Final = "evaluation.json"
QUESTIONS: Final = "questions.jsonl"
ROLLOUTS: Final = "rollouts.jsonl"

JUDGEMENTS: Final = "judgements.jsonl"

R = TypeVar("R")


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


class EvaluationFolder:
    """An evaluation on disk. One process writes it; any number may read.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._logs: dict[tuple[str, str], JsonLines] = {}

    def exists(self) -> bool:
        """Whether an evaluation was begun here."""
        return (self.path / PROVENANCE).is_file()

    def begin(self, provenance: Provenance) -> None:
        """Writes what is evaluated; an evaluation that was begun before goes on if it is the same.

        Raises:
            ConfigError: another one was begun here; the message says what differs.
            DamagedFileError: its file was changed.
        """
        if self.exists():
            differences = self.provenance().differences(provenance)
            if differences:
                listed = "\n".join(f"  {one}" for one in differences)
                raise ConfigError(
                    f"{self.path} holds another evaluation; choose another folder, or the same:\n{listed}"
                )
            return
        self.path.mkdir(parents=True, exist_ok=True)
        checked_json.write(self.path / PROVENANCE, json.loads(json.dumps(asdict(provenance))))

    def provenance(self) -> Provenance:
        """What is evaluated.

        Raises:
            ConfigError: there is no evaluation, or one of another version.
            DamagedFileError: its file was changed.
        """
        file = self.path / PROVENANCE
        try:
            content = checked_json.read(file)
        except FileNotFoundError:
            raise ConfigError(f"expected the folder of an evaluation, with {PROVENANCE}; got {self.path}") from None
        if content.get("format") != FORMAT:
            raise ConfigError(f"{file}: expected format {FORMAT}; got {content.get('format')!r}")
        return _read(Provenance, content, str(file))

    def write_questions(self, benchmark: str, questions: tuple[AskedQuestion, ...]) -> None:
        """Writes the questions of a benchmark; they replace those that are there."""
        folder = self.path / benchmark
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(asdict(question), ensure_ascii=False) + "\n" for question in questions)
        write_whole(folder / QUESTIONS, lines.encode())

    def questions(self, benchmark: str) -> tuple[AskedQuestion, ...]:
        """The questions of a benchmark, in the order in which they are asked.

        Raises:
            ConfigError: there are none, or a line is no question.
        """
        file = self.path / benchmark / QUESTIONS
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
        return tuple(_read(AskedQuestion, line, f"{file}, line {n}") for n, line in enumerate(lines, 1) if line)

    def add(self, benchmark: str, arm: str, rollout: EvaluatedRollout) -> None:
        """Adds a rollout; when this returns, it is on the disk.

        Raises:
            OSError: the disk is full or the file cannot be written; what was there is untouched.
            DamagedFileError: the file was changed.
        """
        log = self._logs.get((benchmark, arm))
        if log is None:
            file = self.path / benchmark / arm / ROLLOUTS
            file.parent.mkdir(parents=True, exist_ok=True)
            log = self._logs[benchmark, arm] = JsonLines(file)
        log.append(asdict(rollout))

    def rollouts(self, benchmark: str, arm: str) -> tuple[EvaluatedRollout, ...]:
        """The rollouts so far, by question and number.

        Raises:
            DamagedFileError: a line is not what was written, or two are the same rollout.
        """
        file = self.path / benchmark / arm / ROLLOUTS
        found: dict[tuple[str, int], EvaluatedRollout] = {}
        for number, record in enumerate(JsonLines(file).read(), start=1):
            rollout = _read(EvaluatedRollout, record, f"{file}, line {number}")
            if found.setdefault((rollout.question, rollout.sample), rollout) is not rollout:
                raise DamagedFileError(f"{file}, line {number}: rollout {rollout.sample} of {rollout.question!r} twice")
        return tuple(found[key] for key in sorted(found))

    def replace_rollouts(self, benchmark: str, arm: str, rollouts: tuple[EvaluatedRollout, ...]) -> None:
        """Writes all rollouts anew, as another scorer judged them; the file is the old one or the new one."""
        file = self.path / benchmark / arm / ROLLOUTS
        write_whole(file, JsonLines.rendered(asdict(rollout) for rollout in rollouts))
        self._logs.pop((benchmark, arm), None)

    def replace_provenance(self, provenance: Provenance) -> None:
        """Writes anew what was evaluated, as another scorer judged it."""
        checked_json.write(self.path / PROVENANCE, json.loads(json.dumps(asdict(provenance))))

    def judgements(self) -> dict[str, bool]:
        """What a judge said so far, by the codes of what it was asked.

        Raises:
            DamagedFileError: a line is not what was written.
        """
        return {str(record["code"]): bool(record["right"]) for record in self._judgements().read()}

    def add_judgement(self, code: str, *, right: bool, **told: str) -> None:
        """Adds what a judge said; when this returns, it is on the disk.

        Args:
            code: tells what was asked of whom.
            right: what the judge said.
            told: what a person should see beside it.

        Raises:
            OSError: the disk is full or the file cannot be written; what was there is untouched.
            DamagedFileError: the file was changed.
        """
        self._judgements().append({"code": code, **told, "right": right})

    def _judgements(self) -> JsonLines:
        return self._logs.setdefault(("", JUDGEMENTS), JsonLines(self.path / JUDGEMENTS))

    def arms(self, benchmark: str) -> tuple[str, ...]:
        """The arms of a benchmark: `tools`, `no_tools`, `unseen_tools`; those that were asked for."""
        return tuple(self.provenance().benchmarks[benchmark].tools)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Every benchmark with each of its arms."""
        for benchmark, asked in self.provenance().benchmarks.items():
            yield from ((benchmark, arm) for arm in asked.tools)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _read(kind: type[R], value: Any, where: str) -> R:
    hashable: Any = kind
    document = value if isinstance(value, str) else json.dumps(value)
    try:
        found: R = _adapter(hashable).validate_json(document, strict=True)
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(map(str, details["loc"]))
        raise ConfigError(f"{where}: {place}: {details['msg']}; got {details['input']!r:.80}") from None
    return found
