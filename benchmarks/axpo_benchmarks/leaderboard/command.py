"""Defines `axpo-bench leaderboard`: adds evaluations to a board, and shows it beside published figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from axpo.commands.arguments import check_output
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.terminal.unfailing import tell
from axpo_benchmarks.leaderboard.board import Leaderboard, entry_of, read_board, read_published, write_board
from axpo_benchmarks.leaderboard.shown import markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardConfig:
    """Add evaluations to a leaderboard, a JSON file, and show it as a table in Markdown."""

    board: Annotated[Path, tyro.conf.Positional]
    """The file; it is begun where there is none and something is added."""
    add: tuple[Path, ...] = ()
    """Folders that `axpo eval --benchmark` wrote; one of a name that is there replaces it."""
    name: str = ""
    """What the table calls what is added, if it is one; the model by default."""
    note: str = ""
    """What is to be known of what is added."""
    published: Path | None = None
    """A file of published figures to show beneath it, such as `benchmarks/paper.json`."""


def run_leaderboard(config: LeaderboardConfig) -> int:
    """Adds, writes, shows; returns the exit code."""
    config = checked(config)
    check_output(config.board)
    if config.name and len(config.add) != 1:
        raise ConfigError(f"name: expected one evaluation to be added; got {len(config.add)}")
    published = None if config.published is None else read_published(config.published)
    board = Leaderboard() if config.add and not config.board.exists() else read_board(config.board)
    for path in config.add:
        board = board.with_entry(entry_of(EvaluationFolder(path), name=config.name, note=config.note))
    if config.add:
        write_board(config.board, board)
    tell(markdown(board, published))
    return 0
