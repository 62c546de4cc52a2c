"""Defines `axpo sft`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.console import Console

from axpo.commands.arguments import check_output, parse, path_option, write_json
from axpo.config_file import read_toml
from axpo.heartbeat import Heartbeat
from axpo.sft_config import SftConfig
from axpo.sft_run import run_sft
from axpo.unfailing import say, tell

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
    """Teach a policy what a scripted expert demonstrates, stage by stage.

    Repeating the command in the folder of a killed run goes on behind the last stage it had finished.
    """

    config: Path | None = None
    """TOML file with settings, such as recipes/tiny.toml; the options below override it."""
    json: Path | None = None
    """Write the evaluation of the trained policy to this file."""
    settings: Annotated[SftConfig, tyro.conf.arg(name="")] = field(default_factory=SftConfig)
    """The run's settings."""


class _Lines:
    """Prints losses and evaluations as lines.

    Args:
        heartbeat: speaks where these lines are far between.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._console = Console()
        self._heartbeat = heartbeat

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


def run(arguments: Sequence[str]) -> int:
    """Trains all stages; returns the exit code."""
    base = path_option(arguments, "config")
    settings = SftConfig() if base is None else read_toml(base, SftConfig, partial=True)
    parsed = parse(SftArguments, "sft", arguments, default=SftArguments(settings=settings))
    check_output(parsed.json)
    heartbeat = Heartbeat(lambda line: say(f"axpo: {line}"))
    try:
        with heartbeat:
            result = run_sft(parsed.settings, _Lines(heartbeat))
    except KeyboardInterrupt:
        say("axpo: stopped; the same command goes on behind the last stage that was finished")
        raise
    write_json(parsed.json, result.evaluation)
    tell(f"model    {result.checkpoint}")
    return 0
