"""Defines `Facts`, what a policy knows of a call, and whether a rule or a budget speaks of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from axpo_envs.governance._arguments import is_number, values_at
from axpo_envs.governance.policy import Bounds, Phase, Rule, Selector
from axpo_envs.plumbing.extras import requiring
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a policy knows of a call."""

    tool: str
    """The tool's name."""
    effects: Effects
    """What it does."""
    arguments: Mapping[str, Any]
    """The arguments as JSON, defaults filled in."""
    environment: str = ""
    """Id of the environment."""
    agent: str = ""
    """Who calls, in a team."""
    phase: Phase | None = None
    """What the agent acts for; None where nobody said, and no rule asks."""
    labels: frozenset[Label] = frozenset()
    """Those of the question."""


def selects(selector: Selector, facts: Facts) -> bool:
    """Whether a call fits a selector; where no phase is stated, a selector of every phase fits."""
    return (
        _some(selector.tools, facts.tool)
        and facts.effects in selector.effects
        and _some(selector.environments, facts.environment)
        and _some(selector.agents, facts.agent)
        and (facts.phase in selector.phases if facts.phase is not None else set(selector.phases) == set(Phase))
        and (not selector.labels or any(label in facts.labels for label in selector.labels))
    )


def matches(rule: Rule, facts: Facts) -> bool:
    """Whether a call fits a rule's selector and every condition on arguments."""
    if not selects(rule, facts):
        return False
    quantifier: Callable[[Any], bool] = all if rule.match == "every" else any

    def fit(path: str, test: Callable[[Any], bool]) -> bool:
        values = values_at(facts.arguments, path)
        return bool(values) and quantifier(map(test, values))

    return (
        all(fit(path, functools.partial(_is_one_of, wanted)) for path, wanted in rule.arguments.items())
        and all(fit(path, functools.partial(_is_within, bounds)) for path, bounds in rule.bounds.items())
        and (rule.schema is None or _validator(json.dumps(rule.schema, sort_keys=True))(dict(facts.arguments)))
    )


def _some(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_one_of(wanted: Sequence[Any], value: Any) -> bool:
    return any(_equals(one, value) for one in wanted)


def _equals(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, str):
        return isinstance(value, str) and fnmatchcase(value, wanted)
    if isinstance(wanted, bool):
        return value is wanted
    return is_number(value) and bool(value == wanted)


def _is_within(bounds: Bounds, value: Any) -> bool:
    if not is_number(value):
        return False
    return (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> Callable[[Any], bool]:
    with requiring("governance", "a JSON schema in a policy"):
        from jsonschema import Draft202012Validator
    fits: Callable[[Any], bool] = Draft202012Validator(json.loads(schema)).is_valid
    return fits
