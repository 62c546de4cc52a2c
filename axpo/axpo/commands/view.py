"""Defines `axpo view`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from axpo.commands.arguments import parse
from axpo.report._report import write_report


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewArguments:
    """Write the report of a run or a comparison, also of one that is still going on, and say where it is."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """The folder of a run or of a comparison."""


def run(arguments: Sequence[str]) -> int:
    """Writes the report; returns the exit code."""
    print(write_report(parse(ViewArguments, "view", arguments).folder))
    return 0
