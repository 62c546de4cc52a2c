"""Leaderboards: files that hold what models achieved on benchmarks, with all that it takes to compare them."""

from axpo_benchmarks.leaderboard.board import (
    Entry,
    Leaderboard,
    Published,
    PublishedRow,
    Scored,
    entry_of,
    read_board,
    read_published,
    write_board,
)
from axpo_benchmarks.leaderboard.command import LeaderboardConfig, run_leaderboard
from axpo_benchmarks.leaderboard.shown import markdown

__all__ = [
    "Entry",
    "Leaderboard",
    "LeaderboardConfig",
    "Published",
    "PublishedRow",
    "Scored",
    "entry_of",
    "markdown",
    "read_board",
    "read_published",
    "run_leaderboard",
    "write_board",
]
