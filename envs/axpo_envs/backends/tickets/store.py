"""Defines `TicketStore`, the tickets of an episode's moment."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from axpo_envs.errors import EnvConfigError
from axpo_envs.tool.rows import CLOSED, read_rows


class TicketStatus(StrEnum):
    """Whether a ticket is dealt with."""

    OPEN = "open"
    """There is still something to do."""
    CLOSED = "closed"
    """It is dealt with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment on a ticket."""

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    author: str
    """Who wrote it."""
    text: str
    """What it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One ticket."""

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    number: Annotated[int, Field(strict=True, ge=1)]
    """Its number, from 1."""
    title: str
    """What it is about."""
    text: str = ""
    """What it says."""
    author: str = "customer"
    """Who made it."""
    assignee: str | None = None
    """Who deals with it; None for nobody."""
    status: TicketStatus = TicketStatus.OPEN
    """Whether there is still something to do."""
    comments: tuple[Comment, ...] = ()
    """What was said since, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketStore:
    """The tickets of one moment; it never changes."""

    tickets: tuple[Ticket, ...] = ()
    """The tickets, in the order of their numbers."""

    @property
    def next_number(self) -> int:
        """That of the next ticket."""
        return self.tickets[-1].number + 1 if self.tickets else 1

    def find(self, number: int) -> Ticket | None:
        """The ticket of that number, if there is one."""
        return next((ticket for ticket in self.tickets if ticket.number == number), None)

    def with_ticket(self, ticket: Ticket) -> TicketStore:
        """A store with this ticket in the place of the one of its number."""
        return TicketStore(tickets=tuple(ticket if one.number == ticket.number else one for one in self.tickets))


def as_store(value: Any, where: str) -> TicketStore:
    """The store that a value means: one, or a list of tickets as mappings.

    Args:
        value: what was given.
        where: where it was given, for messages.

    Raises:
        EnvConfigError: it is anything else; the message says which ticket and field.
    """
    if isinstance(value, TicketStore):
        return value
    tickets = sorted(read_rows(Ticket, value, where), key=lambda ticket: ticket.number)
    for one, other in itertools.pairwise(tickets):
        if one.number == other.number:
            raise EnvConfigError(f"{where}: ticket numbers must be unique; got {one.number} twice")
    return TicketStore(tickets=tuple(tickets))
