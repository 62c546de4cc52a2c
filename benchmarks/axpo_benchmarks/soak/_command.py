"""Defines the command: its settings, its parts, and the file of its findings."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from axpo.commands.arguments import check_output, write_json
from axpo.settings.config import ConfigError
from axpo.terminal.unfailing import say
from axpo_benchmarks.machine import provenance

PARTS: Final = ("episodes", "turns", "kills", "neighbours")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakConfig:
    """Try for long what must hold for days; exits with 1 where something did not.

    Raises:
        ConfigError: a part does not exist, or a number is not positive.
    """

    only: Annotated[tuple[str, ...], tyro.conf.arg(help="episodes, turns, kills, neighbours; all by default")] = ()
    episodes: int = 20_000
    """Episodes that call the tool `python`, nine of ten of them branches of a moment of another."""
    turns: int = 1_000_000
    """Odd turns that environments are given."""
    kills: int = 40
    """Training runs that are killed and resumed."""
    cells: int = 2000
    """Cells of the guest whose neighbours are noisy, for each kind of noise."""
    seed: int = 0
    """Decides everything that is drawn."""
    json: Path | None = None
    """Write the findings to this file."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.only) - set(PARTS)):
            raise ConfigError(f"only: expected some of {', '.join(PARTS)}; got {unknown[0]!r}")
        for name in ("episodes", "turns", "kills", "cells"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1; got {getattr(self, name)}")


def run_soak(config: SoakConfig) -> int:
    """Tries the parts, one after the other, and returns 1 where something did not hold."""
    check_output(config.json)
    findings: dict[str, Any] = {}
    for part in PARTS:
        if config.only and part not in config.only:
            continue
        say(f"axpo-bench: soak: {part}")
        findings[part] = importlib.import_module(f"axpo_benchmarks.soak._{part}").soak(config)
        print(f"{part}: {findings[part]}", flush=True)
        write_json(config.json, {**provenance(), "parts": findings})
    return 0 if all(found["held"] for found in findings.values()) else 1
