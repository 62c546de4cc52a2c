"""Defines AXPO+, the variant that beats AXPO on the mean of the project's families: AXPO whose idle failures act."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from axpo.algorithm.methods.axpo_idle import AXPO_IDLE

AXPO_PLUS: Final = replace(AXPO_IDLE, name="axpo_plus", label="AXPO+")
"""`axpo_idle` under the name to ask for; docs/axpo-plus.md says why it works, and where it was measured."""
