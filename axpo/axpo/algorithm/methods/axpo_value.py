"""Defines AXPO with prefixes ranked by what their continuations are expected to tell, p (1 - p)."""

from __future__ import annotations

from typing import Final

from axpo.algorithm.methods.axpo import axpo_with
from axpo.settings.config import Ranking

AXPO_VALUE: Final = axpo_with("value", "ranked by value", "selection", ranking=Ranking.VALUE)
"""The prefixes whose success is least certain come first, in place of those whose call is least confident.

Compared with AXPO at the same rollouts, and with `axpo_random`. Chances are estimated from the step's own rollouts, see
`axpo.algorithm._certainty`; a running estimate would know more. Untested at scale."""
