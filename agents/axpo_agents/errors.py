"""Defines `NonFiniteError`: a number that everything rests on is infinite or not a number."""

from __future__ import annotations


class NonFiniteError(ArithmeticError):
    """Logits, log-probabilities, rewards, advantages or weights are not finite; the message says which, and where.

    Nothing that is sampled or trained after that means anything, so whoever meets it stops.
    """
