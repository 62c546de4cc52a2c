"""The tool `payment`: what is paid, once, by whom, and never in two branches at a time."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import (
    EnvConfigError,
    ExactMatch,
    InfrastructureFault,
    ListQuestions,
    Question,
    Snapshot,
    ToolEnv,
    ToolEnvSpec,
    ToolStatus,
    call_turn,
)
from axpo_envs.backends.payments import Ledger, Order, Payment
from axpo_envs.backends.payments.ledger import exact
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tools import Effects, PaymentLimits, PaymentTool, ToolArgumentError, ToolContext, ToolError

QUESTION = Question(id="q", prompt=("?",), answer="")
CONTEXT = ToolContext(question=QUESTION, images=(), seed=0)
EARLIER = [{"payee": "Bo Ltd", "amount": "3", "currency": "EUR", "reference": "INV-0"}]
PAY = {"action": "pay", "payee": "Acme", "amount": "12.50", "currency": "EUR", "reference": "INV-1"}


def run(tool: PaymentTool, state: Ledger, arguments: dict[str, Any]) -> tuple[ToolStatus, str, Ledger]:
    result, after = tool.step(tool.validate(arguments), state, CONTEXT)
    return result.status, "".join(map(str, result.content)), after


class Bank:
    """A provider that keeps to keys, counts what it is asked, and can be down."""

    fingerprint = "bank"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Order]] = []
        self.paid: dict[str, str] = {}
        self.up = True

    def check(self) -> None:
        """Always usable."""

    def pay(self, order: Order, *, key: str) -> str:
        self.asked.append((key, order))
        if not self.up:
            raise InfrastructureFault("the bank is down")
        return self.paid.setdefault(key, f"B{len(self.paid) + 1}")


@pytest.mark.parametrize("dry_run", [True, False])
def test_it_keeps_the_contract_of_tools(dry_run: bool) -> None:
    tool = PaymentTool(EARLIER, dry_run=dry_run)
    assert tool.effects is Effects.EXTERNAL
    check_tool(tool, arguments=PAY)
    assert pickle.loads(pickle.dumps(tool)).fingerprint == tool.fingerprint
    assert tool.fingerprint != PaymentTool(EARLIER, dry_run=not dry_run).fingerprint


def test_nothing_is_paid_unless_it_is_allowed() -> None:
    tool = PaymentTool(EARLIER)
    state = tool.initial_state(QUESTION)
    status, told, after = run(tool, state, PAY)
    assert (status, after) == (ToolStatus.DRY_RUN, state)
    assert told == "Dry run: would pay 12.50 EUR to Acme for 'INV-1'. Nothing was paid."
    assert tool.after(tool.validate(PAY), state).payments[1:] == (
        Payment(
            payee="Acme",
            amount=Decimal("12.50"),
            currency="EUR",
            reference="INV-1",
            key=state.derived_key(Order(payee="Acme", amount=Decimal("12.5"), currency="EUR", reference="INV-1")),
            receipt="P2",
        ),
    )


def test_a_key_pays_once_and_only_one_order() -> None:
    tool = PaymentTool(EARLIER, dry_run=False)
    keyed = {**PAY, "key": "k"}
    _, told, state = run(tool, tool.initial_state(QUESTION), keyed)
    assert told == "Paid 12.50 EUR to Acme for 'INV-1'. Receipt: P2."
    _, told, again = run(tool, state, {**keyed, "amount": 12.5})
    assert again is state
    assert told.startswith("Paid already under this key, as P2")
    for other in ({**keyed, "amount": "12.51"}, {**keyed, "payee": "Acne"}):
        with pytest.raises(ToolError, match="the key 'k' was used for another payment"):
            run(tool, state, other)


def test_without_a_key_the_same_order_of_the_same_question_pays_once() -> None:
    tool = PaymentTool(dry_run=False)
    _, _, state = run(tool, tool.initial_state(QUESTION), PAY)
    assert run(tool, state, {**PAY, "amount": 12.5})[2] is state
    _, _, state = run(tool, state, {**PAY, "reference": "INV-2"})
    assert [payment.reference for payment in state.payments] == ["INV-1", "INV-2"]
    other = tool.initial_state(Question(id="another", prompt=("?",), answer=""))
    order = state.payments[0].order
    assert other.derived_key(order) != state.derived_key(order)


def test_payments_are_listed_earlier_ones_too() -> None:
    tool = PaymentTool(EARLIER, dry_run=False)
    _, _, state = run(tool, tool.initial_state(QUESTION), PAY)
    assert run(tool, state, {"action": "list"})[1].splitlines() == [
        "P1: 3 EUR to Bo Ltd for 'INV-0'",
        "P2: 12.50 EUR to Acme for 'INV-1'",
    ]
    assert run(tool, state, {"action": "list", "reference": "INV-9"})[1] == "There are no such payments."


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"amount": "12.505"}, "an amount in EUR has at most 2 decimal places; got 12.505"),
        ({"amount": "12.5", "currency": "JPY"}, "an amount in JPY has at most 0 decimal places"),
        ({"amount": "1e3"}, "digits with at most one point and no sign"),
        ({"amount": -1}, "must be more than 0"),
        ({"amount": "0.00"}, "must be more than 0"),
        ({"amount": "1,000"}, "digits with"),
        ({"amount": float("nan")}, "digits with"),
        ({"amount": True}, "digits with"),
        ({"amount": 10**300}, "digits with"),
        ({"currency": "XXX"}, "currency must be one of EUR"),
        ({"payee": " "}, "payee must be a text"),
        ({"reference": None}, "the action pay needs reference"),
    ],
)
def test_unfit_arguments_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        PaymentTool().validate({**PAY, **changed})


@given(st.decimals(min_value=Decimal("0.01"), max_value=Decimal(10**9), places=2, allow_nan=False))
@settings(max_examples=30, deadline=None)
def test_amounts_are_exact_however_they_are_written(amount: Decimal) -> None:
    assert exact(str(amount)) == exact(float(amount)) == exact(amount) == amount


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"amount": Decimal(12)}, "a payment is at most 12 EUR; got 12.50"),
        ({"total": Decimal(24)}, "payments in EUR are at most 24 in all; this makes 25.00"),
        ({"payments": 1}, "1 payments were made, as many as may be"),
    ],
)
def test_limits_hold_in_a_dry_run_too(limits: dict[str, Any], message: str) -> None:
    tool = PaymentTool(EARLIER, dry_run=False, limits=PaymentLimits(**limits))
    state = tool.initial_state(QUESTION)
    if "amount" not in limits:
        _, _, state = run(tool, state, PAY)
    with pytest.raises(ToolError, match=message):
        tool.preview(tool.validate({**PAY, "reference": "INV-2"}), state)


@pytest.mark.parametrize(
    "made",
    [
        lambda: PaymentTool([{"payee": 3}]),
        lambda: PaymentTool([{**EARLIER[0], "amount": "x"}]),
        lambda: PaymentTool([{**EARLIER[0], "key": "k"}] * 2),
        lambda: PaymentTool(dry_run=1),  # type: ignore[arg-type]
        lambda: PaymentTool(provider="bank"),  # type: ignore[arg-type]
        lambda: PaymentLimits(amount=Decimal(0)),
        lambda: PaymentLimits(currencies={"EUR": -1}),
        lambda: PaymentLimits(currencies={}),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(made: Any) -> None:
    with pytest.raises(EnvConfigError):
        made()


def make(tool: PaymentTool) -> ToolEnv:
    questions = ListQuestions([QUESTION])
    return ToolEnv(ToolEnvSpec(env_id="t/Pay-v0", questions=questions, tools=(tool,), reward=ExactMatch()))


def test_branches_have_ledgers_of_their_own_and_snapshots_travel_as_data() -> None:
    env = make(PaymentTool(EARLIER, dry_run=False))
    start = env.begin(env.questions.question(0))
    one = env.advance(start, call_turn("payment", PAY)).state
    other = env.advance(start, call_turn("payment", {**PAY, "amount": 99})).state
    ledgers = [dict(state.tool_states)["payment"] for state in (start, one, other)]
    assert [[str(payment.amount) for payment in ledger.payments] for ledger in ledgers] == [
        ["3"],
        ["3", "12.50"],
        ["3", "99.00"],
    ]
    assert Snapshot.from_bytes(env.snapshot_of(one).to_bytes()).state.tool_states == one.tool_states
    check_tool_env(lambda: make(PaymentTool(EARLIER, dry_run=False)), seeds=(0,), fuzz=50)


def test_a_provider_pays_the_same_order_of_two_branches_once_and_each_knows_its_own() -> None:
    bank = Bank()
    env = make(PaymentTool(dry_run=False, provider=bank))
    start = env.begin(env.questions.question(0))
    branches = [env.advance(start, call_turn("payment", PAY)).state for _ in range(2)]
    assert len(bank.asked) == 2
    assert len(bank.paid) == 1
    assert {dict(state.tool_states)["payment"].payments[0].receipt for state in branches} == {"B1"}
    again = env.advance(branches[0], call_turn("payment", PAY)).state
    assert len(bank.asked) == 2  # what this branch ordered it need not ask
    assert again.tool_states == branches[0].tool_states


def test_a_provider_is_asked_for_nothing_in_a_dry_run_and_a_fault_leaves_no_payment() -> None:
    bank = Bank()
    dry = PaymentTool(provider=bank)
    dry.preview(dry.validate(PAY), dry.initial_state(QUESTION))
    run(dry, dry.initial_state(QUESTION), PAY)
    assert bank.asked == []
    bank.up = False
    wet = PaymentTool(provider=bank, dry_run=False)
    with pytest.raises(InfrastructureFault):
        run(wet, wet.initial_state(QUESTION), PAY)
    bank.up = True
    _, _, state = run(wet, wet.initial_state(QUESTION), PAY)
    assert bank.asked[0] == bank.asked[1]
    assert len(state.payments) == 1
