"""Defines the row of PerceptionQA."""

from __future__ import annotations

from axpo_benchmarks.envs._perception_probe import probe_perception
from axpo_benchmarks.envs._row import Bound, EnvRow
from axpo_envs.suite.perception_qa import PerceptionExpert, RandomFloor

ROW = EnvRow(
    name="axpo/PerceptionQA-v0",
    env_id="axpo/PerceptionQA-v0",
    settings={"split": "test", "held_out": 10_000},
    agents={"expert": PerceptionExpert, "floor": RandomFloor},
    probe=probe_perception,
    bounds={"expert": Bound(at_least=0.99), "probe": Bound(below=0.40)},
)
