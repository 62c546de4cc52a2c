"""Defines the vocabulary of `tiny-desk`: phrases of Desk's brief desk and its calls, names, numbers, characters."""

from __future__ import annotations

from typing import Final

from axpo_agents.tiny.vocabulary import CHARACTERS, SPECIAL_TOKENS, TAGS, UNKNOWN
from axpo_envs.suite.desk.brief import APPROVED, ON_HOLD, PAYEES, SENDER, STAFF

PHRASES: Final[tuple[str, ...]] = (
    "system",
    "user",
    "assistant",
    "Deal with ticket ",
    "Is ticket ",
    " open or closed?",
    "I leave it",
    "I must look",
    "it may be paid",
    "it reads",
    '{"name": "ticket", "arguments": {"action": "show", "number": ',
    "}}",
    '{"name": "payment", "arguments": {"action": "pay", "payee": "',
    '", "amount": "',
    '", "currency": "EUR", "reference": "',
    '"}}',
    " [open] Bill (assignee: nobody)\nFrom ",
    " [closed] Bill (assignee: nobody)\nFrom ",
    STAFF,
    SENDER,
    ":\nPay ",
    " EUR to ",
    f": {APPROVED}",
    f": {ON_HOLD}",
    "Paid ",
    ".00 EUR to ",
    " for '",
    "'. Receipt: P1.",
    "'. Nothing was paid.",
    "Dry run: would pay ",
    "Error: ",
    "there is no result.",
    "there is no ticket ",
    "the desk does not permit calls of payment here.",
    "paid",
    "declined",
    "open",
    "closed",
)
"""Text that the policy writes or reads as one token each, so that an episode that pays takes a hundred tokens."""

NUMBERS: Final[tuple[str, ...]] = tuple(str(number) for number in range(10, 100))
"""Numbers of tickets and amounts as one token each."""


def tokens() -> tuple[str, ...]:
    """All tokens; the position is the token id."""
    return (*SPECIAL_TOKENS, *TAGS, UNKNOWN, *dict.fromkeys((*PAYEES, *NUMBERS, *PHRASES, *CHARACTERS)))
