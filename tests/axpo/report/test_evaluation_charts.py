from typing import Any

import pytest

from axpo.report._evaluation_charts import evaluation_charts
from axpo.report._live_charts import Curve, LiveChart, Topic, live_chart
from axpo.report._panels import Line
from axpo.report._values import Value


def evaluation(step: int, pass1: float | None, **more: float) -> dict[str, Any]:
    return {"step": step, "metrics": {"pass1": {"value": pass1, "n": 8, **more}, "pass4": None}}


def drawn(*runs: tuple[dict[str, Any], ...]) -> tuple[LiveChart, ...]:
    return evaluation_charts([Line(label="AXPO", role="axpo", runs=runs)])


def test_a_start_and_an_end_are_no_curve() -> None:
    assert drawn((evaluation(0, 0.5), evaluation(9, 0.75))) == ()
    assert drawn(()) == ()


def test_every_evaluation_is_a_point_that_tells_its_interval() -> None:
    (chart,) = drawn((evaluation(0, 0.25, low=0.125, high=0.5), evaluation(5, None), evaluation(20, 0.75)))
    assert (chart.title, chart.places) == ("Pass@1", ("0", "5", "20"))
    (curve,) = chart.curves
    assert (curve.label, curve.role) == ("AXPO", "axpo")
    assert [point.text for point in curve.points] == ["step 0: 25.0 % (12.5 to 50.0 %), n 8", "step 20: 75.0 %, n 8"]
    assert curve.cells[1] == "undefined"


def test_seeds_are_drawn_as_their_mean_and_range() -> None:
    runs = [tuple(evaluation(step, value, low=0.0, high=1.0) for step in (0, 5, 10)) for value in (0.25, 0.5)]
    (chart,) = drawn(*runs)
    assert chart.curves[0].cells == ("37.5 % (25.0 to 50.0 %)",) * 3


def test_the_last_evaluation_at_a_step_counts() -> None:
    (chart,) = drawn((evaluation(0, 0.25), evaluation(5, 0.5), evaluation(5, 0.75), evaluation(9, 1.0)))
    assert chart.curves[0].cells == ("25.0 %, n 8", "75.0 %, n 8", "100.0 %, n 8")


def test_methods_keep_their_colours() -> None:
    lines = [
        Line(label=role, role=role, runs=(tuple(evaluation(step, 0.5) for step in (0, 5, 10)),))
        for role in ("grpo", "extra2")
    ]
    (chart,) = evaluation_charts(lines)
    assert [curve.role for curve in chart.curves] == ["grpo", "extra2"]


@pytest.mark.parametrize(("last", "share"), [(10.0, 0.5), (20.0, 0.25)])
def test_places_may_lie_where_their_numbers_say(last: float, share: float) -> None:
    value = Value(value=0.5, low=None, high=None, n=None)
    topic = Topic(title="", caption="", axis="step", places=("0", "5", "z"), positions=(0.0, 5.0, last))
    chart = live_chart(topic, [Curve(label="", values=(value, value, value))])
    assert chart is not None
    first, middle, end = (point.x for point in chart.curves[0].points)
    assert (middle - first) / (end - first) == pytest.approx(share, abs=0.01)
