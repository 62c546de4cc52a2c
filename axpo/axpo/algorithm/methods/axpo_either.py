"""Defines AXPO with both boundaries: sources are cut at their call or behind its result."""

from __future__ import annotations

from typing import Final

from axpo.algorithm.methods.axpo import axpo_with
from axpo.settings.config import Cut

AXPO_EITHER: Final = axpo_with("either", "call or result cut", "selection", cut=Cut.EITHER)
"""AXPO's cut (before the call, arXiv:2605.28774) and ARPO's (behind the result, arXiv:2507.19849) from one budget:
wherever the policy went on with less confidence. A source has one cut, as in AXPO, and is credited up to it.

Compared with AXPO at the same rollouts; named as future work by its paper. Untested at scale."""
