"""Defines the row of VisualZoom where the view gives no character away."""

from __future__ import annotations

import dataclasses

from axpo_benchmarks.envs._row import Bound
from axpo_benchmarks.envs._visual_zoom import ROW as BY_DEFAULT

ROW = dataclasses.replace(
    BY_DEFAULT,
    name="axpo/VisualZoom-v0 closed",
    settings={**BY_DEFAULT.settings, "difficulty": "closed"},
    bounds={**BY_DEFAULT.bounds, "probe": Bound(below=0.20)},
)
