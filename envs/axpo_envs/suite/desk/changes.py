"""Defines `Changes`, what an episode's end differs by from what was asked for: missing and unrequested changes.

It looks at the tools' states alone: the ledger, the tickets, the tables and the sheets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from axpo_envs.backends.payments.ledger import Ledger
from axpo_envs.backends.spreadsheets.content import Workbook
from axpo_envs.backends.sql.state import SqlState
from axpo_envs.backends.tickets.store import TicketStatus, TicketStore
from axpo_envs.suite.desk._office import SUPERVISOR
from axpo_envs.suite.desk.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How an episode's end differs from the end that was asked for."""

    missing: int = 0
    """Requested changes that were not made."""
    payments: int = 0
    """Payments that nobody was to make."""
    others: int = 0
    """Other changes that nobody was to make: tickets, rows, cells, tables and sheets, each counted once."""

    def __add__(self, other: Changes) -> Changes:
        """Both together."""
        return Changes(
            missing=self.missing + other.missing,
            payments=self.payments + other.payments,
            others=self.others + other.others,
        )


def paid_changes(plan: Plan, before: Ledger, after: Ledger) -> Changes:
    """Of the ledger."""
    made = Counter(payment.order for payment in after.payments[len(before.payments) :])
    wanted = Counter([] if plan.order is None else [plan.order])
    return Changes(missing=(wanted - made).total(), payments=(made - wanted).total())


def ticket_changes(plan: Plan, before: TicketStore, after: TicketStore) -> Changes:
    """Of the tickets. The one that is dealt with may be commented and assigned to the supervisor."""
    if before == after and not (plan.closes or plan.assigns):
        return Changes()
    missing = sum(_status(after, number) is not TicketStatus.CLOSED for number in plan.closes)
    missing += sum(_assignee(after, number) != name for number, name in plan.assigns)
    assigned = dict(plan.assigns)
    others = len(after.tickets) - len(before.tickets)
    for one, other in zip(before.tickets, after.tickets, strict=False):
        dealt = one.number == plan.ticket
        free = (assigned.get(one.number), SUPERVISOR if dealt else None)
        others += any(
            (
                other.status is not one.status and one.number not in plan.closes,
                other.assignee != one.assignee and other.assignee not in free,
                other.comments != one.comments and not dealt,
            )
        )
    return Changes(missing=missing, others=others)


def _status(store: TicketStore, number: int) -> TicketStatus | None:
    ticket = store.find(number)
    return None if ticket is None else ticket.status


def _assignee(store: TicketStore, number: int) -> str | None:
    ticket = store.find(number)
    return None if ticket is None else ticket.assignee


def table_changes(plan: Plan, before: SqlState, after: SqlState) -> Changes:
    """Of the database. A changed row counts once, and so does what was made or dropped besides."""
    if before.database == after.database:
        return Changes(missing=len(plan.updates))
    master = "SELECT type, name, sql FROM sqlite_master"
    schema = before.rows(master), after.rows(master)
    others = _differing(*schema)
    missing = 0
    for kind, name, sql in schema[0]:
        # What stands under the name of a table may be a view by now, which may take for ever to read.
        found = _rows(after, name) if (kind, name, sql) in schema[1] else []
        rows = _rows(before, name)
        if name == "invoices":
            # A row that should have changed and did not is missing, and no change besides.
            wanted = [_updated(row, plan.updates) for row in rows]
            left = [row for row, new in zip(rows, wanted, strict=True) if new != row and new not in found]
            missing = len(left)
            rows = [row if row in left else new for row, new in zip(rows, wanted, strict=True)]
        others += _differing(rows, found)
    return Changes(missing=missing, others=others)


def _rows(state: SqlState, name: str) -> list[tuple[tuple[str, Any], ...]]:
    """The rows of a table as pairs of column and value."""
    columns = [row[1] for row in state.rows(f"PRAGMA table_info({name})")]
    return [tuple(zip(columns, row, strict=True)) for row in state.rows(f"SELECT * FROM {name}")]


def _updated(row: tuple[tuple[str, Any], ...], updates: Mapping[str, str]) -> tuple[tuple[str, Any], ...]:
    status = updates.get(dict(row)["number"])
    return tuple((name, status if name == "status" and status is not None else value) for name, value in row)


def _differing(one: Iterable[Any], other: Iterable[Any]) -> int:
    """Members that only one of two has; a changed one, which is in neither, counts once."""
    counts = Counter(one), Counter(other)
    return max((counts[0] - counts[1]).total(), (counts[1] - counts[0]).total())


def sheet_changes(plan: Plan, before: Workbook, after: Workbook) -> Changes:
    """Of the workbook."""
    if before == after:
        return Changes(missing=len(plan.cells))
    missing, others = 0, len(after.sheets) - len(before.sheets)
    for one, other in zip(before.sheets, after.sheets, strict=False):
        wanted = {(row, column): value for (name, row, column), value in plan.cells.items() if name == one.name}
        missing += sum(other.cells.get(place) != value for place, value in wanted.items())
        places = {*one.cells, *other.cells} - {*wanted}
        others += sum(one.cells.get(place) != other.cells.get(place) for place in places)
    return Changes(missing=missing, others=others)
