"""What the tool `ticket` keeps: tickets and their comments."""

from axpo_envs.backends.tickets.store import Comment, Ticket, TicketStatus, TicketStore

__all__ = ["Comment", "Ticket", "TicketStatus", "TicketStore"]
