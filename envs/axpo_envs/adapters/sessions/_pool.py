"""Defines `Session`, an episode of an environment of others, its `Reply`, and `SessionPool`, the sessions of a tool."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from axpo_envs.types import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an environment answers to a reset or an action."""

    parts: Parts
    """What it shows."""
    reward: float = 0.0
    """The reward of this action."""
    done: bool = False
    """It takes no further action."""


class Session(Protocol):
    """One episode of an environment of others."""

    def reset(self, number: int) -> Reply:
        """Begins the episode of that number, the same one for the same number every time.

        Raises:
            InfrastructureFault: the environment cannot be reached, or failed.
        """
        ...

    def act(self, arguments: Mapping[str, Any]) -> Reply:
        """Takes an action.

        Raises:
            ToolError: the action is none that the environment takes; the policy reads why, and nothing has happened.
            InfrastructureFault: the environment cannot be reached, or failed.
        """
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class SessionPool:
    """Sessions that wait, each for the moment at which it stands; never more than so many are open.

    Args:
        opens: makes a new session.
        most: how many may be open, those at work included.
    """

    def __init__(self, opens: Callable[[], Session], most: int) -> None:
        self._opens = opens
        self._most: Final = most
        self._waiting: OrderedDict[Hashable, list[Session]] = OrderedDict()
        self._open = 0
        self._changed = threading.Condition()

    def take(self, moment: Hashable) -> Session | None:
        """A session that stands there; None where there is none."""
        with self._changed:
            return self._pop(moment) if moment in self._waiting else None

    def fresh(self) -> Session:
        """A session to be reset: a new one, or where there may be no more the one that has waited longest."""
        with self._changed:
            self._changed.wait_for(lambda: self._open < self._most or self._waiting)
            if self._open >= self._most:
                return self._pop(next(iter(self._waiting)))
            self._open += 1
        try:
            return self._opens()
        except BaseException:
            self._one_less()
            raise

    def keep(self, moment: Hashable, session: Session) -> None:
        """Lets a session wait where it stands."""
        with self._changed:
            self._waiting.setdefault(moment, []).append(session)
            self._waiting.move_to_end(moment)
            self._changed.notify()

    def spare(self, session: Session) -> None:
        """Lets a session wait that stands nowhere; it is the next to begin anew."""
        with self._changed:
            self._waiting.setdefault(None, []).append(session)
            self._waiting.move_to_end(None, last=False)
            self._changed.notify()

    def drop(self, session: Session) -> None:
        """Ends a session that failed."""
        # It may be gone already, which is what is wanted.
        with suppress(Exception):
            session.close()
        self._one_less()

    def close(self) -> None:
        """Ends all that wait."""
        with self._changed:
            sessions = [session for waiting in self._waiting.values() for session in waiting]
            self._waiting.clear()
        for session in sessions:
            self.drop(session)

    def _pop(self, moment: Hashable) -> Session:
        session = self._waiting[moment].pop()
        if not self._waiting[moment]:
            del self._waiting[moment]
        return session

    def _one_less(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify()
