"""Defines the environments' exceptions: faults of infrastructure, tools and rewards, bad snapshots and settings."""

from __future__ import annotations


class InfrastructureFault(Exception):
    """The machinery failed, not the policy: a worker died, a server stayed unreachable after its retries.

    The episode it struck is redone or dropped; it is never scored.
    """


class ToolFault(RuntimeError):
    """A tool's own code failed: it raised what it did not declare, or broke the tool protocol.

    The policy never reads it and no episode is scored by it; the message names tool and arguments, the
    cause is chained.
    """


class RewardFault(RuntimeError):
    """A reward's own code failed: it raised, or returned something other than finite terms.

    No episode is scored by it; the message names the question, the cause is chained.
    """


class SnapshotError(ValueError):
    """A snapshot cannot be restored here: another environment, schema version or question source, or corrupt bytes."""


class EnvConfigError(ValueError):
    """An environment was given settings, questions, tools or rewards that cannot work together."""


class UnknownSplitError(EnvConfigError):
    """There are no questions of the split that was asked for.

    Args:
        message: what was expected and what was got.
        known: the splits that there are; empty where the questions have none.
    """

    def __init__(self, message: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.known = known

    def __reduce__(self) -> tuple[type[UnknownSplitError], tuple[str, tuple[str, ...]]]:
        return UnknownSplitError, (str(self), self.known)
