"""Defines AXPO with graded credit: a prefix is worth the mean of its continuations, not whether any was right."""

from __future__ import annotations

from typing import Final

from axpo.algorithm.methods.axpo import axpo_with

AXPO_GRADED: Final = axpo_with("graded", "graded credit", "advantages", graded=True)
"""r_prefix = mean of the K rewards in place of Eq. 3, and r_k - mean in place of Eq. 2.

Compared with AXPO at the same rollouts, to which one right continuation of four is worth as much as four of four.
The estimate is that of VinePPO (arXiv:2410.01679) and TreeRL. Untested at scale."""
