"""Defines the tool `ticket`: tickets that are listed, read, made, assigned, commented, closed and opened again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias

from axpo_envs.backends.tickets.store import Comment, Ticket, TicketStatus, TicketStore, as_store
from axpo_envs.digest import digest_of
from axpo_envs.plumbing.knobs import check_range
from axpo_envs.tool.protocol import Effects, ToolContext, ToolError
from axpo_envs.tool.start import Start
from axpo_envs.tools._actions import Action, ActionSchema
from axpo_envs.types import Question, ToolResult

_ACTIONS: Final = {
    "list": Action(takes=("status", "assignee")),
    "show": Action(needs=("number",)),
    "create": Action(needs=("title",), takes=("text", "assignee")),
    "assign": Action(needs=("number", "assignee")),
    "comment": Action(needs=("number", "text")),
    "close": Action(needs=("number",), takes=("text",)),
    "reopen": Action(needs=("number",), takes=("text",)),
}
_READING: Final = ("list", "show")

_Changed: TypeAlias = tuple[str, TicketStore]
"""What changes, as a sentence without its verb, and the tickets afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketLimits:
    """How much a ticket store holds.

    Raises:
        EnvConfigError: a limit is out of range.
    """

    tickets: int = 1000
    """Tickets in all."""
    comments: int = 200
    """Comments of a ticket."""
    text_chars: int = 4000
    """Characters of a text or a comment; titles and names have 200."""
    listed: int = 50
    """Tickets that one call lists, the newest ones."""

    def __post_init__(self) -> None:
        for field in fields(self):
            check_range(field.name, getattr(self, field.name), int, 1, 100_000)


class TicketTool:
    """A store of tickets in the episode's state: an agent reads and changes it, a branch has its own.

    Args:
        start: the tickets of an episode's start: a `TicketStore` or a list of tickets as mappings (the fields of
            `Ticket`, of which `number` and `title` must be there), or a picklable function that makes one of the
            question; by default the question's column `ticket`, and no ticket where there is none.
        actor: by whom comments and new tickets are.
        limits: how much the store holds.

    Raises:
        EnvConfigError: `start` is no tickets.
    """

    def __init__(
        self,
        start: Any | Callable[[Question], Any] = None,
        *,
        actor: str = "agent",
        limits: TicketLimits = TicketLimits(),
    ) -> None:
        fixed = Start(given=start, column=self.name).is_fixed
        self._start = Start(given=as_store(start, "start") if fixed else start, column=self.name)
        self._actor = actor
        self._limits = limits
        self._schema = ActionSchema(actions=_ACTIONS, properties=_properties(limits))

    @property
    def name(self) -> str:
        """`ticket`."""
        return "ticket"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return (
            "Lists, shows, creates, assigns, comments, closes and reopens tickets. `list` takes status and assignee, "
            "`show` a number, `create` a title."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return self._schema.parameters

    @property
    def effects(self) -> Effects:
        """Stateful: the tickets are the state."""
        return Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: a call takes microseconds."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of actor, limits, and where the tickets come from."""
        fixed = repr(self._start.given) if self._start.is_fixed else ""
        return f"ticket-1/{digest_of(self._start.described, fixed, self._actor, repr(self._limits))[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of the action.

        Raises:
            ToolArgumentError: there is no such action, or they do not fit it.
        """
        return self._schema.validate(arguments)

    def initial_state(self, question: Question) -> TicketStore:
        """The tickets at the start of an episode.

        Raises:
            EnvConfigError: the question's column or the function gives no tickets.
        """
        return as_store(self._start.of(question) or (), f"question {question.id!r}")

    def step(self, arguments: Mapping[str, Any], state: TicketStore, context: ToolContext) -> tuple[ToolResult, Any]:
        """What was asked for, or what was changed.

        Raises:
            ToolError: there is no such ticket, it is closed already, or a limit is reached.
        """
        del context
        if arguments["action"] in _READING:
            return ToolResult(content=(self._read(arguments, state),)), state
        change, after = self._change(arguments, state)
        return ToolResult(content=(f"Changed {change}.",)), after

    def preview(self, arguments: Mapping[str, Any], state: TicketStore) -> str:
        """What a call would change.

        Raises:
            ToolError: as `step` would.
        """
        if arguments["action"] in _READING:
            self._read(arguments, state)
            return "would change nothing: it reads tickets"
        return f"would change {self._change(arguments, state)[0]}"

    def _read(self, arguments: Mapping[str, Any], state: TicketStore) -> str:
        if arguments["action"] == "show":
            return _written(_ticket(state, arguments["number"]))
        found = [
            ticket
            for ticket in state.tickets
            if arguments.get("status") in (None, ticket.status)
            and ("assignee" not in arguments or ticket.assignee == arguments["assignee"].strip())
        ]
        lines = [_line(ticket) for ticket in found[-self._limits.listed :]]
        if len(lines) < len(found):
            lines.insert(0, f"({len(found) - len(lines)} older ones are left out)")
        return "\n".join(lines) or "There are no such tickets."

    def _change(self, arguments: Mapping[str, Any], state: TicketStore) -> _Changed:
        if arguments["action"] == "create":
            return self._create(arguments, state)
        ticket = _ticket(state, arguments["number"])
        detail, after = _CHANGES[arguments["action"]](ticket, arguments)
        text = arguments.get("text", "").strip()
        if text:
            if len(ticket.comments) >= self._limits.comments:
                raise ToolError(f"ticket {ticket.number} has {len(ticket.comments)} comments, as many as it can have")
            after = replace(after, comments=(*ticket.comments, Comment(author=self._actor, text=text)))
            detail = f"{detail}, a comment more" if detail else "a comment more"
        return f"ticket {ticket.number}: {detail}", state.with_ticket(after)

    def _create(self, arguments: Mapping[str, Any], state: TicketStore) -> _Changed:
        if len(state.tickets) >= self._limits.tickets:
            raise ToolError(f"there are {len(state.tickets)} tickets, as many as there can be")
        ticket = Ticket(
            number=state.next_number,
            title=arguments["title"].strip(),
            text=arguments.get("text", "").strip(),
            author=self._actor,
            assignee=arguments.get("assignee", "").strip() or None,
        )
        told = f"ticket {ticket.number}: new, {ticket.title!r}, assignee {ticket.assignee or 'nobody'}"
        return told, TicketStore(tickets=(*state.tickets, ticket))


def _assign(ticket: Ticket, arguments: Mapping[str, Any]) -> tuple[str, Ticket]:
    assignee = arguments["assignee"].strip() or None
    detail = f"assignee {ticket.assignee or 'nobody'} -> {assignee or 'nobody'}"
    return detail, replace(ticket, assignee=assignee)


def _comment(ticket: Ticket, arguments: Mapping[str, Any]) -> tuple[str, Ticket]:
    if not arguments["text"].strip():
        raise ToolError("a comment needs a text that is not blank")
    return "", ticket


def _close(ticket: Ticket, arguments: Mapping[str, Any]) -> tuple[str, Ticket]:
    del arguments
    return "open -> closed", _turned(ticket, TicketStatus.CLOSED)


def _reopen(ticket: Ticket, arguments: Mapping[str, Any]) -> tuple[str, Ticket]:
    del arguments
    return "closed -> open", _turned(ticket, TicketStatus.OPEN)


_CHANGES: Final[Mapping[str, Callable[[Ticket, Mapping[str, Any]], tuple[str, Ticket]]]] = {
    "assign": _assign,
    "comment": _comment,
    "close": _close,
    "reopen": _reopen,
}


def _turned(ticket: Ticket, status: TicketStatus) -> Ticket:
    if ticket.status == status:
        raise ToolError(f"ticket {ticket.number} is {status} already")
    return replace(ticket, status=status)


def _ticket(state: TicketStore, number: int) -> Ticket:
    ticket = state.find(number)
    if ticket is None:
        raise ToolError(f"there is no ticket {number}")
    return ticket


def _line(ticket: Ticket) -> str:
    return f"{ticket.number} [{ticket.status}] {ticket.title} (assignee: {ticket.assignee or 'nobody'})"


def _written(ticket: Ticket) -> str:
    lines = [_line(ticket), f"From {ticket.author}:", ticket.text or "(no text)"]
    lines += [f"Comment of {comment.author}: {comment.text}" for comment in ticket.comments]
    return "\n".join(lines)


def _properties(limits: TicketLimits) -> dict[str, dict[str, Any]]:
    name = {"type": "string", "maxLength": 200}
    return {
        "number": {"type": "integer", "minimum": 1, "maximum": 10**9, "description": "The ticket's number."},
        "title": {**name, "minLength": 1, "description": "Title of a new ticket."},
        "text": {
            "type": "string",
            "maxLength": limits.text_chars,
            "description": "Text of a new ticket, or a comment.",
        },
        "assignee": {**name, "description": "Who deals with it; an empty text for nobody."},
        "status": {"type": "string", "enum": [*TicketStatus], "description": "Lists tickets of this status alone."},
    }
