"""Defines `read_demands`, which reads what a user's row demands of acting: labels, forbidden tools, required tools."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from axpo_envs.plumbing.brief import brief
from axpo_envs.questions.problems import Problems
from axpo_envs.types import Label

DEMANDS: Final = ("labels", "forbidden_tools", "required_tools")
"""Names of the fields that are read."""


def read_demands(row: Mapping[str, Any], where: str, problems: Problems) -> dict[str, frozenset[Any]] | None:
    """What a row demands, by the names of `DEMANDS`; None if a field is unusable, which `problems` then says.

    Refused are demands that no policy can meet, or that say two things: several labels, a tool that is forbidden and
    required, a required tool where every call is forbidden (`must_not_act` that names no forbidden tool), and one with
    `either`, which demands nothing.

    Args:
        row: the row.
        where: its place, for messages.
        problems: takes what is wrong.
    """
    found: dict[str, frozenset[Any]] = {}
    for field in DEMANDS:
        values = _as_list(row.get(field))
        wrong = _wrong_label(values) if field == "labels" else _wrong_name(values)
        if wrong is not None:
            problems.add(where, field, wrong)
            continue
        found[field] = frozenset(map(Label, values)) if field == "labels" else frozenset(values)
    if len(found) < len(DEMANDS):
        return None
    contradictions = tuple(_contradictions(**found))
    for field, message in contradictions:
        problems.add(where, field, message)
    return None if contradictions else found


def unknown_tools(demands: Mapping[str, Collection[str]], tools: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Fields that name a tool that is not there, each with what is wrong with it.

    Args:
        demands: by field the names of tools.
        tools: the names of the environment's tools.
    """
    have = f"expected names of the environment's tools ({', '.join(sorted(tools)) or 'it has none'})"
    return tuple(
        (field, f"{have}; got {brief(unknown[0])}")
        for field, names in demands.items()
        if (unknown := sorted(set(names) - set(tools)))
    )


def _contradictions(
    labels: frozenset[Label], forbidden_tools: frozenset[str], required_tools: frozenset[str]
) -> list[tuple[str, str]]:
    found = []
    if len(labels) > 1:
        found.append(("labels", f"expected one label; {' and '.join(sorted(labels))} contradict each other"))
    if both := sorted(forbidden_tools & required_tools):
        found.append(("required_tools", f"expected tools that are not forbidden; {both[0]!r} is in forbidden_tools"))
    if required_tools and Label.EITHER in labels:
        found.append(("required_tools", "expected none with the label either, which demands no call"))
    if required_tools and Label.MUST_NOT_ACT in labels and not forbidden_tools:
        found.append(
            (
                "required_tools",
                "expected none where every call is forbidden (must_not_act that names no forbidden_tools)",
            )
        )
    return found


def _wrong_label(values: list[Any]) -> str | None:
    wrong = [value for value in values if value not in tuple(Label)]
    return f"expected labels out of {', '.join(Label)}; got {brief(wrong[0])}" if wrong else None


def _wrong_name(values: list[Any]) -> str | None:
    wrong = [value for value in values if not (isinstance(value, str) and value)]
    return f"expected a name of a tool, or a list of such; got {brief(wrong[0])}" if wrong else None


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
