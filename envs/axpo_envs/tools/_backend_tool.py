"""Defines `BackendTool`, what the tools of a search backend have in common."""

from __future__ import annotations

from axpo_envs.backends.search._types import Document, SearchBackend, check_backend
from axpo_envs.tool.protocol import Effects
from axpo_envs.types import Question


class BackendTool:
    """A tool that asks a search backend: it keeps no state, and acts on the world as the backend does.

    Args:
        backend: whom to ask.

    Raises:
        EnvConfigError: it is no whole backend, or cannot be used (a key is missing, say).
    """

    def __init__(self, backend: SearchBackend) -> None:
        check_backend(backend)
        backend.check()
        self._backend = backend

    @property
    def fingerprint(self) -> str:
        """That of the backend: a snapshot is not restored over another corpus."""
        return self._backend.fingerprint

    @property
    def effects(self) -> Effects:
        """Those of the backend: pure for a local index or a replay, external for a live service."""
        return self._backend.effects

    @property
    def repeatable(self) -> bool:
        """A search that was broken off found nothing, and may be asked again."""
        return True

    @property
    def timeout_s(self) -> float | None:
        """None: a backend has its own time limits, and what runs into them is a fault, not the policy's to read."""
        return None

    def initial_state(self, question: Question) -> None:
        """It keeps no state."""
        del question


def heading(document: Document) -> str:
    """How a policy is told of a document: its title, if it has one, and the id to open it by."""
    return f"{document.title} (id: {document.id})" if document.title else f"(id: {document.id})"
