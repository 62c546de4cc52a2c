from __future__ import annotations

from typing import Any

import pytest

from axpo.diagnostics._collapse import ToolCollapse, tool_collapse

COLLAPSING = [0.3] * 5 + [0.2, 0.15, 0.1, 0.05, 0.0, 0.0]


def history(rates: list[float | None], **metrics: Any) -> list[dict[str, Any]]:
    return [{"tool_attempt_rate": rate, **metrics} for rate in rates]


def paired(acting: float, guessing: float) -> dict[str, float]:
    return {"paired_questions": 4.0, "paired_tool_pass1": acting, "paired_no_tool_pass1": guessing}


def test_the_alarm_always_fires_when_the_smoothed_rate_falls_below_half_of_its_peak():
    alarms = [tool_collapse(history(COLLAPSING[:end])) for end in range(1, len(COLLAPSING) + 1)]
    # Trailing means from the fifth step on: .30 .28 .25 .21 .16 .10 .06; the peak's half is .15.
    assert alarms == [None] * 9 + [ToolCollapse.ACTING_DID_NOT_PAY] * 2


@pytest.mark.parametrize(
    ("metrics", "kind"),
    [
        (paired(0.5, 0.4), ToolCollapse.ACTING_PAID),
        (paired(0.4, 0.4), ToolCollapse.ACTING_PAID),
        (paired(0.39, 0.4), ToolCollapse.ACTING_DID_NOT_PAY),
        (paired(0.39, 0.4) | {"all_wrong_tool_subgroups": 0.25}, ToolCollapse.ACTING_COULD_PAY),
        (paired(0.39, 0.4) | {"all_wrong_tool_subgroups": 0.24}, ToolCollapse.ACTING_DID_NOT_PAY),
        (paired(0.5, 0.4) | {"all_wrong_tool_subgroups": 0.9}, ToolCollapse.ACTING_PAID),
        ({"selected_prefixes": 2.0, "recovery_rate": 0.7, "no_tool_pass1": 0.6}, ToolCollapse.ACTING_COULD_PAY),
        ({"selected_prefixes": 2.0, "recovery_rate": 0.6, "no_tool_pass1": 0.6}, ToolCollapse.ACTING_DID_NOT_PAY),
        ({"failed_to_act": 0.1}, ToolCollapse.ACTING_COULD_PAY),
        ({}, ToolCollapse.ACTING_DID_NOT_PAY),
    ],
)
def test_the_alarm_says_whether_acting_paid(metrics, kind):
    assert tool_collapse(history(COLLAPSING, **metrics)) is kind


def test_what_happened_before_the_peak_does_not_count():
    rising, falling = [0.1, 0.3, 0.5, 0.5, 0.5], [0.3, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]
    worse_before = history(rising[:-1], **paired(0, 0.4)) + history([0.5, *falling], **paired(0.5, 0.4))
    assert tool_collapse(worse_before) is ToolCollapse.ACTING_PAID
    worse_since = history(rising, **paired(0.5, 0.4)) + history(falling, **paired(0.0, 0.4))
    assert tool_collapse(worse_since) is ToolCollapse.ACTING_DID_NOT_PAY


def test_steps_weigh_as_many_questions_as_they_paired():
    many = {"paired_questions": 9.0, "paired_tool_pass1": 0.0, "paired_no_tool_pass1": 0.2}
    few = {"paired_questions": 1.0, "paired_tool_pass1": 1.0, "paired_no_tool_pass1": 0.0}
    steps = history([0.9], **many) + history([0.1], **few)
    assert tool_collapse(steps, window=1) is ToolCollapse.ACTING_DID_NOT_PAY
    assert tool_collapse(history([0.9], **few) + history([0.1], **few), window=1) is ToolCollapse.ACTING_PAID


def test_the_alarm_needs_a_window_and_ignores_undefined_steps():
    assert tool_collapse([]) is None
    assert tool_collapse(history([0.9, 0.0, 0.0, 0.0])) is None
    assert tool_collapse(history([0.0] * 10)) is None
    undefined: list[dict[str, Any]] = [{"tool_attempt_rate": None}, {}]
    assert tool_collapse(undefined + history([0.9, 0.0]) + undefined, window=1) is not None
