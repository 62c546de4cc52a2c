"""Defines the row of MultiHopSearch."""

from __future__ import annotations

from axpo_benchmarks.envs._row import Bound, EnvRow
from axpo_envs.suite.multi_hop_search import HopExpert, RandomFloor, SingleQueryReader

ROW = EnvRow(
    name="axpo/MultiHopSearch-v0",
    env_id="axpo/MultiHopSearch-v0",
    settings={"split": "test", "held_out": 10_000},
    agents={
        "expert": HopExpert,
        "floor": RandomFloor,
        "single-query": SingleQueryReader,
        "one-hop-short": lambda env: HopExpert(env, short=1),
    },
    bounds={
        "expert": Bound(at_least=0.99),
        "single-query": Bound(below=0.10),
        "one-hop-short": Bound(below=0.15),
    },
)
