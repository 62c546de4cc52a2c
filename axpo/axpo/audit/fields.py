"""Defines how fields of a stranger's record are found and read: rewards, questions, demands on acting.

What a record holds may be of any type; `UnreadableError` says what was expected and got, and is counted by its place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from axpo.diagnostics.demands import NO_DEMANDS, Demands
from axpo_envs.plumbing.strict_json import JsonError, read_json
from axpo_envs.types import Label

REWARDS: Final = (
    "reward",
    "score",
    "rewards",
    "total_reward",
    "return",
    "correct",
    "is_correct",
    "acc",
    "accuracy",
    "success",
)
QUESTIONS: Final = (
    *("group_id", "question_id", "prompt_id", "example_id", "task_id", "problem_id", "sample_id", "uid", "qid", "id"),
    *("question", "prompt", "input", "problem", "query"),
)
_LARGEST: Final = 1e100
"""The square of a larger number, over many records, may be no float."""
HOPS: Final = ("hops", "num_hops", "required_hops", "needed_hops")
ENVIRONMENTS: Final = (
    *("environment", "env", "env_id", "data_source", "family", "dataset"),
    *("extra_info.data_source", "info.env_id", "info.data_source", "metadata.environment"),
)
"""Where stacks say which environment or data set a question is from."""
_DEMANDS: Final = frozenset(("labels", "forbidden_tools", "required_tools", *(label.value for label in Label)))
_LONGEST_KEY: Final = 4000
_LONGEST_NAME: Final = 80


class UnreadableError(ValueError):
    """A record is none of its format; the message says what was expected and what was got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which fields mean what, where the usual names do not do."""

    group_by: str | None = None
    """The field whose value tells questions apart; dots go deeper."""
    reward: str | None = None
    """The field that holds the reward; dots go deeper."""
    split_by: str | None = None
    """The field that tells environments apart; dots go deeper."""


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def at(record: Any, path: str) -> Any:
    """What lies at a path such as `extra_info.index`; None where nothing does."""
    found = record
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def reward_of(record: Mapping[str, Any], fields: Fields, names: Iterable[str] = REWARDS) -> float | None:
    """The reward; None where the record has none.

    Raises:
        UnreadableError: what stands there is no finite number, or the field that was asked for is missing.
    """
    if fields.reward is not None:
        value = at(record, fields.reward)
        if value is None:
            raise UnreadableError(f"expected a reward in the field {fields.reward!r}; got none")
        return number(value, fields.reward)
    for name in names:
        if record.get(name) is not None:
            return number(record[name], name)
    return None


def number(value: Any, name: str) -> float:
    """A finite number; of several by name, their sum."""
    if isinstance(value, Mapping):
        return math.fsum(number(part, f"{name}.{key}") for key, part in value.items() if part is not None)
    if isinstance(value, bool | int | float) and abs(value) <= _LARGEST:
        return float(value)
    raise UnreadableError(f"expected a finite number up to {_LARGEST:g} in the field {name!r}; got {str(value)[:80]!r}")


def question_of(record: Mapping[str, Any], fields: Fields, names: Iterable[str] = QUESTIONS) -> str:
    """What tells the record's question from others.

    Raises:
        UnreadableError: it has no such field.
    """
    if fields.group_by is not None:
        value = at(record, fields.group_by)
        if value is None:
            raise UnreadableError(f"expected a question in the field {fields.group_by!r} (--group-by); got none")
        return key_of(value)
    for name in names:
        if record.get(name) not in (None, "", []):
            return key_of(record[name])
    raise UnreadableError(
        f"expected one of the fields {', '.join(QUESTIONS)} to tell the question by; got {_names(record)}"
    )


def key_of(value: Any) -> str:
    """A value as a key: itself, or a digest where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= _LONGEST_KEY else f"{text[:200]}#{hash(text):x}"


def environment_of(record: Mapping[str, Any], fields: Fields, names: Iterable[str] = ENVIRONMENTS) -> str | None:
    """The environment that the record's question is from; None where no field says so in a word or number."""
    for path in names if fields.split_by is None else (fields.split_by,):
        # Most records have none of these: to follow paths through each would cost a tenth of the reading.
        value = at(record, path) if path.partition(".")[0] in record else None
        if isinstance(value, str | int) and value != "":
            return str(value)[:_LONGEST_NAME]
    return None


def count_of(record: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """A whole number from 0 on from the first of these fields that holds one; tables write 2 as 2.0."""
    for name in names:
        value = record.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def demands_of(record: Mapping[str, Any]) -> Demands:
    """Demands on acting: `labels`, or flags of their names; names of tools in `forbidden_tools`, `required_tools`.

    Tables hold lists as JSON in a text, and flags as 1 or 1.0; a tool may stand there as its schema, or several in a
    text with commas.

    Raises:
        UnreadableError: what stands there for tools is neither: taken for none, it would hide what was broken.
    """
    if _DEMANDS.isdisjoint(record):
        return NO_DEMANDS
    found = (
        (*_listed(record.get("labels")), *(label for label in Label if _holds(record.get(label)))),
        *(_tools(record.get(name), name) for name in ("forbidden_tools", "required_tools")),
    )
    return demands_from(*map(frozenset, found)) if any(found) else NO_DEMANDS


@lru_cache(maxsize=4096)
def demands_from(labels: frozenset[str], forbidden: frozenset[str], required: frozenset[str]) -> Demands:
    """Such demands, one object for all records that share them."""
    return Demands(labels=labels, forbidden=forbidden, required=required)


def texts_of(value: Any) -> tuple[str, ...]:
    """The texts of a list, or one text alone; none of anything else."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, Sequence) else ()


def _listed(value: Any) -> tuple[str, ...]:
    """The texts of a list, also of one that is JSON in a text."""
    return texts_of(_decoded(value))


def _decoded(value: Any) -> Any:
    """A value, or the list or object that it is the JSON of."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        with suppress(JsonError):
            return read_json(value, halves=True)
    return value


def _tools(value: Any, field: str) -> tuple[str, ...]:
    """The names of tools in a field."""
    # Arrays of tables and frames are no sequences.
    listed = value.tolist() if hasattr(value, "tolist") else _decoded(value)
    if isinstance(listed, str):
        listed = listed.split(",")
    items = listed if isinstance(listed, list | tuple | set | frozenset) else [listed]
    names = [_tool(item) for item in items if not _is_empty(item)]
    if None in names:
        raise UnreadableError(f"expected names of tools in the field {field!r}; got {str(value)[:80]!r}")
    return tuple(name for name in names if name)


def _is_empty(item: Any) -> bool:
    """Whether an item stands for nothing, as null, NaN and empty texts do in tables."""
    return item in (None, "", {}) or (isinstance(item, float) and math.isnan(item))


def _tool(item: Any) -> str | None:
    """A tool's name: itself, or as its schema has it; None for anything else."""
    if isinstance(item, Mapping):
        item = item.get("name") or mapping(item.get("function")).get("name")
    return item.strip() if isinstance(item, str) else None


def _holds(flag: Any) -> bool:
    return isinstance(flag, bool | int | float) and flag == 1


def _names(record: Mapping[str, Any]) -> str:
    return ", ".join(list(map(str, record))[:12]) or "no field"
