"""Defines `LeftOut`: why a part of the table cannot be measured here."""

from __future__ import annotations


class LeftOut(Exception):
    """A part needs what is not installed; the message says what, and how to install it."""
