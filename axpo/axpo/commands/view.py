"""Defines `axpo view`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from axpo.commands.arguments import parse
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewArguments:
    """Show runs in a browser while they train, at an address of this machine; or write their reports."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs and comparisons, or folders in which runs lie."""
    report: bool = False
    """Write `report.html` into each folder, say where it is, and show nothing."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8477
    """Port to listen at; 0 takes a free one."""
    tools: tuple[str, ...] = ()
    """Names of tools whose mentions count, besides those that rollouts call."""
    tokenizer: Path | None = None
    """A `tokenizer.json`, or a folder with one, for runs without a checkpoint."""


def run(arguments: Sequence[str]) -> int:
    """Shows runs, or writes their reports; returns the exit code."""
    parsed = checked(parse(ViewArguments, "view", arguments))
    if not parsed.folders:
        raise ConfigError("folders: expected the folder of a run, or several; got none")
    if parsed.report:
        from axpo.report._report import write_report

        for folder in parsed.folders:
            print(write_report(folder))
        return 0
    from axpo.viewer._serve import serve_view

    serve_view(parsed.folders, port=parsed.port, tools=parsed.tools, tokenizer=parsed.tokenizer)
    return 0
