"""Defines `Office`, what stands in tickets, tables, sheets and the ledger of a back office when an episode begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import numpy as np

from axpo_envs.backends.tickets.store import Ticket, TicketStore
from axpo_envs.digest import digest_of
from axpo_envs.questions.splits import Split

LIMIT: Final = Decimal("5000.00")
"""Above it an invoice needs a second approver."""
STAFF: Final = ("Dana Ortiz", "Eli Brandt", "Femi Okoro", "Greta Lind", "Hugo Sato", "Iris Vogel", "Jonas Petit")
"""Who works in the office; the first is the supervisor."""
SUPERVISOR: Final = STAFF[0]
"""To whom what is unclear may be assigned."""
CURRENCIES: Final = ("EUR", "USD", "GBP", "CHF")
"""What invoices are in."""
DEPARTMENTS: Final = ("Field Service", "Laboratory", "Logistics", "Marketing", "Research", "Workshop")
"""Whose budgets stand in the sheet Budget."""

_FIRST: Final = (
    *("Alder", "Basalt", "Cedar", "Delta", "Ember", "Fjord", "Granite", "Harbor", "Indigo", "Juniper", "Kestrel"),
    *("Lantern", "Meridian", "Nimbus", "Opal", "Pioneer", "Quarry", "Raven", "Summit", "Tundra", "Umber", "Vertex"),
)
_SECOND: Final = (
    "Tools",
    "Paper",
    "Cleaning",
    "Freight",
    "Optics",
    "Catering",
    "Software",
    "Glass",
    "Printing",
    "Power",
)
_SPLITS: Final = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)
_TOPICS: Final = (
    ("Printer is out of toner", "The printer on the second floor is out of toner."),
    ("New badge", "My badge stopped working at the side door."),
    ("Meeting room", "Please book the large room for Thursday."),
    ("Broken chair", "The chair at desk 14 is broken."),
    ("Parking space", "May I have a parking space from next month on?"),
    ("Heating", "It is cold in the archive."),
    ("Coffee machine", "The coffee machine shows an error."),
)
_VENDORS: Final = 6
_INVOICES: Final = 8
_PAID: Final = 3
_NOISE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A row of the table invoices, and of the sheet Orders for its order."""

    number: str
    """Such as `INV-4071`."""
    order: str
    """Number of its order."""
    vendor: str
    """Who is paid."""
    quantity: int
    """Of the order."""
    price: Decimal
    """Of the order: of one piece."""
    amount: Decimal
    """Of the invoice; quantity times price, unless they disagree."""
    currency: str
    """Of what."""
    status: str = "approved"
    """`approved`, `pending` or `rejected`."""
    second_approver: str | None = None
    """Who approved it besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Everything that an episode's tools start with."""

    vendors: Mapping[str, str]
    """By name: `active` or `blocked`."""
    notes: Mapping[str, str]
    """By vendor: a note of the table vendors, where there is one."""
    invoices: tuple[Invoice, ...]
    """The invoices; the one that a question is about stands anywhere among them."""
    paid: tuple[Invoice, ...]
    """Those that were paid before."""
    tickets: tuple[Ticket, ...]
    """The tickets."""
    budget: tuple[tuple[str, int, int], ...]
    """Department, limit and what was spent."""
    remark: str = ""
    """A remark below the sheet Budget; empty for none."""

    @property
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of the database."""
        return {
            "invoices": [_row(invoice) for invoice in self.invoices],
            "vendors": [
                {"name": name, "status": status, "note": self.notes.get(name, "")}
                for name, status in self.vendors.items()
            ],
            "rules": [
                {"rule": "payment limit without a second approver", "value": str(LIMIT)},
                {"rule": "supervisor", "value": SUPERVISOR},
            ],
            "payments": [{**payment, "amount": str(payment["amount"])} for payment in self.payments],
        }

    @property
    def sheets(self) -> dict[str, list[list[Any]]]:
        """The rows of the workbook."""
        orders: list[list[Any]] = [["order", "vendor", "quantity", "price", "total"]]
        for row, one in enumerate(sorted(self.invoices, key=lambda invoice: invoice.order), start=2):
            orders.append([one.order, one.vendor, one.quantity, float(one.price), f"=ROUND(C{row}*D{row},2)"])
        budget: list[list[Any]] = [["department", "limit", "spent", "left"]]
        for row, (department, limit, spent) in enumerate(self.budget, start=2):
            budget.append([department, limit, spent, f"=B{row}-C{row}"])
        last = len(self.budget) + 1
        budget.append(["total", f"=SUM(B2:B{last})", f"=SUM(C2:C{last})", f"=SUM(D2:D{last})"])
        return {"Orders": orders, "Budget": [*budget, *([[self.remark]] if self.remark else ())]}

    @property
    def payments(self) -> list[dict[str, Any]]:
        """The earlier payments."""
        return [
            {"payee": one.vendor, "amount": one.amount, "currency": one.currency, "reference": one.number}
            for one in self.paid
        ]

    @property
    def store(self) -> TicketStore:
        """The tickets as the tool keeps them."""
        return TicketStore(tickets=self.tickets)


def draw_office(rng: np.random.Generator, split: Split, *, amounts: tuple[int, int] = (40, 4900)) -> Office:
    """An office in which everything is in order: the first invoice is approved and not yet paid.

    Args:
        rng: decides everything.
        split: whose vendors it deals with; no two splits share one.
        amounts: the smallest and the largest amount of an invoice, roughly.
    """
    vendors = [str(name) for name in rng.choice(vendors_of(split), _VENDORS, replace=False)]
    numbers = [int(number) for number in rng.choice(np.arange(1000, 9999), 2 * _INVOICES, replace=False)]
    invoices = tuple(
        _invoice(rng, vendors[place % _VENDORS], numbers[place], numbers[_INVOICES + place], amounts)
        for place in range(_INVOICES)
    )
    return Office(
        vendors=dict.fromkeys(vendors, "active"),
        notes={},
        invoices=invoices,
        paid=invoices[-_PAID:],
        tickets=tuple(_noise(rng)),
        budget=tuple(
            (str(department), limit := int(rng.integers(20, 90)) * 100, int(rng.integers(1, limit)))
            for department in rng.choice(DEPARTMENTS, 4, replace=False)
        ),
    )


@lru_cache(maxsize=3)
def vendors_of(split: Split) -> tuple[str, ...]:
    """The names of a split's vendors."""
    names = (f"{first} {second}" for first in _FIRST for second in _SECOND)
    return tuple(name for name in names if _SPLITS[int(digest_of("vendor", name), 16) % len(_SPLITS)] is split)


def _invoice(rng: np.random.Generator, vendor: str, number: int, order: int, amounts: tuple[int, int]) -> Invoice:
    quantity = int(rng.integers(2, 40))
    total = int(rng.integers(*amounts))
    price = (Decimal(total) / quantity).quantize(Decimal("0.01"))
    return Invoice(
        number=f"INV-{number}",
        order=f"O-{order}",
        vendor=vendor,
        quantity=quantity,
        price=price,
        amount=quantity * price,
        currency=CURRENCIES[int(rng.integers(len(CURRENCIES)))],
    )


def _noise(rng: np.random.Generator) -> list[Ticket]:
    """Tickets that nobody asks about, with gaps between their numbers."""
    topics = rng.choice(len(_TOPICS), _NOISE, replace=False)
    number, tickets = int(rng.integers(10, 60)), []
    for topic in topics:
        number += int(rng.integers(2, 6))
        title, text = _TOPICS[int(topic)]
        tickets.append(
            Ticket(
                number=number, title=title, text=text, author="staff", assignee=STAFF[int(rng.integers(1, len(STAFF)))]
            )
        )
    return tickets


def _row(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "order_number": invoice.order,
        "vendor": invoice.vendor,
        "amount": str(invoice.amount),
        "currency": invoice.currency,
        "status": invoice.status,
        "second_approver": invoice.second_approver,
    }
