from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.probes import call_clusters
from axpo_envs.types import CallOutcome, CallRecord, ToolCall, ToolResult

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.floats(0, 3, allow_nan=False)
    | st.sampled_from(["a", "A ", "b"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "label"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def call(arguments: Any, name: str = "zoom", outcome: CallOutcome = CallOutcome.EXECUTED) -> CallRecord:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return CallRecord(call=ToolCall(name=name, arguments=written), outcome=outcome, result=ToolResult())


def boxes(*found: list[float], overlap: float = 0.5) -> tuple[int, ...]:
    return call_clusters([call({"bbox_2d": box}) for box in found], overlap=overlap)


def test_boxes_are_one_where_they_overlap_enough() -> None:
    whole, half, beside = [0, 0, 100, 100], [0, 0, 100, 50], [50, 0, 150, 100]
    assert boxes(whole, half) == (0, 0)  # 5,000 of 10,000
    assert boxes(whole, half, overlap=0.51) == (0, 1)
    assert boxes(whole, beside) == (0, 1)  # 5,000 of 15,000
    assert boxes(whole, beside, overlap=1 / 3) == (0, 0)
    assert boxes(whole, [100, 0, 200, 100]) == (0, 1)


def test_a_chain_of_overlaps_is_one_cluster_in_any_order() -> None:
    first, middle, last = [0, 0, 100, 100], [30, 0, 130, 100], [60, 0, 160, 100]
    assert boxes(first, last) == (0, 1)
    assert boxes(first, middle, last) == boxes(first, last, middle) == (0, 0, 0)


def test_swapped_edges_make_no_box() -> None:
    assert boxes([9, 9, 1, 1], [9, 9, 1, 1], [9, 9, 1, 2]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"query": "Peru  capital"}, {"query": " peru capital\n"}, True),
        ({"query": "Peru", "k": 3}, {"k": 3.0, "query": "Peru"}, True),
        ({"query": "Peru"}, {"query": "Chile"}, False),
        ({"k": 1}, {"k": True}, False),
        ({"k": 1}, {"k": "1"}, False),
        ({"k": None}, {}, False),
        ({"bbox": [0, 0, 9, 9], "label": "red"}, {"bbox": [0, 0, 9, 9], "label": "sign"}, True),
        ({"bbox": [0, 0, 9, 9], "image": 0}, {"bbox": [0, 0, 9, 9], "image": 1}, False),
        ({"boxes": [[0, 0, 9, 9], [0, 0, 2, 2]]}, {"boxes": [[0, 0, 9, 9], [5, 5, 9, 9]]}, False),
    ],
)
def test_arguments_tell_calls_apart(one: Any, other: Any, same: bool) -> None:
    assert (call_clusters([call(one), call(other)], ignored=("label",)) == (0, 0)) is same


def test_the_tool_tells_calls_apart() -> None:
    assert call_clusters([call({}), call({}, name="search")]) == (0, 1)


def test_calls_that_cannot_be_read_are_one_by_what_is_wrong() -> None:
    malformed = [call(text, name="", outcome=CallOutcome.MALFORMED) for text in ("x", "{")]
    unclosed = call("x", name="", outcome=CallOutcome.UNCLOSED)
    assert call_clusters([*malformed, unclosed, None, call({}), None]) == (0, 0, 1, 2, 3, 2)
    assert call_clusters([]) == ()


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_call_is_always_the_same_as_itself(values: list[Any]) -> None:
    calls = [call({"value": value}) for value in values]
    once = call_clusters(calls)
    assert call_clusters([*calls, *calls]) == (*once, *once)
    assert sorted(set(once)) == list(range(len(set(once))))
