"""Defines how a run ends on a process for reasons that lie elsewhere: a signal, or the fault of another process."""

from __future__ import annotations


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; what it had finished is saved."""


class PeerError(Exception):
    """Another process of the run has ended, so this one cannot go on."""


class PeerFailed(PeerError):
    """Another process failed, and said why: the message names it."""


class PeerLost(PeerError):
    """Another process has gone without a word: it was killed, or its machine is unreachable."""
