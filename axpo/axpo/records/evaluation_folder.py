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
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from axpo.records import _checked_json as checked_json
from axpo.records._checked_json import DamagedFileError
from axpo.records._jsonl import JsonLines
from axpo.records.evaluation_records import FORMAT, AskedQuestion, EvaluatedRollout, Provenance
from axpo.settings.config import ConfigError
from axpo_envs.plumbing.whole_files import write_whole

PROVENANCE: Final = "evaluation.json"
QUESTIONS: Final = "questions.jsonl"
ROLLOUTS: Final = "rollouts.jsonl"

JUDGEMENTS: Final = "judgements.jsonl"

R = TypeVar("R")


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
