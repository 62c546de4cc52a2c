"""Arguments whose checking would take exponential time are refused; large and deep ones are not."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from axpo_envs.tool.protocol import ToolArgumentError
from axpo_envs.tools import tool


class Leaf(pydantic.BaseModel):
    child: Leaf | Branch | None = None


class Branch(pydantic.BaseModel):
    child: Leaf | Branch | None = None
    weight: int = 0


@tool
def plant(tree: Leaf | Branch, seeds: list[Leaf] | None = None) -> str:
    """Plants a tree."""
    return "planted"


def nested(depth: int, inmost: Any) -> Any:
    return {"child": nested(depth - 1, inmost)} if depth else inmost


def test_a_union_of_models_that_hold_each_other_is_not_tried_in_every_way() -> None:
    with pytest.raises(ToolArgumentError, match="more than 20000 checks"):
        plant.validate({"tree": nested(40, {"child": "wrong"})})


def test_ordinary_arguments_are_validated() -> None:
    plant.validate({"tree": nested(6, {"weight": 3})})
    plant.validate({"tree": {}, "seeds": [{}] * 30_000})
    with pytest.raises(ToolArgumentError, match="tree"):
        plant.validate({"tree": nested(3, {"child": "wrong"})})
