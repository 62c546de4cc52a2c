"""Defines `HttpPaymentProvider`, a payment provider behind HTTP, and the little protocol that it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.service import Service, ServiceRefusedError, checked_url
from axpo_envs.tool.protocol import ToolError

if TYPE_CHECKING:
    from axpo_envs.backends.payments.ledger import Order

_REFUSALS: Final = frozenset((402, 403, 409, 422))
"""Statuses by which a provider refuses one payment; any other refusal is of address, key or settings."""


class HttpPaymentProvider:
    """Posts each order to an address, as JSON, and reads the receipt.

    Sent is `{"key", "payee", "amount", "currency", "reference"}`, all of them texts (the amount in digits,
    `"1250.50"`); the answer is `{"receipt": text}`. The service keeps to the key: an order that comes again under it is
    answered with the same receipt, and nothing is paid again; another order under it is refused (409). Hence a request
    that failed is repeated under its key. A bridge of a few lines makes a provider of any bank or payment service.

    | the service answers | what follows |
    |---|---|
    | 2xx with a receipt | the payment is made |
    | 402, 403, 409, 422 | the policy reads the service's words as an error; nothing was paid |
    | 408, 425, 429, 5xx, nothing, no JSON | the request is repeated, then an `InfrastructureFault` |
    | any other status | `ServiceRefusedError`: address, key or settings are wrong |

    Args:
        url: where orders are posted to.
        key: sent as `Authorization: Bearer`; None for a service without one.
        timeout_s: seconds for an attempt.
        retries: how often and when a failed attempt is repeated; five attempts in all by default.

    Raises:
        EnvConfigError: the address or the time limit is none.
        MissingExtraError: the extra `search` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        key: EnvironmentKey | None = None,
        timeout_s: float = 30.0,
        retries: Retries | None = None,
    ) -> None:
        self._url = checked_url(url)
        self._service = Service(timeout_s=timeout_s, retries=retries if retries is not None else Retries(), key=key)

    @property
    def fingerprint(self) -> str:
        """The address."""
        return f"http-payments:{self._url}"

    def check(self) -> None:
        """Makes sure that the key is there.

        Raises:
            EnvConfigError: it is not.
        """
        self._service.check()

    def pay(self, order: Order, *, key: str) -> str:
        """Pays an order; returns the service's receipt.

        Raises:
            ToolError: the service refuses the payment.
            InfrastructureFault: every attempt failed, or the answer holds no receipt.
            ServiceRefusedError: the service refuses address, key or settings.
        """
        body = {
            "key": key,
            "payee": order.payee,
            "amount": format(order.amount, "f"),
            "currency": order.currency,
            "reference": order.reference,
        }
        try:
            answer = self._service.post(self._url, body)
        except ServiceRefusedError as refusal:
            if refusal.status not in _REFUSALS:
                raise
            raise ToolError(f"the payment was refused: {refusal}") from None
        receipt = answer.get("receipt") if isinstance(answer, dict) else None
        if not isinstance(receipt, str) or not receipt:
            raise InfrastructureFault(f"{self._url} answered without a receipt: {brief(answer)}")
        return receipt
