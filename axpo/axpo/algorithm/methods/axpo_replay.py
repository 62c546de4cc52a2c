"""Defines AXPO with replay (after SPEAR, arXiv:2509.22601): continuations that recovered are learned from again."""

from __future__ import annotations

from typing import Final

from axpo.algorithm.methods.axpo import axpo_with

STEPS: Final = 10
"""How long a continuation is kept."""

AXPO_REPLAY: Final = axpo_with("replay", "replay", "replay", steps=STEPS)
"""Recovered continuations, the rarest data of a step, are learned from for 10 further steps (`replay.steps`).

Compared with AXPO at the same rollouts; its updates cost more. SPEAR keeps whole trajectories, of any reward that beats
its group, until a buffer is full, and learns from them on its own schedule; its entropy terms and bonus for calls are
left out. Untested at scale."""
