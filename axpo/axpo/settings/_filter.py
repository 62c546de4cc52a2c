"""Defines the settings of which questions training leaves out."""

from __future__ import annotations

from dataclasses import dataclass

from axpo.settings.values import Count, Name


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterConfig:
    """Which questions of training are left out, for how often they were solved before (arXiv:2605.28774: those that the
    policy solves 4 of 4 times before training, and those that the teacher solves 0 of 4 times)."""

    always: Name | None = None
    """A file of `axpo eval --solved`, of the policy that training starts from, say: questions that it says were solved
    every time are left out."""
    never: Name | None = None
    """Another, of a teacher, say, or the same: questions that it says were solved no time are left out."""
    rollouts: Count = 4
    """Tries that it takes to judge a question; with fewer, as with none, it stays."""
