"""Defines the row of PythonReasoning."""

from __future__ import annotations

from axpo_benchmarks.envs._row import Bound, EnvRow
from axpo_envs.suite.python_reasoning import BlindGuesser, RandomFloor, ReasoningExpert

ROW = EnvRow(
    name="axpo/PythonReasoning-v0",
    env_id="axpo/PythonReasoning-v0",
    settings={"split": "test", "held_out": 10_000},
    agents={"expert": ReasoningExpert, "floor": RandomFloor, "blind": BlindGuesser},
    bounds={"expert": Bound(at_least=0.99), "floor": Bound(below=0.05), "blind": Bound(below=0.05)},
)
