"""Defines `problems_across`: what is wrong with a policy that no field on its own shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

DEFAULT: Final = "default"
"""What records call the default."""
EXTERNAL_DEFAULT: Final = "default for external effects"
"""What records call the default of tools with external effects."""
ENTRIES: Final = {"rules": "rule", "budgets": "budget"}
"""Sections of a policy that list entries, and what an entry is called."""


def problems_across(policy: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong across the fields of a policy, whether or not each of them is right.

    Args:
        policy: its fields, as somebody wrote them.
    """
    entries = {section: _entries(policy, section) for section in ENTRIES}
    ask = policy.get("ask")
    approver = ask.get("approver") if isinstance(ask, Mapping) else ask
    said = [policy.get("default"), policy.get("external")]
    said += [rule.get("verdict") for rule in entries["rules"]]
    said += [budget.get("exceeded") for budget in entries["budgets"]]
    problems = []
    if "ask" in said and approver is None:
        problems.append("ask.approver: expected one, because calls are asked about; got none")
    if not policy.get("costs") and any(budget.get("unit") == "cost" for budget in entries["budgets"]):
        problems.append("costs: expected some, because a budget counts them; got none, so that every call is free")
    return [*problems, *_names(entries)]


def problem_of_changes(verdict: Any, changes: bool) -> str:
    """What is wrong with a rule's verdict beside what it changes; empty where nothing is.

    Args:
        verdict: the verdict.
        changes: whether the rule has `clamp` or `set`.
    """
    if verdict == "modify" and not changes:
        return "clamp: expected it or set beside the verdict modify; got neither"
    if verdict != "modify" and changes:
        return f"clamp, set: expected them beside the verdict modify alone; got {verdict}"
    return ""


def entry_name(section: str, number: int, entry: Mapping[str, Any]) -> str:
    """What records call a rule or a budget, by its number from 0."""
    given = entry.get("name")
    return given if isinstance(given, str) and given else f"{ENTRIES[section]} {number + 1}"


def _entries(policy: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    given = policy.get(section)
    # What is no table keeps its place, for numbers are names.
    return [one if isinstance(one, Mapping) else {} for one in given] if isinstance(given, list | tuple) else []


def _names(entries: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[str]:
    names = {
        section: [entry_name(section, number, one) for number, one in enumerate(listed)]
        for section, listed in entries.items()
    }
    everywhere = list(chain.from_iterable(names.values()))
    for name in dict.fromkeys(everywhere):
        where = ", ".join(section for section, own in names.items() if name in own)
        if name in (DEFAULT, EXTERNAL_DEFAULT):
            yield f"{where}: expected another name than {name!r}, which is what records call the default"
        elif everywhere.count(name) > 1:
            yield f"{where}: expected different names; got {name!r} twice"
