"""Defines the command `axpo-bench`: `speed`, `evidence`, `warm-start` and `remote-server`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from axpo_benchmarks.evidence import EvidenceConfig, run_evidence
from axpo_benchmarks.remote_server import RemoteServerConfig, run_remote_server
from axpo_benchmarks.speed_table import SpeedConfig, run_speed
from axpo_benchmarks.warm_start import WarmStartConfig, run_warm_start


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `axpo-bench` with these arguments, by default those of the process; returns the exit code."""
    config = tyro.extras.subcommand_cli_from_dict(
        {
            "speed": SpeedConfig,
            "evidence": EvidenceConfig,
            "warm-start": WarmStartConfig,
            "remote-server": RemoteServerConfig,
        },
        prog="axpo-bench",
        description="Measurements of axpo: speed tables, evidence over seeds, what the shipped policy starts with, and "
        "whether a server computes as this package does.",
        args=list(sys.argv[1:] if arguments is None else arguments),
    )
    if isinstance(config, SpeedConfig):
        return run_speed(config)
    if isinstance(config, EvidenceConfig):
        return run_evidence(config)
    return run_warm_start(config) if isinstance(config, WarmStartConfig) else run_remote_server(config)


if __name__ == "__main__":
    sys.exit(main())
