"""Defines `Policy`: which calls may be made, as data. Rules are tried in order, and the first that matches decides.

| a call | verdict |
|---|---|
| matches a rule | that of the first such rule |
| matches none, its tool has external effects | `external`, a dry run unless the policy says otherwise |
| matches none, any other tool | `default`, which every policy states |
| may run by that, and exceeds a budget | that of the first such budget |
| is to be asked about | the approver's answer; `ask.unanswered` where nobody answers in time |
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from axpo_envs.digest import digest_of
from axpo_envs.governance._across import entry_name, problem_of_changes, problems_across
from axpo_envs.governance._fields import (
    check_patterns,
    check_schema,
    costs_of,
    path_or_none,
    path_table,
    scalars_table,
    texts_of,
    values_table,
)
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import Label

MOST_SECONDS: Final = 31_536_000
"""The most that anybody is waited for: a year, which every platform's clock can wait for."""
_APPROVER: Final = re.compile(r"terminal|https?://\S+|[^\s:]+:[^\s:]+")
_STRICT: Final = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
Text: TypeAlias = Annotated[str, Field(strict=True)]
Number: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Globs: TypeAlias = Annotated[tuple[Annotated[str, Field(strict=True, min_length=1)], ...], BeforeValidator(texts_of)]
"""Patterns as of file names (`*`, `?`, `[abc]`), case and all; a single text stands for a list of it."""
SomeGlobs: TypeAlias = Annotated[Globs, Field(min_length=1)]
"""At least one: none would match nothing."""


class Action(StrEnum):
    """What a rule, a default or an exceeded budget says of a call."""

    ALLOW = "allow"
    """It runs."""
    DENY = "deny"
    """It does not run; the policy reads why."""
    ASK = "ask"
    """The approver decides."""
    DRY_RUN = "dry_run"
    """It does not run; the policy reads what it would change, where its tool can tell."""
    MODIFY = "modify"
    """It runs with arguments that `clamp` and `set` change."""


class Phase(StrEnum):
    """What an agent acts for."""

    TRAINING = "training"
    """Its rollouts are trained on."""
    EVALUATION = "evaluation"
    """It is measured."""
    PRODUCTION = "production"
    """It works."""


class Per(StrEnum):
    """Over what a budget counts."""

    EPISODE = "episode"
    """The history of the episode as its branch has it: exact, however often it is returned to."""
    QUESTION = "question"
    """Every call that was made for the question in the run, in every episode and branch."""
    RUN = "run"
    """Every call that was made in the run, in every episode and branch."""


class Unit(StrEnum):
    """What a budget counts."""

    CALLS = "calls"
    """Calls that ran, whatever came of them."""
    COST = "cost"
    """What `costs` says of them."""
    BYTES = "bytes"
    """UTF-8 bytes of their arguments as JSON and of the texts of their results, and 3 for every pixel of an image."""
    SECONDS = "seconds"
    """Wall-clock seconds of their execution."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Selector:
    """Which calls something speaks of: those that fit every field."""

    tools: SomeGlobs = ("*",)
    """Names of tools."""
    effects: Annotated[tuple[Effects, ...], Field(min_length=1), BeforeValidator(texts_of)] = tuple(Effects)
    """What their tools do: `pure`, `stateful`, `external`."""
    environments: SomeGlobs = ("*",)
    """Ids of environments."""
    agents: SomeGlobs = ("*",)
    """Names of members of a team; an agent on its own has the empty name, which `*` matches."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1), BeforeValidator(texts_of)] = tuple(Phase)
    """What the agent acts for."""
    labels: Annotated[tuple[Label, ...], BeforeValidator(texts_of)] = ()
    """Labels of questions, one of which the question must bear; empty for any question."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Bounds:
    """A range of numbers, both ends included."""

    min: Number | None = None
    """The least."""
    max: Number | None = None
    """The most."""

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("expected min, max or both; got neither")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"expected min <= max; got {self.min:g} and {self.max:g}")


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Rule(Selector):
    """A rule: it matches a call that fits the selector and every condition on its arguments.

    Arguments are found by paths: `amount`, `card.number`, `items.0.price`; `*` leads to every part of an object or a
    list. The arguments are those that the tool's validation let pass, with the defaults of the tool's schema for those
    that were left out. An argument that is not there, or is of another type, fits no condition.
    """

    verdict: Action
    """What happens with the calls that match."""
    name: Text = ""
    """Stands in records and messages; by default the rule's number, from 1."""
    reason: Text = ""
    """Why, for the policy and the log."""
    arguments: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(scalars_table)] = field(default_factory=dict)
    """What arguments must be: per path one or more texts (patterns as for `tools`), numbers or truth values."""
    bounds: Annotated[dict[str, Bounds], BeforeValidator(path_table)] = field(default_factory=dict)
    """The range of numeric arguments, per path."""
    schema: Annotated[dict[str, Any] | None, BeforeValidator(check_schema)] = None
    """A JSON schema that the arguments must fit as a whole (draft 2020-12, without `$ref`)."""
    match: Literal["every", "some"] = "every"
    """Where a path leads to several values: whether `every` one must fit, or `some` one."""
    clamp: Annotated[dict[str, Bounds], BeforeValidator(path_table)] = field(default_factory=dict)
    """With `modify`: numeric arguments outside of the range become its nearer end."""
    set: Annotated[dict[str, Any], BeforeValidator(values_table)] = field(default_factory=dict)
    """With `modify`: what arguments become, whatever they were."""

    def __post_init__(self) -> None:
        if problem := problem_of_changes(self.verdict, bool(self.clamp or self.set)):
            raise ValueError(problem)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Budget(Selector):
    """How much the calls that fit the selector may come to; asked of calls that may run by the rules."""

    per: Per
    """Over what it counts."""
    unit: Unit
    """What it counts."""
    limit: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    """The most that it may come to. What is known of a call beforehand (that it is one, its cost, the bytes of its
    arguments) must fit; seconds, and bytes of a result, are counted behind it."""
    name: Text = ""
    """Stands in records and messages; by default the budget's number, from 1."""
    exceeded: Literal["deny", "ask", "dry_run"] = "deny"
    """What happens with a call that does not fit."""
    reason: Text = ""
    """Why, for the policy and the log; by default what was spent."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Cost:
    """What a call costs: `base + factor * |argument|`."""

    base: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    """What every call costs."""
    argument: Annotated[str, Field(strict=True), BeforeValidator(path_or_none)] = ""
    """Path of a numeric argument; a call in which it is none costs more than any budget has. Empty for none."""
    factor: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 1.0
    """What the argument is multiplied by; its sign does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Ask:
    """Who is asked about calls, and what happens when nobody answers."""

    approver: Any = None
    """`terminal`, the address of an HTTP approver (`https://...`), `package.module:name`, or a callable; see
    `axpo_envs.governance.Approver`."""
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=MOST_SECONDS)] = 60.0
    """Seconds within which an answer must come."""
    unanswered: Literal["deny", "dry_run", "fault"] = "deny"
    """What happens without an answer; `fault` drops the episode, which is not scored."""
    key_variable: Text = ""
    """Environment variable that holds the key of an HTTP approver; empty for none."""

    def __post_init__(self) -> None:
        known = self.approver is None or callable(self.approver)
        if not known and not (isinstance(self.approver, str) and _APPROVER.fullmatch(self.approver)):
            raise ValueError(f"approver: expected terminal, an address or package.module:name; got {self.approver!r}")


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Recording:
    """How decisions are recorded where there is an audit log."""

    unrecorded: Literal["fault", "deny", "run"] = "fault"
    """What happens with a call that cannot be recorded, because the disk is full, say: `fault` drops the episode, which
    is not scored; `deny` has the policy read it as a denial. Neither makes the call; `run` does."""
    secret_fields: Globs = ()
    """Paths or last names of arguments whose values are not recorded, beside those that are called passwords, tokens
    and the like, or that the tool's schema marks as `writeOnly`."""
    secret_patterns: Annotated[tuple[str, ...], BeforeValidator(check_patterns)] = ()
    """Regular expressions; what they find in texts is not recorded."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Policy:
    """Which calls may be made.

    Raises:
        pydantic.ValidationError: fields are wrong; `read_policy` tells them all in words.
    """

    default: Literal["allow", "deny", "ask", "dry_run"]
    """What happens with a call that no rule matches, unless its tool has external effects."""
    external: Literal["allow", "deny", "ask", "dry_run"] = "dry_run"
    """What happens with a call that no rule matches, and whose tool has external effects."""
    name: Text = ""
    """What people call it."""
    rules: tuple[Rule, ...] = ()
    """Tried in order; the first that matches decides."""
    budgets: tuple[Budget, ...] = ()
    """Limits of calls that may run by the rules."""
    costs: Annotated[dict[str, Cost], BeforeValidator(costs_of)] = field(default_factory=dict)
    """What calls cost, by patterns of tools' names; the first that matches counts. Others cost nothing."""
    ask: Ask = field(default_factory=Ask)
    """Who is asked."""
    audit_log: Recording = field(default_factory=Recording)
    """How decisions are recorded."""

    @model_validator(mode="after")
    def _check(self) -> Policy:
        written = {
            "default": self.default,
            "external": self.external,
            "rules": [{"name": rule.name, "verdict": rule.verdict} for rule in self.rules],
            "budgets": [{"name": one.name, "unit": one.unit, "exceeded": one.exceeded} for one in self.budgets],
            "costs": self.costs,
            "ask": {"approver": self.ask.approver},
        }
        if problems := problems_across(written):
            raise ValueError("\n".join(problems))
        return self

    @property
    def asks(self) -> bool:
        """Whether anything leads to asking."""
        said = (self.default, self.external, *(rule.verdict for rule in self.rules))
        return Action.ASK in (*said, *(budget.exceeded for budget in self.budgets))

    @property
    def tells_phases(self) -> bool:
        """Whether what it says depends on the phase."""
        return any(set(entry.phases) != set(Phase) for entry in (*self.rules, *self.budgets))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that it says: 32 hexadecimal digits. A callable enters by its name."""
        said = TypeAdapter(Policy).dump_python(self, mode="json", fallback=_name_of)
        return digest_of("policy", json.dumps(said, sort_keys=True))

    def rule_name(self, number: int) -> str:
        """What a rule is called, by its number from 0."""
        return entry_name("rules", number, {"name": self.rules[number].name})

    def budget_name(self, number: int) -> str:
        """What a budget is called, by its number from 0."""
        return entry_name("budgets", number, {"name": self.budgets[number].name})


def _name_of(value: Any) -> str:
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}:{kind.__qualname__}"
