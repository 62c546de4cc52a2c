"""Defines which environments Gymnasium knows by name once this package is imported."""

from __future__ import annotations

from typing import Final

import gymnasium

ENTRY_POINTS: Final[dict[str, str]] = {
    "axpo/Agentic-v0": "axpo_envs.suite.agentic.env:Agentic",
    "axpo/Desk-v0": "axpo_envs.suite.desk.env:Desk",
    "axpo/MultiHopSearch-v0": "axpo_envs.suite.multi_hop_search.env:MultiHopSearch",
    "axpo/PerceptionQA-v0": "axpo_envs.suite.perception_qa.env:PerceptionQA",
    "axpo/PythonReasoning-v0": "axpo_envs.suite.python_reasoning.env:PythonReasoning",
    "axpo/ToolTask-v0": "axpo_envs.suite.tool_task.env:ToolTask",
    "axpo/VisualZoom-v0": "axpo_envs.suite.visual_zoom.env:VisualZoom",
}
"""Gymnasium id and `module:callable` of every environment of the suite."""


def register_envs() -> None:
    """Registers the suite with Gymnasium; doing so again changes nothing.

    The order of calls is left to `ToolEnv` (a snapshot may be restored before any reset, which Gymnasium's wrapper
    would refuse), conformance to `axpo_envs.testing.check_tool_env` instead of a check at every step.
    """
    for env_id, entry_point in ENTRY_POINTS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point=entry_point, order_enforce=False, disable_env_checker=True)
