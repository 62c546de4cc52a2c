"""Defines AXPO with strata (after Stratified GRPO, arXiv:2510.06214): rollouts that are no sources compare with their
like."""

from __future__ import annotations

from typing import Final

from axpo.algorithm.methods.axpo import axpo_with

AXPO_STRATA: Final = axpo_with("strata", "strata", "advantages", strata=0.5)
"""Half of a rollout's advantage is that among the rollouts that call a tool, or call none (`advantages.strata`).

AXPO repairs as many prefixes as its budget allows; every other failed call of a mixed group keeps a negative advantage,
which this halves where all calls failed. Compared with AXPO at the same rollouts. Untested at scale."""
