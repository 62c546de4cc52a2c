"""Defines the command `axpo-bench ray`."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from axpo_benchmarks.machine import provenance
from axpo_envs.plumbing.whole_files import write_whole

_RESULTS: Final = Path(__file__).parents[1] / "results" / "ray.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RayChecksConfig:
    """Kill workers of Ray at random moments, and train on a cluster of two nodes, all on this machine."""

    kills: int = 20
    """Workers killed in each of the two parts that kill."""
    seed: int = 0
    """Of the moments."""
    json: Path = _RESULTS
    """Where the outcome is written."""


def run_ray(config: RayChecksConfig) -> int:
    """Runs the parts; returns 0 if all held."""
    # Workers that give way to everything else on a busy machine would need minutes to start.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    from axpo_benchmarks.ray_cluster import _parts

    found: dict[str, Any] = {}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "resources": {"samplers": 1}})
    try:
        cluster.add_node(num_cpus=4, resources={"tools": 2})
        cluster.wait_for_nodes()
        address = str(cluster.address)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            for name, part in (
                ("two_nodes", partial(_parts.two_nodes, address, folder)),
                ("kills_in_training", partial(_parts.kills_in_training, address, folder, config.kills, config.seed)),
                ("kills_with_effects", partial(_parts.kills_with_effects, address, folder, config.kills, config.seed)),
            ):
                found[name] = part()
                print(f"{name}: {'held' if found[name]['held'] else 'BROKEN'} {found[name]}", flush=True)
    finally:
        cluster.shutdown()
    record = {**provenance(), "ray": ray.__version__, "parts": found}
    write_whole(config.json, json.dumps(record, indent=1).encode() + b"\n")
    return 0 if all(part["held"] for part in found.values()) else 1
