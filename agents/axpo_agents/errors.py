"""Defines the errors of policies: unusable checkpoints and inputs, and numbers that are not finite."""

from __future__ import annotations

from typing import Any


class PolicyError(ValueError):
    """A checkpoint, a setting or an input is unusable; the message says what was expected and what was got."""


class NonFiniteError(ArithmeticError):
    """Logits, log-probabilities, rewards, advantages or weights are not finite; the message says which, and where.

    Nothing that is sampled or trained after that means anything, so whoever meets it stops.
    """


class NonFiniteRowError(NonFiniteError):
    """Logits of one of several sequences are not finite.

    Args:
        message: what was expected and what was got.
        row: place of the sequence among those that were given.
    """

    def __init__(self, message: str, *, row: int) -> None:
        super().__init__(message)
        self.row = row

    def __reduce__(self) -> tuple[Any, ...]:
        return _row_error, (str(self), self.row)


def _row_error(message: str, row: int) -> NonFiniteRowError:
    return NonFiniteRowError(message, row=row)
