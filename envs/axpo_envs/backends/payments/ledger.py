"""Defines `Ledger`, the payments of an episode's moment, and what an order to pay is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, ConfigDict

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool.rows import CLOSED, read_rows

CURRENCIES: Final[Mapping[str, int]] = {"EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "JPY": 0}
"""Currencies (ISO 4217) and the decimal places of their amounts, where a tool is given no others."""

_AMOUNT: Final = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_FORM: Final = "digits with at most one point and no sign, such as 1250.50"


def exact(value: Any) -> Decimal:
    """An amount as it is written.

    A float is the shortest decimal that reads as the same float, which is what its writer wrote, up to 15 digits.

    Worked values: `"1250.50"` gives `Decimal("1250.50")`, 0.1 gives `Decimal("0.1")`.

    Raises:
        ValueError: it is no positive amount, or written in another form.
    """
    text = value.strip() if isinstance(value, str) else ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        text = format(Decimal(repr(value)) if isinstance(value, float) else Decimal(value), "f")
    if not _AMOUNT.fullmatch(text) or not Decimal(text):
        raise ValueError(f"an amount must be more than 0 and written as {_FORM}; got {brief(value)}")
    return Decimal(text)


Amount = Annotated[Decimal, BeforeValidator(exact)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be paid."""

    payee: str
    """Who is paid."""
    amount: Decimal
    """How much, exactly."""
    currency: str
    """Of what: a code of ISO 4217."""
    reference: str
    """What for: the number of an invoice, say."""

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} to {self.payee} for {self.reference!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment that was made."""

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    payee: str
    """Who was paid."""
    amount: Amount
    """How much, exactly."""
    currency: str
    """Of what: a code of ISO 4217."""
    reference: str
    """What for."""
    key: str = ""
    """The idempotency key that it was ordered by; empty where it was made before the episode."""
    receipt: str = ""
    """How whoever paid names it."""

    @property
    def order(self) -> Order:
        """What was to be paid."""
        return Order(payee=self.payee, amount=self.amount, currency=self.currency, reference=self.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The payments of one moment; it never changes."""

    payments: tuple[Payment, ...] = ()
    """The payments, in order."""
    scope: str = ""
    """Identifies the question: of two questions no idempotency key that is derived from a call is the same."""

    def derived_key(self, order: Order) -> str:
        """The idempotency key of an order that was given none: the same question and order have the same key."""
        return f"auto-{digest_of(self.scope, order.payee, _plain(order.amount), order.currency, order.reference)}"

    def ordered(self, key: str) -> Payment | None:
        """The payment that was ordered by a key, if there is one."""
        return next((payment for payment in self.payments if payment.key == key), None)

    def with_payment(self, order: Order, *, key: str, receipt: str) -> Ledger:
        """The ledger with one payment more."""
        payment = Payment(
            payee=order.payee,
            amount=order.amount,
            currency=order.currency,
            reference=order.reference,
            key=key,
            receipt=receipt,
        )
        return replace(self, payments=(*self.payments, payment))

    @property
    def next_receipt(self) -> str:
        """How an embedded provider names the next payment."""
        return f"P{len(self.payments) + 1}"


def _plain(amount: Decimal) -> str:
    """The amount without zeros that say nothing: 10.0 and 10.00 are one amount."""
    return format(amount.normalize(), "f")


def as_ledger(value: Any, where: str, *, scope: str = "") -> Ledger:
    """The ledger that a value means: one, or a list of earlier payments as mappings.

    Args:
        value: what was given.
        where: where it was given, for messages.
        scope: identifies the question.

    Raises:
        EnvConfigError: it is anything else; the message says which payment and field.
    """
    if isinstance(value, Ledger):
        return replace(value, scope=value.scope or scope)
    payments = read_rows(Payment, value, where)
    keys = [payment.key for payment in payments if payment.key]
    if len(set(keys)) < len(keys):
        raise EnvConfigError(f"{where}: the idempotency keys of payments must be unique; got {brief(keys)}")
    named = (replace(one, receipt=one.receipt or f"P{place}") for place, one in enumerate(payments, start=1))
    return Ledger(payments=tuple(named), scope=scope)
