"""Defines the command `axpo-bench` and its subcommands: the measurements behind the figures of the documentation."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import tyro

from axpo.settings.config import ConfigError
from axpo.terminal.guarding import guarded
from axpo_envs.plumbing.extras import require_extra


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A subcommand; what runs it is imported when it is asked for, so that the overview needs no extra."""

    summary: str
    module: str
    config: str
    run: str
    extra: str = "train"


_COMMANDS: Final = {
    "speed": _Command(summary="speed tables", module="speed_table", config="SpeedConfig", run="run_speed"),
    "attacks": _Command(
        summary="random attacks on the Python sandbox", module="attacks", config="AttacksConfig", run="run_attacks"
    ),
    "soak": _Command(
        summary="episodes, odd turns, kills and noisy neighbours, for long",
        module="soak",
        config="SoakConfig",
        run="run_soak",
    ),
    "leaderboard": _Command(
        summary="evaluations side by side, and beside published figures",
        module="leaderboard",
        config="LeaderboardConfig",
        run="run_leaderboard",
    ),
    "evidence": _Command(
        summary="the comparison of methods over families and seeds, resumable",
        module="evidence",
        config="EvidenceConfig",
        run="run_evidence",
    ),
    "evidence-report": _Command(
        summary="the page of what the rows of `evidence` tell",
        module="evidence",
        config="EvidenceReportConfig",
        run="run_evidence_report",
    ),
    "phase": _Command(
        summary="GRPO and AXPO over strengths of guessing and acting, resumable",
        module="evidence",
        config="PhaseConfig",
        run="run_phase",
    ),
    "warm-start": _Command(
        summary="how well a policy acts in a family, and of what its failures are made",
        module="warm_start",
        config="WarmStartConfig",
        run="run_warm_start",
    ),
    "remote-server": _Command(
        summary="whether a server computes as this package does",
        module="remote_server",
        config="RemoteServerConfig",
        run="run_remote_server",
    ),
    "completions-server": _Command(
        summary="serve a policy over vLLM's interface, for tries without vLLM",
        module="completions_server",
        config="CompletionsServerConfig",
        run="run_completions_server",
    ),
    "envs": _Command(
        summary="floors, ceilings and the cost of snapshots of every environment",
        module="envs",
        config="EnvsConfig",
        run="run_envs",
    ),
    "injections": _Command(
        summary="how often an agent does as texts in tool results say",
        module="injections",
        config="InjectionsConfig",
        run="run_injections",
    ),
    "scoring": _Command(
        summary="loading benchmarks and scoring 10,000 responses",
        module="scoring",
        config="ScoringConfig",
        run="run_scoring",
    ),
    "viewer": _Command(
        summary="how long the pages of `axpo view` take", module="viewer", config="ViewerConfig", run="run_viewer"
    ),
    "plan": _Command(
        summary="what `axpo plan` predicts of short runs, beside what they take",
        module="plan_check",
        config="PlanConfig",
        run="run_plan",
    ),
    "adapters": _Command(
        summary="the adapters against the real libraries, in temporary environments",
        module="adapter_checks",
        config="AdaptersConfig",
        run="run_adapters",
    ),
    "ray": _Command(
        summary="workers of Ray killed at random moments, and two nodes",
        module="ray_cluster",
        config="RayChecksConfig",
        run="run_ray",
        extra="ray",
    ),
    "sb3": _Command(
        summary="stable-baselines3 trained on tool environments",
        module="sb3",
        config="Sb3Config",
        run="run_sb3",
        extra="sb3",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `axpo-bench` with these arguments, by default those of the process; returns the exit code."""
    return guarded("axpo-bench", arguments, _run)


def _run(arguments: list[str]) -> int:
    name, *rest = arguments
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    if name not in _COMMANDS:
        raise ConfigError(f"expected one of {', '.join(_COMMANDS)}; got {name!r}")
    command = _COMMANDS[name]
    require_extra(command.extra, f"`axpo-bench {name}`")
    module = importlib.import_module(f"axpo_benchmarks.{command.module}")
    config = tyro.cli(getattr(module, command.config), prog=f"axpo-bench {name}", args=rest)
    exit_code: int = getattr(module, command.run)(config)
    return exit_code


def _overview() -> str:
    width = max(map(len, _COMMANDS))
    return "\n".join(
        [
            "usage: axpo-bench COMMAND [OPTIONS]",
            "",
            "Measurements of axpo.",
            "",
            *(f"  {name:<{width}}  {command.summary}" for name, command in _COMMANDS.items()),
            "",
            "`axpo-bench COMMAND --help` lists the options of one.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
