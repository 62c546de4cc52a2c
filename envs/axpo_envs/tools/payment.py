"""Defines the tool `payment`: payments ordered by idempotency keys, into the episode's own ledger or at a provider.

What a branch of an episode sees and changes is a ledger in its state, which no sibling shares. With the embedded
provider, the default, that ledger is the whole truth. A provider outside (`provider=`) is one world for all branches:
there the ledger is what this branch ordered, and a key that is derived from question and order makes the same payment
of two branches, rollouts or attempts one payment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from axpo_envs.backends.payments._provider import PaymentProvider, check_provider
from axpo_envs.backends.payments.ledger import CURRENCIES, Ledger, Order, Payment, as_ledger, exact
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.knobs import check_range
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tool.start import Start
from axpo_envs.tools._actions import Action, ActionSchema
from axpo_envs.types import Question, ToolResult, ToolStatus

_ACTIONS: Final = {
    "list": Action(takes=("payee", "reference")),
    "pay": Action(needs=("payee", "amount", "currency", "reference"), takes=("key",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentLimits:
    """What an episode may pay, whoever asks.

    Raises:
        EnvConfigError: a limit is out of range.
    """

    amount: Decimal = Decimal(10_000)
    """The largest amount of one payment, in units of its currency."""
    total: Decimal = Decimal(50_000)
    """The largest sum of an episode's own payments, of each currency."""
    payments: int = 20
    """An episode's own payments."""
    currencies: Mapping[str, int] = field(default_factory=lambda: dict(CURRENCIES))
    """Codes of ISO 4217, each with the decimal places that its amounts may have."""

    def __post_init__(self) -> None:
        for name in ("amount", "total"):
            value = getattr(self, name)
            if not isinstance(value, Decimal | int) or isinstance(value, bool) or not 0 < value < 10**12:
                raise EnvConfigError(
                    f"{name} must be a Decimal of more than 0 and less than 10**12; got {brief(value)}"
                )
        check_range("payments", self.payments, int, 0, 10_000)
        if not self.currencies:
            raise EnvConfigError("currencies must name at least one currency; got none")
        for code, places in self.currencies.items():
            check_range(f"currencies[{code!r}]", places, int, 0, 6)

    def __repr__(self) -> str:
        currencies = dict(sorted(self.currencies.items()))
        return f"PaymentLimits({self.amount}, {self.total}, {self.payments}, {currencies})"


class PaymentTool:
    """Pays, and lists payments.

    Nothing is paid unless it is allowed: `dry_run` is on by default, and `pay` then checks an order, tells what it
    would pay, and leaves everything as it is. The tool is declared external with either provider, so that a policy that
    holds real payments back holds rehearsed ones back, too.

    Args:
        start: the payments that were made before an episode: a `Ledger`, a list of them as mappings (the fields of
            `Payment`), or a picklable function that makes one of the question; by default the question's
            column `payment`, and no payment where there is none.
        dry_run: orders are checked and told, none is carried out.
        provider: who pays in the outside world; None for the ledger alone.
        limits: what may be paid.

    Raises:
        EnvConfigError: `start` is no ledger, or the provider cannot be used.
    """

    def __init__(
        self,
        start: Any | Callable[[Question], Any] = None,
        *,
        dry_run: bool = True,
        provider: PaymentProvider | None = None,
        limits: PaymentLimits | None = None,
    ) -> None:
        if not isinstance(dry_run, bool):
            raise EnvConfigError(f"dry_run must be true or false; got {brief(dry_run)}")
        if provider is not None:
            check_provider(provider)
        fixed = Start(given=start, column=self.name).is_fixed
        self._start = Start(given=as_ledger(start, "start") if fixed else start, column=self.name)
        self._dry_run = dry_run
        self._provider = provider
        self._limits = limits if limits is not None else PaymentLimits()
        self._schema = ActionSchema(actions=_ACTIONS, properties=_properties(self._limits))

    @property
    def name(self) -> str:
        """`payment`."""
        return "payment"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return (
            "Pays, and lists payments. `pay` needs payee, amount, currency and reference; the same key pays once, and "
            "so does the same order where no key is given."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return self._schema.parameters

    @property
    def effects(self) -> Effects:
        """External: paying is no rehearsal, also where a ledger stands for the world."""
        return Effects.EXTERNAL

    @property
    def repeatable(self) -> bool:
        """Yes: an order that was broken off is repeated under its key, and paid once."""
        return True

    @property
    def timeout_s(self) -> float | None:
        """None: a provider has its own time limits."""
        return None

    @property
    def dry_run(self) -> bool:
        """Whether orders are checked and told alone."""
        return self._dry_run

    @property
    def fingerprint(self) -> str:
        """Of limits, provider, whether orders are carried out, and where the ledger comes from."""
        provider = None if self._provider is None else self._provider.fingerprint
        fixed = repr(self._start.given) if self._start.is_fixed else ""
        given = (self._start.described, fixed, repr(self._limits), self._dry_run, provider)
        return f"payment-1/{digest_of(*given)[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of the action, the amount as an exact decimal.

        Raises:
            ToolArgumentError: there is no such action or currency, the amount is none of that currency, or the
                arguments do not fit the action.
        """
        given = self._schema.validate(arguments)
        given |= {name: value.strip() for name, value in given.items() if isinstance(value, str)}
        if given["action"] == "pay":
            given["amount"] = _amount(given["amount"], given["currency"], self._limits.currencies)
        return given

    def initial_state(self, question: Question) -> Ledger:
        """The ledger at the start of an episode.

        Raises:
            EnvConfigError: the question's column or the function gives no ledger.
        """
        scope = digest_of(question.source, question.id)
        given = self._start.of(question)
        return as_ledger(() if given is None else given, f"question {question.id!r}", scope=scope)

    def step(self, arguments: Mapping[str, Any], state: Ledger, context: ToolContext) -> tuple[ToolResult, Any]:
        """The payments that were asked for, or the receipt of a payment.

        Raises:
            ToolError: a limit forbids the payment, its key was used for another one, or the provider refuses it.
            InfrastructureFault: the provider cannot be reached; whether it paid is not known, and the same call made
                again pays at most once.
        """
        del context
        if arguments["action"] == "list":
            return ToolResult(content=(_listed(arguments, state),)), state
        order, key, earlier = self._checked(arguments, state)
        if earlier is not None:
            told = f"Paid already under this key, as {earlier.receipt}: {order}. Nothing was paid again."
            return ToolResult(content=(told,)), state
        if self._dry_run:
            told = f"Dry run: would pay {order}. Nothing was paid."
            return ToolResult(status=ToolStatus.DRY_RUN, content=(told,)), state
        receipt = state.next_receipt if self._provider is None else self._provider.pay(order, key=key)
        after = state.with_payment(order, key=key, receipt=receipt)
        return ToolResult(content=(f"Paid {order}. Receipt: {receipt}.",)), after

    def preview(self, arguments: Mapping[str, Any], state: Ledger) -> str:
        """What a call would change; no provider is asked.

        Raises:
            ToolError: as `step` would, as far as the ledger tells.
        """
        if arguments["action"] == "list":
            return "would change nothing: it lists payments"
        order, _, earlier = self._checked(arguments, state)
        return f"would pay {order}" if earlier is None else f"would change nothing: paid already, as {earlier.receipt}"

    def after(self, arguments: Mapping[str, Any], state: Ledger) -> Ledger:
        """The ledger as if a validated call had been carried out, for those who judge dry runs; no provider is asked.

        Raises:
            ToolError: as `step` would, as far as the ledger tells.
        """
        if arguments["action"] == "list":
            return state
        order, key, earlier = self._checked(arguments, state)
        return state if earlier is not None else state.with_payment(order, key=key, receipt=state.next_receipt)

    def _checked(self, arguments: Mapping[str, Any], state: Ledger) -> tuple[Order, str, Payment | None]:
        """The order, its key, and the payment that was made under this key."""
        order = Order(**{name: arguments[name] for name in ("payee", "amount", "currency", "reference")})
        key = arguments.get("key") or state.derived_key(order)
        earlier = state.ordered(key)
        if earlier is not None:
            if earlier.order != order:
                raise ToolError(f"the key {key!r} was used for another payment: {earlier.order}")
            return order, key, earlier
        self._check_limits(order, state)
        return order, key, None

    def _check_limits(self, order: Order, state: Ledger) -> None:
        limits = self._limits
        if order.amount > limits.amount:
            raise ToolError(f"a payment is at most {limits.amount} {order.currency}; got {order.amount}")
        own = [payment for payment in state.payments if payment.key]
        if len(own) >= limits.payments:
            raise ToolError(f"{len(own)} payments were made, as many as may be")
        total = order.amount + sum((one.amount for one in own if one.currency == order.currency), Decimal(0))
        if total > limits.total:
            raise ToolError(f"payments in {order.currency} are at most {limits.total} in all; this makes {total}")


def _amount(given: Any, currency: str, currencies: Mapping[str, int]) -> Decimal:
    """An amount with all decimal places of its currency."""
    try:
        amount = exact(given)
    except ValueError as error:
        raise ToolArgumentError(str(error)) from None
    whole = amount.quantize(Decimal(1).scaleb(-currencies[currency]))
    if whole != amount:
        raise ToolArgumentError(
            f"an amount in {currency} has at most {currencies[currency]} decimal places; got {amount}"
        )
    return whole


def _listed(arguments: Mapping[str, Any], state: Ledger) -> str:
    wanted = {name: arguments[name] for name in ("payee", "reference") if name in arguments}
    found = (one for one in state.payments if all(getattr(one, name) == value for name, value in wanted.items()))
    return "\n".join(f"{payment.receipt}: {payment.order}" for payment in found) or "There are no such payments."


def _properties(limits: PaymentLimits) -> dict[str, dict[str, Any]]:
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    return {
        "payee": {**text, "description": "Who is paid."},
        "amount": {"type": ["string", "number"], "description": "How much, exactly: '1250.50'."},
        "currency": {"type": "string", "enum": list(limits.currencies), "description": "Of what."},
        "reference": {**text, "description": "What for: the number of an invoice, say."},
        "key": {**text, "description": "Idempotency key: what is ordered by it is paid once."},
    }
