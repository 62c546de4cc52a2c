"""Defines `combined_method`: several methods as one, where no two of them change the same thing in different ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import reduce
from typing import Any, Final

from axpo.algorithm.methods.grpo import GRPO
from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import dotted
from axpo_envs.types import Question

_NAMES: Final = ("name", "label", "colour", "changes")
_CHAINED: Final = ("configure", "refine", "recovers")
"""Parts of which several methods may have one each, in the order of the methods."""


def combined_method(name: str, label: str, methods: Sequence[Method]) -> Method:
    """The methods as one.

    Each is read as a change of the method that they all come from (`Method.changes`): of AXPO for its variants, of GRPO
    where they share no other. A part that one of them changes is taken; what several of them change must be the same in
    each, but for two parts that are done one after the other: settings, which must not depend on that order, and what
    is done between sampling and selection (`refine`), which sees the groups that the method before it left.

    Args:
        name: how it is asked for.
        label: what people read.
        methods: at least two, in order.

    Raises:
        ConfigError: two of them change one part in different ways, or (when it is configured) one setting.
    """
    base = _common(methods)
    parts: dict[str, Any] = {}
    for part in (field.name for field in fields(Method) if field.name not in (*_NAMES, *_CHAINED)):
        changed = {m.name: getattr(m, part) for m in methods if getattr(m, part) != getattr(base, part)}
        values = list(changed.values())
        if any(value != values[0] for value in values):
            raise ConfigError(f"method: {' and '.join(changed)} each change {part} in a way of their own")
        parts[part] = values[0] if values else getattr(base, part)
    refines = [method.refine for method in methods if method.refine is not None]
    return Method(
        name=name,
        label=label,
        changes=base,
        configure=_configured(methods),
        refine=_chain(list(dict.fromkeys(refines))),
        recovers=any(method.recovers for method in methods),
        **parts,
    )


def _common(methods: Sequence[Method]) -> Method:
    """The nearest method that all of them are, or change."""
    lines = [_line(method) for method in methods]
    return next(one for one in lines[0] if all(one in line for line in lines[1:]))


def _line(method: Method) -> list[Method]:
    """A method, what it changes, and so on down to GRPO."""
    line = [method]
    while (below := line[-1].changes) is not None:
        line.append(below)
    return [*line, GRPO]


def _configured(methods: Sequence[Method]) -> Callable[[TrainConfig], TrainConfig]:
    def configure(config: TrainConfig) -> TrainConfig:
        there = reduce(lambda made, method: method.configure(made), methods, config)
        back = reduce(lambda made, method: method.configure(made), reversed(methods), config)
        if there != back:
            other = dict(dotted(asdict(back)))
            names = ", ".join(setting for setting, value in dotted(asdict(there)) if other[setting] != value)
            raise ConfigError(f"method: {' and '.join(m.name for m in methods)} set {names} each to a value of its own")
        return there

    return configure


def _chain(refines: Sequence[Callable[[Rounds], tuple[Group, ...]]]) -> Callable[[Rounds], tuple[Group, ...]] | None:
    if len(refines) < 2:
        return refines[0] if refines else None

    def refine(rounds: Rounds) -> tuple[Group, ...]:
        groups = rounds.groups
        for each in refines:
            groups = each(_Continued(rounds, groups))
        return groups

    return refine


@dataclass(frozen=True, slots=True)
class _Continued:
    """The rounds of a step as another method has left them."""

    rounds: Rounds
    groups: tuple[Group, ...]

    @property
    def config(self) -> TrainConfig:
        return self.rounds.config

    def seed(self, purpose: str) -> int:
        return self.rounds.seed(purpose)

    def sample(self, questions: int) -> tuple[Group, ...]:
        return self.rounds.sample(questions)

    def ask(self, questions: Sequence[Question], *, size: int) -> tuple[Group, ...]:
        return self.rounds.ask(questions, size=size)

    def attempt(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        return self.rounds.attempt(groups, points)

    def act(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        return self.rounds.act(groups, points)
