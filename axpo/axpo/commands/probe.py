"""Defines `axpo probe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.console import Console
from rich.text import Text

import axpo
from axpo.checkpoint_evaluation import checkpoints_of
from axpo.commands._measuring import measured_table, measuring
from axpo.commands.arguments import check_output, parse, write_json
from axpo.probes import ProbeConfig, ProbeName, probe_checkpoint
from axpo.probes.calibration import PLANE
from axpo.report._plane import PlanePoint, write_plane
from axpo.settings._evaluation import EvalConfig
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.terminal.unfailing import Unfailing, say
from axpo_envs.plumbing.printable import printable

_MOST_NAMED: Final = 5
"""Questions that are named on the terminal; the file names all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeArguments:
    """Ask a policy again from snapshots of what it did: other calls from the same thought, no call, a forced call.

    Tells how many different calls one thought leads to, what tools gain and harm on the same questions, and what would
    have come of acting where the policy did not act.
    """

    settings: Annotated[EvalConfig, tyro.conf.arg(name="")]
    """What is probed, and how its rollouts are sampled."""
    probing: Annotated[ProbeConfig, tyro.conf.arg(name="")] = field(default_factory=ProbeConfig)
    """Which probes are made."""
    also: tuple[str, ...] = ()
    """Further checkpoints or runs, probed in the same way."""
    every_checkpoint: bool = False
    """Probe every checkpoint that the run has kept, oldest first."""
    json: Path | None = None
    """Write the results to this file."""
    plane: Path | None = None
    """Draw attempt rate and success of acting, per checkpoint, to this .svg or .png file."""


def run(arguments: Sequence[str]) -> int:
    """Probes; returns the exit code."""
    given = parse(ProbeArguments, "probe", arguments)
    check_output(given.json)
    _check_picture(given.plane)
    probing = checked(given.probing)
    configs = [
        axpo.locate_checkpoint(replace(given.settings, checkpoint=name), warn=lambda text: say(f"axpo: {text}"))
        for name in _checkpoints(given)
    ]
    records = []
    for config in configs:
        with measuring("probing") as told:
            result = probe_checkpoint(config, probing, progress=told)
        records.append({"checkpoint": config.checkpoint, **result.as_record(), "settings": asdict(config)})
        Unfailing()(_show, records[-1], str(config.env))
    write_json(given.json, {**records[0], "probes": asdict(probing), "also": records[1:]})
    if given.plane is not None:
        write_plane(_points(records), given.plane)
    return 0


def _checkpoints(given: ProbeArguments) -> tuple[str, ...]:
    if not given.every_checkpoint:
        return (given.settings.checkpoint, *given.also)
    return (*checkpoints_of(Path(given.settings.checkpoint).expanduser()), *given.also)


def _check_picture(path: Path | None) -> None:
    check_output(path, option="plane")
    if path is not None and path.suffix not in (".svg", ".png"):
        raise ConfigError(f"plane: expected a .svg or .png file; got {path}")


def _points(records: Sequence[Mapping[str, Any]]) -> list[PlanePoint]:
    across, up = PLANE
    return [
        PlanePoint(label=Path(record["checkpoint"]).name, across=record["metrics"][across], up=record["metrics"][up])
        for record in records
    ]


def _show(record: Mapping[str, Any], env: str) -> None:
    console = Console()
    title = f"{record['checkpoint']} in {env}, split {record['split']}"
    console.print(measured_table(record["metrics"], title=title))
    for name, meaning in _UNDECIDED.items():
        if record["undecided"].get(name):
            console.print(f"{meaning}: {record['undecided'][name]}", highlight=False)
    for count, meaning in (("gained", "tools help most on"), ("harmed", "tools harm most on")):
        if named := _most(record["questions"], count):
            console.print(Text(printable(f"{meaning}: {', '.join(named)}")))


_UNDECIDED: Final = {
    ProbeName.TOOLS.value: "rollouts left out, as they could not be kept from calling a tool",
    ProbeName.FORCED.value: "rollouts left out, as they have no thinking behind which a call can be forced",
}


def _most(questions: Sequence[Mapping[str, Any]], count: str) -> list[str]:
    """The questions of which most pairs count."""
    counted = [
        (question[ProbeName.TOOLS.value][count], question["question"])
        for question in questions
        if ProbeName.TOOLS.value in question
    ]
    ranked = sorted((pair for pair in counted if pair[0]), key=lambda pair: -pair[0])
    return [name for _, name in ranked[:_MOST_NAMED]]
