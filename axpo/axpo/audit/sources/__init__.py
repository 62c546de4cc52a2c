"""The formats that an audit reads, one a module; `FORMATS` has them in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from axpo.audit.fields import Fields
from axpo.audit.record import Transcript
from axpo.audit.sources import axpo_runs, chat, inspect_ai, search_r1, trl, verifiers, verl

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one stack writes rollouts."""

    name: str
    """What `--format` takes."""
    label: str
    """What people read."""
    matches: Callable[[Mapping[str, Any]], bool]
    """Whether a record looks like one of this format."""
    read: Callable[[Mapping[str, Any], Fields], Transcript | None]
    """The rollout of a record, None for one that is not to be counted; raises `UnreadableError`."""
    parts: Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]] | None = None
    """The records within a record; None where each is one rollout."""


FORMATS: Final = {
    each.name: each
    for each in (
        Format(name="axpo", label="runs of axpo", matches=axpo_runs.matches, read=axpo_runs.read),
        Format(name="inspect", label="inspect_ai logs", matches=inspect_ai.matches, read=inspect_ai.read),
        Format(
            name="verifiers",
            label="verifiers results",
            matches=verifiers.matches,
            read=verifiers.read,
            parts=verifiers.parts,
        ),
        Format(name="trl", label="TRL completions", matches=trl.matches, read=trl.read),
        Format(name="verl", label="verl rollout dumps", matches=verl.matches, read=verl.read),
        Format(name="chat", label="chat messages", matches=chat.matches, read=chat.read),
        Format(name="search-r1", label="Search-R1 texts", matches=search_r1.matches, read=search_r1.read),
    )
}
"""By name; what is more particular comes first."""
