"""Defines what a run will take before it begins: memory, tokens and time, and a simulation of many devices."""

from __future__ import annotations

from axpo_envs.plumbing.extras import requiring

with requiring("train", "plans of runs"):
    import torch  # noqa: F401  (named here once, whichever module of the room is imported first)
