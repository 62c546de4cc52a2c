"""Defines which environments are measured: one line for each, the module that defines its `ROW`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from axpo.settings.config import ConfigError
from axpo_benchmarks.envs._row import EnvRow

_MODULES: Final = {
    "axpo/Agentic-v0": "_agentic",
    "axpo/Desk-v0": "_desk",
    "axpo/Desk-v0 brief": "_desk_brief",
    "axpo/MultiHopSearch-v0": "_multi_hop_search",
    "axpo/PerceptionQA-v0": "_perception_qa",
    "axpo/PythonReasoning-v0": "_python_reasoning",
    "axpo/VisualZoom-v0": "_visual_zoom",
    "axpo/VisualZoom-v0 closed": "_visual_zoom_closed",
}


def rows(names: Sequence[str]) -> tuple[EnvRow, ...]:
    """The rows of these names, or all of them; modules are imported as they are asked for.

    Raises:
        ConfigError: there is no row of such a name.
    """
    for name in names:
        if name not in _MODULES:
            raise ConfigError(f"only: expected some of {', '.join(_MODULES)}; got {name!r}")
    return tuple(_row(_MODULES[name]) for name in names or _MODULES)


def _row(module: str) -> EnvRow:
    row: EnvRow = importlib.import_module(f"axpo_benchmarks.envs.{module}").ROW
    return row
