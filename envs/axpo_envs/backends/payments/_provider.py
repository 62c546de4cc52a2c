"""Defines `PaymentProvider`, who pays in the outside world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief

if TYPE_CHECKING:
    from axpo_envs.backends.payments.ledger import Order


@runtime_checkable
class PaymentProvider(Protocol):
    """Pays orders; calls of different episodes come from several threads."""

    @property
    def fingerprint(self) -> str:
        """Identifies who pays; holds no secret."""
        ...

    def check(self) -> None:
        """Makes sure that it can be used: keys are there, settings are right. Pays nothing.

        Raises:
            EnvConfigError: it cannot.
        """
        ...

    def pay(self, order: Order, *, key: str) -> str:
        """Pays an order; returns the receipt, the name of the payment there.

        An order that comes again under the same key is not paid again, and has the same receipt.

        Raises:
            ToolError: the provider refuses: the policy reads why.
            InfrastructureFault: it cannot be reached, or its answer is none; it may have paid.
        """
        ...


def check_provider(provider: Any) -> None:
    """Holds an object to being a provider that can be used.

    Raises:
        EnvConfigError: it is not.
    """
    if not isinstance(provider, PaymentProvider):
        raise EnvConfigError(f"provider must have the members of PaymentProvider; got {brief(provider)}")
    provider.check()
