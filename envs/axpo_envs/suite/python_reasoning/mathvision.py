"""Defines `load_mathvision`, which reads rows in the layout of MathVision, and `MathVisionReward`, which scores them.

| column | holds |
|---|---|
| `id` | text; unique |
| `question` | text; `<image1>`, `<image2>`, ... name pictures, all of which are in the row's one image |
| `options` | the texts of the options A, B, C, ...; just these letters, or empty texts, where they are drawn |
| `answer` | a letter, or anything else where there are no options |
| `image` | the image's path, from the file's folder or the one above it |
| `decoded_image` | in Parquet files: the image itself, as `bytes` |
| `level`, `subject` | kept as further columns |

Source: MathLLMs/MathVision on Hugging Face (Parquet) and its authors' repository (JSON lines with a folder of images).
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import requiring
from axpo_envs.questions import TaskQuestions, load_questions
from axpo_envs.rewards import ExactMatch, MultipleChoice, Reward, answer_problem
from axpo_envs.rewards._math_equality import MathVerify
from axpo_envs.rewards._multiple_choice import chosen_options, options_of
from axpo_envs.rewards.reward import best_of
from axpo_envs.types import EpisodeState, Question, RewardTerm

COLUMNS: Final = ("id", "question", "options", "answer", "image", "decoded_image", "level", "subject")
"""The columns that are read; others, such as `solution`, are left out."""

_SUFFIXES: Final = (".jsonl", ".json", ".parquet")
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}(?:-[0-9a-f]+)?$")
_PLACEHOLDER: Final = re.compile(r"<image\d*>")
_LETTER: Final = re.compile("[A-Z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class MathVisionReward:
    """1 where the answer is the reference's option or equals the reference, else 0 (also without an answer).

    Of options the letter counts, the option's text, or what is mathematically equal to its text and to that of no
    other option. A letter that is chosen is never read as a value. Other answers count as `exact_match` or
    `math_verify` says; nothing of them is executed.

    Raises:
        MissingExtraError: a package of the extra `math` is not installed.
    """

    mathematics: MathVerify = field(default_factory=MathVerify)
    """Compares what is no letter."""
    name: str = "correct"
    """Name of the term."""

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """One term of 0.0 or 1.0.

        Raises:
            InfrastructureFault: as `MathVerify`.
        """

        def is_right(reference: str, given: str) -> bool:
            if question.options:
                return self._is_option(question, reference, given, state)
            asked = replace(question, answer=reference, alternatives=())
            if _LETTER.fullmatch(reference.strip()):
                return _scores(MultipleChoice(), asked, given, state)
            return _scores(ExactMatch(), asked, given, state) or _scores(self.mathematics, asked, given, state)

        return (RewardTerm(name=self.name, value=best_of(question, answer, is_right)),)

    def problem(self, question: Question) -> str | None:
        """That a reference is none of the options."""
        return MultipleChoice().problem(question) if question.options else None

    def _is_option(self, question: Question, reference: str, given: str, state: EpisodeState) -> bool:
        options = options_of(question)
        expected = chosen_options(reference, options)
        chosen = chosen_options(given, options)
        if chosen is not None or expected is None:
            return chosen is not None and chosen == expected

        def equals(letter: str) -> bool:
            return _scores(self.mathematics, replace(question, answer=options[letter], alternatives=()), given, state)

        return all(map(equals, expected)) and not any(equals(other) for other in options if other not in expected)


def _scores(reward: Reward, question: Question, answer: str, state: EpisodeState) -> bool:
    return sum(term.value for term in reward(question, answer, state)) == 1.0


def load_mathvision(path: str | Path, reward: Reward, *, split: str | None = None) -> TaskQuestions:
    """Reads rows in the layout of MathVision (see the module's table) and checks them.

    Args:
        path: a `.jsonl`, `.json` or `.parquet` file, or a folder that holds one such data set, itself or in `data/`,
            be it in several pieces (`test-00000-of-00002.parquet`).
        reward: what will score the answers.
        split: None; the rows have no splits.

    Raises:
        EnvConfigError: there are no such rows, or some are unusable; the message lists them.
        UnknownSplitError: a split is asked for.
        MissingExtraError: it is a Parquet file, and a package of the extra `datasets` is not installed.
    """
    files = _files_of(Path(path).expanduser())
    rows = [_task_row(row, file) for file in files for row in _rows_of(file)]
    try:
        return load_questions(rows, split=split, check=partial(answer_problem, reward))
    except EnvConfigError as error:
        # The kind of error tells that there is no such split.
        error.args = (f"{path}: {error}", *error.args[1:])
        raise


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in _SUFFIXES:
            raise EnvConfigError(f"path: expected a file of {', '.join(_SUFFIXES)}; got {str(path)!r}")
        return [path]
    if not path.is_dir():
        raise EnvConfigError(f"path: expected a file or a folder of MathVision's rows; {str(path)!r} does not exist")
    found: dict[str, list[Path]] = {}
    for folder in (path, path / "data"):
        for file in sorted(folder.glob("*")):
            if file.is_file() and file.suffix in _SUFFIXES:
                found.setdefault(f"{_SHARD.sub('', file.stem)}{file.suffix}", []).append(file)
    if len(found) != 1:
        have = f"holds {', '.join(found)}: name one" if found else f"holds no file of {', '.join(_SUFFIXES)}"
        raise EnvConfigError(f"path: expected a folder with one data set; {str(path)!r} {have}")
    return next(iter(found.values()))


def _rows_of(file: Path) -> Iterable[Any]:
    """The rows of a file as its format has them."""
    if file.suffix == ".parquet":
        with requiring("datasets", f"path: {file}"):
            from pyarrow import parquet

        try:
            table = parquet.read_table(file)
        except (OSError, ValueError) as error:
            raise EnvConfigError(f"path: cannot read {file}: {error}") from None
        known = [column for column in COLUMNS if column in table.column_names]
        return list(table.select(known).to_pylist())
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".jsonl":
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        rows = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise EnvConfigError(f"path: cannot read {file}: {error}") from None
    if not isinstance(rows, list):
        raise EnvConfigError(f"path: expected a list of rows in {file}; got a {type(rows).__name__}")
    return rows


def _task_row(row: Any, file: Path) -> Any:
    """A row under the names of `axpo_envs.questions`; what is no mapping stays, for it to be told."""
    if not isinstance(row, Mapping):
        return row
    options = row.get("options")
    listed = list(options) if isinstance(options, list | tuple) else []
    # Options that are letters in the image add nothing to the prompt.
    drawn = listed in (list(string.ascii_uppercase[: len(listed)]), [""] * len(listed))
    shown = [] if drawn else listed
    text = row.get("question")
    several = _PLACEHOLDER.findall(" ".join(map(str, (text, *shown)))) not in ([], ["<image1>"])
    decoded = row.get("decoded_image")
    held = isinstance(decoded, Mapping) and decoded.get("bytes")
    return {
        "id": row.get("id"),
        "prompt": _named(text) if several else text,
        "answer": row.get("answer"),
        "images": decoded if held else _image_path(row.get("image"), file),
        "options": [_named(option) for option in shown] or (None if drawn else options),
        "level": row.get("level"),
        "subject": row.get("subject"),
    }


def _named(text: Any) -> Any:
    """A text that names several pictures, which are parts of the one image: the names stay in it."""
    return _PLACEHOLDER.sub(lambda found: f"\\{found[0]}", text) if isinstance(text, str) else text


def _image_path(image: Any, file: Path) -> Any:
    if not isinstance(image, str) or not image:
        return "" if image is None else image
    beside, above = file.parent / image, file.parent.parent / image
    return above if above.is_file() and not beside.is_file() else beside
