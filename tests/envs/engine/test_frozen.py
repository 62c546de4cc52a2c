import array
import datetime
import decimal
import pathlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pydantic
import pytest

from axpo_envs import ImageRef
from axpo_envs.engine._frozen import find_mutable


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    tags: tuple[Any, ...] = ()


@dataclass
class Loose:
    name: str


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Colour(Enum):
    RED = 1


class Frozen(pydantic.BaseModel, frozen=True):
    items: tuple[Any, ...]


class Thawed(pydantic.BaseModel):
    items: tuple[Any, ...]


class Valued:
    """Compares by value, as immutable containers of other libraries do."""

    def __init__(self, value: Hashable) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Valued) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class Forgetting(Valued):
    def __reduce__(self) -> Any:
        return Forgetting, (None,)


class Plain:
    """Compares by identity."""


IMAGE = ImageRef(np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize(
    "value",
    [
        None,
        (1, 2.5, "a", b"b", True, 1j),
        frozenset({1, (2, "a")}),
        Item("a", (Item("b"), Pair(1, Item("c")))),
        Frozen(items=(1, Colour.RED)),
        (datetime.date(2026, 1, 1), decimal.Decimal("1.5"), pathlib.PurePosixPath("/a"), range(3)),
        IMAGE,
        Valued((1, 2)),
    ],
)
def test_immutable_data_passes(value: Any) -> None:
    assert find_mutable(value) == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "it is a list, which is mutable"),
        ({"a": 1}, "it is a dict, which is mutable"),
        (OrderedDict(), "it is an OrderedDict, which is mutable"),
        (("a", [1]), "[1] is a list, which is mutable"),
        (Item("a", (1, Item("b", ({},)))), ".tags[1].tags[0] is a dict, which is mutable"),
        (Pair(1, set()), ".right is a set, which is mutable"),
        (Loose("a"), "it is a Loose, which is not frozen"),
        (Thawed(items=()), "it is a Thawed, which is not frozen"),
        (Frozen(items=([],)), ".items[0] is a list, which is mutable"),
        (frozenset({Plain}), "{...} is a type, which is compared by identity"),
        ((Plain(),), "[0] is a Plain, which is compared by identity"),
        (threading.Lock(), "it is a lock, which is compared by identity"),
        (np.zeros(2), "it is a ndarray, which is mutable"),
        (array.array("b"), "it is an array, which is mutable"),
        (MappingProxyType({}), "it is a mappingproxy, which is mutable"),
        (Valued(lambda: 0), "it is a Valued, which cannot be hashed and pickled (PicklingError: "),
        (Valued([1]), "it is a Valued, which cannot be hashed and pickled (TypeError: unhashable type: 'list')"),  # type: ignore[arg-type]
        (Forgetting(1), "it is a Forgetting, which differs from its pickled copy"),
    ],
)
def test_what_may_change_or_cannot_travel_is_named_with_its_place(value: Any, problem: str) -> None:
    assert find_mutable(value).startswith(problem)


def test_a_class_that_other_processes_cannot_find_is_named() -> None:
    @dataclass(frozen=True)
    class Local:
        name: str

    assert find_mutable((Local("a"),)).startswith("[0] is a ")
    assert find_mutable((Local("a"),)).endswith(
        "Local, which cannot be pickled: define the class at the top level of its module"
    )


def test_a_deeply_nested_value_is_looked_through() -> None:
    value: tuple[Any, ...] = ([],)
    for _ in range(5000):
        value = (value,)
    assert find_mutable(value).endswith("[0] is a list, which is mutable")
