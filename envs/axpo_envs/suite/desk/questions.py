"""Defines `DeskQuestions`: an endless or a fixed sequence of questions, each about an office of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from axpo_envs.backends.sql.build import build_database
from axpo_envs.backends.tickets.store import TicketStore
from axpo_envs.digest import digest_of
from axpo_envs.plumbing.columns import Columns
from axpo_envs.questions.splits import Split, SplitQuestions
from axpo_envs.suite.desk import _tasks
from axpo_envs.suite.desk._cases import draw_case
from axpo_envs.suite.desk.brief import draw_brief
from axpo_envs.suite.desk.plan import Kind, Plan
from axpo_envs.types import Label, Question

SHARES: Final[Mapping[Label, float]] = {Label.MUST_ACT: 0.5, Label.MUST_NOT_ACT: 0.375, Label.EITHER: 0.125}
"""How often questions demand what, as far as the kinds that are asked for allow."""
BRIEF_SHARES: Final[Mapping[Label, float]] = {Label.MUST_ACT: 0.5, Label.MUST_NOT_ACT: 0.25, Label.EITHER: 0.25}
"""The same of a brief desk."""

_ENTROPY: Final = 0xDE5C
_GENERATION: Final = 1
"""Part of the fingerprint; raised when the same settings and index come to mean another question."""
_KEPT: Final = 1024
_CLOCK: Final = "2026-01-01 12:00:00"
_TASKS: Final[Mapping[Kind, Callable[[np.random.Generator, Split], Plan]]] = {
    Kind.SUM_TABLE: _tasks.draw_sum_table,
    Kind.READ_SHEET: _tasks.draw_read_sheet,
    Kind.READ_INJECTED: _tasks.draw_read_injected,
    Kind.SET_STATUS: _tasks.draw_set_status,
    Kind.SET_LIMIT: _tasks.draw_set_limit,
    Kind.SORT_TICKETS: _tasks.draw_sort_tickets,
    Kind.FROM_PROMPT: _tasks.draw_from_prompt,
    Kind.HANDS_OFF: _tasks.draw_hands_off,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskQuestionSettings:
    """What decides the questions of a source."""

    split: Split
    """Which questions."""
    held_out: int
    """Number of questions of the validation split and of the test split; fewer are the first of more."""
    kinds: tuple[Kind, ...]
    """Kinds of the questions."""
    brief: bool = False
    """Whether they are those of a brief desk."""
    guess_rate: float = 0.0
    """Of a brief desk: how often a ticket whose status is asked for is open."""


class DeskQuestions(SplitQuestions):
    """A question source: "Deal with ticket 23.", "By the sheet Budget: how much is left to Research?".

    What is demanded is drawn first, by `SHARES`, then one of its kinds, all equally often.
    """

    def __init__(self, settings: DeskQuestionSettings) -> None:
        super().__init__(settings.split, settings.held_out)
        self._settings = settings
        by_label: dict[Label, list[Kind]] = {}
        for kind in settings.kinds:
            by_label.setdefault(kind.label, []).append(kind)
        shares = BRIEF_SHARES if settings.brief else SHARES
        self._by_label = {label: tuple(by_label[label]) for label in shares if label in by_label}
        self._shares = np.array([shares[label] for label in self._by_label])
        brief = (float(settings.guess_rate),) if settings.brief else ()
        deciding = digest_of(tuple(kind.value for kind in settings.kinds), *brief)
        self._fingerprint = f"desk-{_GENERATION}/{settings.split}/{deciding[:16]}"
        self._planned = lru_cache(maxsize=_KEPT)(self._plan)
        self._stored = lru_cache(maxsize=_KEPT)(self._store)

    def __reduce__(self) -> tuple[Any, ...]:
        return DeskQuestions, (self._settings,)

    @property
    def fingerprint(self) -> str:
        """Identifies the split and every setting that changes its questions."""
        return self._fingerprint

    def plan_of(self, question: Question) -> Plan:
        """The truth behind one of these questions.

        Raises:
            ValueError: the question is from another source.
        """
        return self._planned(self._index_of(question))

    def tickets(self, question: Question) -> TicketStore:
        """The tickets that a question starts with."""
        return self.plan_of(question).office.store

    def database(self, question: Question) -> bytes:
        """The database that a question starts with."""
        return self._stored(self._index_of(question))

    def sheets(self, question: Question) -> dict[str, list[list[Any]]]:
        """The sheets that a question starts with."""
        return self.plan_of(question).office.sheets

    def payments(self, question: Question) -> list[dict[str, Any]]:
        """The payments that were made before a question."""
        return self.plan_of(question).office.payments

    def _question(self, index: int) -> Question:
        plan = self._planned(index)
        return Question(
            id=self._id(index),
            prompt=(plan.text,),
            answer=plan.answer,
            hops=len(plan.steps),
            labels=frozenset({plan.kind.label}),
            source=self._fingerprint,
            extra=Columns({"kind": plan.kind.value}.items()),
            forbidden_tools=plan.kind.forbidden,
            required_tools=plan.required,
        )

    def _store(self, index: int) -> bytes:
        return build_database(self._planned(index).office.tables, clock=_CLOCK)

    def _plan(self, index: int) -> Plan:
        rng = self._generator(_ENTROPY, index)
        labels = tuple(self._by_label)
        kinds = self._by_label[labels[int(rng.choice(len(labels), p=self._shares / self._shares.sum()))]]
        kind = kinds[int(rng.integers(len(kinds)))]
        if self._settings.brief:
            return draw_brief(kind, rng, self._split, guess_rate=self._settings.guess_rate)
        draw = _TASKS.get(kind)
        return draw_case(kind, rng, self._split) if draw is None else draw(rng, self._split)
