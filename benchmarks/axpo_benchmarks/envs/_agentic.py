"""Defines the row of Agentic."""

from __future__ import annotations

from axpo_benchmarks.envs._row import Bound, EnvRow
from axpo_envs.suite.agentic import AgenticExpert, RandomFloor

ROW = EnvRow(
    name="axpo/Agentic-v0",
    env_id="axpo/Agentic-v0",
    settings={"split": "test", "held_out": 10_000},
    agents={"expert": AgenticExpert, "floor": RandomFloor},
    bounds={"expert": Bound(at_least=0.99), "floor": Bound(below=0.15)},
)
