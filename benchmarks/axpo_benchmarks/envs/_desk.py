"""Defines the row of Desk."""

from __future__ import annotations

from axpo_benchmarks.envs._row import Bound, EnvRow
from axpo_envs.suite.desk import DeskExpert, OverActor, RandomFloor, Refuser

ROW = EnvRow(
    name="axpo/Desk-v0",
    env_id="axpo/Desk-v0",
    settings={"split": "test", "held_out": 10_000},
    agents={"expert": DeskExpert, "floor": RandomFloor, "over-actor": OverActor, "refuser": Refuser},
    bounds={
        "expert": Bound(at_least=0.99),
        "floor": Bound(below=0.15),
        "over-actor": Bound(below=0.60),
        "refuser": Bound(below=0.45),
    },
)
