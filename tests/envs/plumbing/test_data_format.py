"""Immutable data comes back from its bytes equal and of the same types, and reading never runs what was written."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import json
import pathlib
import pickle
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import ImageRef, Question, ToolStatus
from axpo_envs.plumbing.columns import Columns
from axpo_envs.plumbing.data_format import DataFormatError, read_data, write_data

RAN: list[str] = []


@dataclass(frozen=True, slots=True)
class Basket:
    items: tuple[str, ...]
    price: float = 0.0

    def __post_init__(self) -> None:
        RAN.append("constructor")


class Place(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = 1


class Odd:
    """Neither data class nor known."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd)

    def __hash__(self) -> int:
        return 1

    def __reduce__(self) -> Any:
        return _run, ()


def _run() -> Odd:
    RAN.append("pickle")
    return Odd()


def image(value: int) -> ImageRef:
    return ImageRef(np.full((2, 3, 3), value, np.uint8))


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.text(alphabet="\ud800\udfffa"),
    st.binary(max_size=50),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.timezone(datetime.timedelta(hours=-5, minutes=-30)))),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9)),
    st.builds(Place, st.integers(), st.integers()),
    st.builds(image, st.integers(0, 3)),
    st.just(Colour.RED),
    st.sampled_from(ToolStatus),
    st.just(pathlib.PurePosixPath("a/b")),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.floats(width=32, allow_nan=False).map(np.float32),
    st.booleans().map(np.bool_),
)
DATA = st.recursive(
    PLAIN,
    lambda parts: st.one_of(
        st.lists(parts, max_size=4).map(tuple),
        st.frozensets(parts, max_size=4),
        st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.binary()), max_size=3).map(
            lambda items: Columns(items.items())
        ),
        st.builds(Basket, st.lists(st.text()).map(tuple), st.floats(allow_nan=False)),
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """The types within a value."""
    if isinstance(value, tuple):
        return type(value), tuple(map(shape, value))
    return type(value)


@given(DATA)
def test_data_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    again = read_data(write_data(value))
    assert again == value
    assert shape(again) == shape(value)


def test_what_differs_only_in_kind_stays_apart() -> None:
    value = (1, 1.0, True, -0.0, float("inf"), (), frozenset(), b"", "", 10**400)
    assert repr(read_data(write_data(value))) == repr(value)


def test_an_image_that_occurs_again_is_written_once_and_is_one_object() -> None:
    data = write_data((image(1), image(1), image(2)))
    assert data.count(b"PNG\r") == 2
    first, second, _ = read_data(data)
    assert first is second


def test_a_users_class_is_filled_without_calling_it() -> None:
    data = write_data(Basket(("milk",), 1.5))
    RAN.clear()
    again = read_data(data)
    assert RAN == []
    assert again == Basket(("milk",), 1.5)


def test_a_pickle_is_read_only_where_its_writer_is_trusted() -> None:
    data = write_data(("a", Odd()))
    RAN.clear()
    with pytest.raises(DataFormatError, match=r"hold a .*\.Odd as a pickle"):
        read_data(data)
    assert RAN == []
    assert read_data(data, trusted=True) == ("a", Odd())
    assert RAN == ["pickle"]


def written(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "big") + bytes(8) + text


@pytest.mark.parametrize(
    "value",
    [
        {"object": ["os:system", {"command": "true"}]},
        {"object": ["subprocess:Popen", {"args": "true"}]},
        {"object": ["antigravity:fly", {}]},
        {"object": ["axpo.__main__:main", {}]},
        {"object": ["axpo_envs.types:Question", {"id": 1, "prompt": [], "answer": ""}]},
        {"object": ["axpo_envs.types:Question", {"id": "q", "prompt": "text", "answer": ""}]},
        {"object": ["axpo_envs.types:Question", {"id": "q", "prompt": [], "answer": "", "more": 1}]},
        {"object": ["axpo_envs.types:Question.__init__", {}]},
        {"object": [f"{__name__}:Basket", {"items": []}]},
        {"object": 1},
        {"enum": [f"{__name__}:Colour", "GREEN"]},
        {"enum": [f"{__name__}:Basket", "items"]},
        {"fraction": [1, 0]},
        {"image": 0},
        {"int": "0x"},
        {"unheard of": 1},
        {"int": "1", "float": "1"},
        {},
    ],
)
def test_what_nobody_wrote_is_refused(value: Any) -> None:
    with pytest.raises(DataFormatError):
        read_data(written(value))


@pytest.mark.parametrize("data", [b"", bytes(16), bytes(8) + b"\xff" * 8, written(1)[:-1], written(1) + b"1"])
def test_bytes_that_are_not_whole_are_refused(data: bytes) -> None:
    with pytest.raises(DataFormatError):
        read_data(data)


def test_what_is_nested_too_deeply_is_told() -> None:
    value: Any = ()
    for _ in range(10_000):
        value = (value,)
    with pytest.raises(DataFormatError, match="nested too deeply"):
        write_data(value)
    with pytest.raises(DataFormatError):
        read_data(len(text := b"[" * 100_000).to_bytes(8, "big") + bytes(8) + text)


def test_what_can_neither_be_written_nor_pickled_is_told() -> None:
    with pytest.raises(DataFormatError, match="function"):
        write_data((lambda: 1,))


def test_known_values_are_no_pickles() -> None:
    known = (Question(id="q", prompt=("?", image(1)), answer="1"), decimal.Decimal("1.50"), fractions.Fraction(1, 3))
    for value in (
        *known,
        np.float64(0.1),
        np.uint8(7),
        uuid.UUID(int=1),
        datetime.time(1, 2),
        datetime.date(2026, 1, 2),
    ):
        assert b'"pickle"' not in write_data(value)
        assert read_data(write_data(value)) == pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("kind", ["object", "datetime64[s]", "U3", "nonsense"])
def test_numbers_of_numpy_are_numbers(kind: str) -> None:
    with pytest.raises(DataFormatError):
        read_data(written({"numpy": [kind, 0]}))
