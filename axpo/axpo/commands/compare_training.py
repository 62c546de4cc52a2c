"""Defines `axpo compare` without runs: it trains those that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from axpo.commands.arguments import check_output, parse, path_option, write_json
from axpo.compare.comparison import ComparisonConfig, compare
from axpo.settings.config import TrainConfig
from axpo.settings.config_file import checked, read_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareArguments:
    """Train several methods from the same start on the same questions, and compare them on held-out ones.

    `axpo compare RUN...` compares finished runs instead, without training (`axpo compare RUN --help`).

    Asking again for a comparison that was interrupted goes on where it stopped. Its folder holds a run per method,
    comparison.json and report.html.
    """

    config: Path | None = None
    """TOML file with settings of the runs, such as another run's config.toml; the options below override it."""
    json: Path | None = None
    """Write the comparison to this file, too."""
    settings: Annotated[ComparisonConfig, tyro.conf.arg(name="")] = field(default_factory=ComparisonConfig)
    """What is compared."""


def run(arguments: Sequence[str]) -> int:
    """Trains what is missing and compares; returns the exit code."""
    settings = ComparisonConfig()
    file = path_option(arguments, "config")
    if file is not None:
        settings = replace(settings, base=replace(read_toml(file, TrainConfig), out=settings.base.out))
    parsed = parse(CompareArguments, "compare", arguments, default=CompareArguments(settings=settings))
    check_output(parsed.json)
    comparison = compare(checked(parsed.settings))
    write_json(parsed.json, comparison.as_record())
    return 0
