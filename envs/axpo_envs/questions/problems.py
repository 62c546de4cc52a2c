"""Defines `Problems`, which collects everything wrong with a user's rows, so that one message tells it all."""

from __future__ import annotations

from typing import Final

from axpo_envs.errors import EnvConfigError

MAX_SHOWN: Final = 10
"""Problems that a message lists; of further ones it gives the number."""


class Problems:
    """What is wrong with the rows of one source.

    Args:
        source: what the rows come from, as messages call it.
    """

    __slots__ = ("_count", "_shown", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._shown: list[str] = []
        self._count = 0

    def add(self, where: str, field: str | None, message: str) -> None:
        """Notes a problem.

        Args:
            where: the row.
            field: the field; None where it is the row as a whole.
            message: what was expected and what was got.
        """
        self._count += 1
        if self._count <= MAX_SHOWN:
            place = where if field is None else f"{where}, field {field!r}"
            self._shown.append(f"\n  {place}: {message}")

    def raise_if_any(self) -> None:
        """Ends the loading if there is a problem.

        Raises:
            EnvConfigError: there is; the message lists the first of them with row and field.
        """
        if not self._count:
            return
        what = "1 problem" if self._count == 1 else f"{self._count} problems"
        rest = self._count - len(self._shown)
        more = f"\n  and {rest} more" if rest else ""
        raise EnvConfigError(f"{self._source}: {what}{''.join(self._shown)}{more}")
