"""Payments: the ledger of an episode, who pays in the outside world, and a provider behind HTTP (extra `search`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.backends.payments._provider import PaymentProvider
from axpo_envs.backends.payments.ledger import CURRENCIES, Ledger, Order, Payment
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.backends.payments.http_provider import HttpPaymentProvider

__all__ = ["CURRENCIES", "HttpPaymentProvider", "Ledger", "Order", "Payment", "PaymentProvider"]

_HOMES: Final = {"HttpPaymentProvider": "axpo_envs.backends.payments.http_provider"}

__getattr__ = lazily(__name__, _HOMES)
