"""The families of problems, one a module, each a tuple of makers of its kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from axpo_envs.suite.python_reasoning._problem import Maker
from axpo_envs.suite.python_reasoning.families import algebra, charts, counting, plane_geometry, tables

FAMILIES: Final[Mapping[str, tuple[Maker, ...]]] = {
    "plane_geometry": plane_geometry.KINDS,
    "counting": counting.KINDS,
    "charts": charts.KINDS,
    "tables": tables.KINDS,
    "algebra": algebra.KINDS,
}
"""The makers of problems by family. To add a family, write a module and name it here."""

__all__ = ["FAMILIES"]
