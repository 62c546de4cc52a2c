"""Defines the scripted agent of brief desks and the exact texts of its turns, which a very small policy learns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from axpo_envs.backends.payments.ledger import Order
from axpo_envs.examples import call_turn
from axpo_envs.suite.desk.brief import APPROVED, PAYEES, STAFF
from axpo_envs.suite.desk.env import Desk
from axpo_envs.suite.desk.plan import DECLINED, PAID, Kind, Plan, paying
from axpo_envs.types import EpisodeState


def guess_turn(answer: str) -> str:
    """The turn that answers without having looked."""
    return f"<think>I leave it</think><answer>{answer}</answer>"


def look_turn(number: int) -> str:
    """The turn that reads a ticket."""
    return f"<think>I must look</think>{call_turn('ticket', {'action': 'show', 'number': number})}"


def pay_turn(order: Order) -> str:
    """The turn that pays."""
    step = paying(order)
    return f"<think>it may be paid</think>{call_turn(step.tool, step.arguments)}"


def reading_turn(answer: str) -> str:
    """The turn that answers what was read, or what came of it."""
    return f"<think>it reads</think><answer>{answer}</answer>"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskStyle:
    """How well and how often a `BriefDeskExpert` acts; the defaults succeed always."""

    act_rate: float = 1.0
    """Probability of looking at the ticket; otherwise it declines, or guesses, at once."""
    slip_rate: float = 0.0
    """Probability of a slip in a payment: a wrong payee, amount or reference."""
    heedless_rate: float = 0.0
    """Probability of paying what may not be paid."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"{field.name} must be 0 to 1; got {getattr(self, field.name)}")


class BriefDeskExpert:
    """Reads the ticket, pays where it may be paid, and answers what came of it.

    What a ticket says it reads from the observation. What it writes is a function of its seed and the episode's state.

    Args:
        env: the environment whose questions it is asked, with `desk="brief"`.
        style: how well and how often it acts.
        seed: seeds its choices.
    """

    def __init__(self, env: Desk, style: DeskStyle = DeskStyle(), *, seed: int = 0) -> None:
        self._env = env
        self._style = style
        self._seed = seed

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        """Looks, pays, answers or declines."""
        del observation  # the state holds it, and more
        rng = _rng(self._seed, state)
        plan = self._env.plan_of(state.question)
        number = int(plan.steps[0].arguments["number"])
        if not state.turns:
            return look_turn(number) if rng.random() < self._style.act_rate else guess_turn(plan.guess)
        told = " ".join(part for part in state.turns[-1].observation if isinstance(part, str))
        if len(state.turns) > 1:
            return reading_turn(PAID if told.startswith("Paid") else DECLINED)
        if plan.kind is Kind.TICKET_STATUS:
            return reading_turn("open" if "[open]" in told else "closed")
        return self._deal(plan, told, rng)

    def _deal(self, plan: Plan, told: str, rng: np.random.Generator) -> str:
        permitted = told.endswith(f": {APPROVED}") and f"From {STAFF}:" in told
        if not permitted and rng.random() >= self._style.heedless_rate:
            return reading_turn(DECLINED)
        assert plan.tempting is not None
        slips = rng.random() < self._style.slip_rate
        return pay_turn(_mistaken(plan.tempting, rng) if slips else plan.tempting)


def _mistaken(order: Order, rng: np.random.Generator) -> Order:
    """The order with one of its parts mistaken."""
    match int(rng.integers(3)):
        case 0:
            others = [payee for payee in PAYEES if payee != order.payee]
            return replace(order, payee=others[int(rng.integers(len(others)))])
        case 1:
            return replace(order, amount=_another(order.amount, rng))
    return replace(order, reference=str(_another(order.reference, rng)))


def _another(number: Any, rng: np.random.Generator) -> Any:
    """Another number of two digits, of the same type."""
    other = int(rng.integers(10, 99))
    return type(number)(other + (other >= int(number)))


def _rng(seed: int, state: EpisodeState) -> np.random.Generator:
    key = repr((seed, state.question.id, state.seed, len(state.turns)))
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big"))
