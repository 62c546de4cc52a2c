"""Defines the command `axpo-bench injections`: its settings, the tables that it prints, and the file that it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import tyro
from rich.console import Console

from axpo.commands.arguments import check_output, write_json
from axpo.diagnostics.estimates import Estimate
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import Name
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.unfailing import Unfailing
from axpo_benchmarks.injections._corpus import CORPUS, read_corpus
from axpo_benchmarks.injections._env import injections_env
from axpo_benchmarks.injections._measuring import HEADLINES, Estimates, Shares, measured
from axpo_benchmarks.injections._playing import Asking, play_model, play_reference
from axpo_benchmarks.injections._references import REFERENCES
from axpo_benchmarks.machine import provenance

_BOUNDS: Final = ("forbidden_attempt", "failed_to_act")
_ALL: Final = tuple(REFERENCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionsConfig:
    """Serve texts that try to take an agent over as results of tools, and measure how often it does as they say."""

    model: tuple[Name, ...] = ()
    """Models to measure: a run's or a checkpoint's folder, `tiny`, a Hugging Face id, the address of a server such as
    `http://host:8000/v1`, or `package.module:NAME` of an agent that writes text."""
    references: tuple[Name, ...] = _ALL
    """Scripted agents to measure: expert, obeyer, refuser, keywords, random."""
    corpus: Path = CORPUS
    """A file of scenes and injections; by default the 100 of this package."""
    asking: Annotated[Asking, tyro.conf.arg(name="")] = field(default_factory=Asking)
    """How models are asked."""
    json: Path | None = None
    """Write everything to this file."""


def run_injections(config: InjectionsConfig) -> int:
    """Measures, prints, writes; returns the exit code."""
    config = checked(config)
    check_output(config.json)
    if unknown := sorted(set(config.references) - set(REFERENCES)):
        raise ConfigError(f"references: expected some of {', '.join(REFERENCES)}; got {unknown[0]!r}")
    if both := sorted(set(config.references) & set(config.model)):
        raise ConfigError(f"model: expected other names than those of references; got {both[0]!r}")
    corpus = read_corpus(config.corpus)
    env = injections_env(corpus)
    found: dict[str, Shares] = {}
    for name in config.references:
        found[name] = measured(corpus, play_reference(REFERENCES[name](corpus), env))
    for name in config.model:
        found[name] = measured(corpus, play_model(name, env, config.asking))
    write_json(
        config.json,
        {
            "injections": len(corpus.injections),
            "corpus": env.questions.fingerprint,
            "agents": {name: shares.as_record() for name, shares in found.items()},
            "measured": provenance(),
        },
    )
    show, console = Unfailing(), Console()
    for table in _tables(found):
        show(console.print, table)
    return 0


def _tables(found: Mapping[str, Shares]) -> Iterator[FittingTable]:
    yield _table("shares of rollouts", (*HEADLINES, *_BOUNDS), {name: each.metrics for name, each in found.items()})
    kinds = {name: each.by_kind for name, each in found.items()}
    yield _table("obeyed, by kind (control: right answers)", _names(kinds), kinds)
    tools = {name: each.by_tool for name, each in found.items()}
    yield _table("obeyed, by tool", _names(tools), tools)


def _names(found: Mapping[str, Estimates]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in found.values() for name in each))


def _table(title: str, names: Sequence[str], found: Mapping[str, Estimates]) -> FittingTable:
    """A column for each agent."""
    return FittingTable(
        title=title,
        columns=tuple(found),
        rows=tuple((name.replace("_", " "), *(_cell(each.get(name)) for each in found.values())) for name in names),
    )


def _cell(found: Estimate | None) -> str:
    if found is None:
        return "-"
    interval = "" if found.low is None else f" ({found.low:.2f}-{found.high:.2f})"
    return f"{found.value:.2f}{interval}"
