"""What is known of model families, one a module, registered in a line each; users register theirs the same way."""

from __future__ import annotations

from typing import Final

from axpo_agents.families.family import Family, ImageTower
from axpo_agents.families.qwen2 import QWEN2
from axpo_agents.families.qwen2_5_vl import QWEN2_5_VL
from axpo_agents.families.qwen2_vl import QWEN2_VL
from axpo_agents.families.qwen3 import QWEN3
from axpo_agents.families.qwen3_vl import QWEN3_VL
from axpo_agents.families.qwen3_vl_moe import QWEN3_VL_MOE

__all__ = ["Family", "ImageTower", "families", "family_of", "image_families", "register_family"]

_FAMILIES: Final[dict[str, Family]] = {}


def register_family(family: Family) -> None:
    """Makes a family known by its model type.

    Raises:
        ValueError: another one has that model type.
    """
    if _FAMILIES.setdefault(family.model_type, family) != family:
        raise ValueError(f"expected one family of the model type {family.model_type!r}; there is another one")


def families() -> tuple[Family, ...]:
    """The registered families."""
    return tuple(_FAMILIES.values())


def family_of(model_type: str) -> Family:
    """What is known of a model type: of one that is not registered, that it reads text and nothing else."""
    return _FAMILIES.get(model_type) or Family(model_type=model_type)


def image_families() -> tuple[str, ...]:
    """The model types that read images."""
    return tuple(family.model_type for family in _FAMILIES.values() if family.images is not None)


for _family in (QWEN3_VL, QWEN3_VL_MOE, QWEN2_5_VL, QWEN2_VL, QWEN3, QWEN2):
    register_family(_family)
