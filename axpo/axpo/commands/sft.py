"""Defines `axpo sft`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.console import Console
from rich.text import Text

from axpo.commands.arguments import check_output, parse, path_option, write_json
from axpo.settings.config import ConfigError
from axpo.settings.config_file import read_toml
from axpo.settings.sft import RECORDED, SftConfig
from axpo.sft._demonstrations import Piece
from axpo.sft._run import run_sft
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say, tell
from axpo_envs.plumbing.printable import printable

_SHOWN: Final = (
    "pass1",
    "pass4",
    "tool_attempt_rate",
    "tool_call_valid_rate",
    "tool_pass1",
    "no_tool_pass1",
    "all_wrong_tool_subgroups",
)
_LINES: Final = 20
"""About how many lines of losses a stage prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftArguments:
    """Teach a policy what a scripted expert, or your own demonstrations, show it.

    Repeating the command in the folder of a killed run goes on behind the last stage it had finished.
    """

    config: Path | None = None
    """TOML file with settings, such as recipes/tiny.toml; the options below override it."""
    json: Path | None = None
    """Write the evaluation of the trained policy to this file."""
    show: int = 0
    """Print so many demonstrations of each stage as the policy reads them (8 at most), what is trained marked."""
    settings: Annotated[SftConfig, tyro.conf.arg(name="")] = field(default_factory=SftConfig)
    """The run's settings."""


class _Lines:
    """Prints losses and evaluations as lines.

    Args:
        show: demonstrations of each stage that are printed.
        heartbeat: speaks where these lines are far between.
    """

    def __init__(self, show: int, heartbeat: Heartbeat) -> None:
        self._console = Console()
        self._show = show
        self._heartbeat = heartbeat

    def note(self, text: str) -> None:
        self._console.print(printable(text), highlight=False, markup=False)

    def examples(self, number: int, shown: Sequence[tuple[Piece, ...]]) -> None:
        for place, demonstration in enumerate(shown[: self._show], start=1):
            self._console.rule(f"stage {number}, demonstration {place}: trained text in [bold green]⟦green⟧[/]")
            text = Text()
            for piece in demonstration:
                if piece.trained:
                    text.append(f"⟦{printable(piece.text)}⟧", style="bold green")
                else:
                    text.append(printable(piece.text), style="dim")
            self._console.print(text)

    def step(self, record: Mapping[str, Any]) -> None:
        where = f"stage {record['stage']}, step {record['step']}/{record['steps']}"
        self._heartbeat.doing(f"{where}, loss {record['loss']:.4f}")
        if record["step"] == record["steps"]:
            self._heartbeat.doing(f"stage {record['stage']}: evaluating and saving")
        every = max(10, record["steps"] // _LINES // 10 * 10)
        if record["step"] % every == 0 or record["step"] == record["steps"]:
            self._console.print(
                f"stage {record['stage']}  step {record['step']}/{record['steps']}  loss {record['loss']:.4f}"
                f"  {record['seconds']:.0f} s",
                highlight=False,
                soft_wrap=True,
            )
            self._heartbeat.spoke()

    def stage_done(self, number: int, evaluation: Mapping[str, Any]) -> None:
        metrics = evaluation.get("metrics", {})
        known = [f"{name} {metrics[name]['value']:.3f}" for name in _SHOWN if metrics.get(name, {}).get("value")]
        self._console.print(f"stage {number} done  {'  '.join(known)}", highlight=False, soft_wrap=True)
        self._heartbeat.spoke()


def _defaults(arguments: Sequence[str]) -> SftConfig:
    own = any(argument.partition("=")[0] in ("--demonstrations", "--demonstrations.source") for argument in arguments)
    return SftConfig(env=RECORDED) if own else SftConfig()


def run(arguments: Sequence[str]) -> int:
    """Trains all stages; returns the exit code."""
    base = path_option(arguments, "config")
    settings = _defaults(arguments) if base is None else read_toml(base, SftConfig)
    parsed = parse(SftArguments, "sft", arguments, default=SftArguments(settings=settings))
    check_output(parsed.json)
    if parsed.show < 0:
        raise ConfigError(f"show: expected a number of demonstrations, 0 for none; got {parsed.show}")
    heartbeat = Heartbeat(lambda line: say(f"axpo: {line}"))
    try:
        with heartbeat:
            result = run_sft(parsed.settings, _Lines(parsed.show, heartbeat))
    except KeyboardInterrupt:
        say("axpo: stopped; the same command goes on behind the last stage that was finished")
        raise
    write_json(parsed.json, result.evaluation)
    tell(f"model    {result.checkpoint}")
    return 0
