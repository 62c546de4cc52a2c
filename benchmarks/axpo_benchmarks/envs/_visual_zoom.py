"""Defines the row of VisualZoom."""

from __future__ import annotations

from axpo_benchmarks.envs._row import Bound, EnvRow
from axpo_benchmarks.envs._sign_probe import probe_signs
from axpo_envs.suite.visual_zoom import RandomFloor, ZoomExpert

ROW = EnvRow(
    name="axpo/VisualZoom-v0",
    env_id="axpo/VisualZoom-v0",
    settings={"split": "test", "held_out": 10_000},
    agents={"expert": ZoomExpert, "floor": RandomFloor},
    probe=probe_signs,
    bounds={"expert": Bound(at_least=0.99)},
)
