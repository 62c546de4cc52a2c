import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from axpo.report._charts import write_picture
from axpo.report._live_charts import LiveChart
from axpo.report._panels import PANELS, Line, Panel, has_data, trailing_mean
from axpo.report._step_charts import step_chart

REWARD = PANELS[0]
TOKENS = next(panel for panel in PANELS if panel.title == "Tokens")
BOTH = next(panel for panel in PANELS if len(panel.metrics) == 2)


def line(*values: float | None, metric: str = "reward_mean", role: str = "axpo") -> Line:
    run = tuple({"step": step, metric: value} for step, value in enumerate(values, start=1))
    return Line(label="AXPO", role=role, runs=(run,))


def chart(panel: Panel, *lines: Line) -> LiveChart:
    found = step_chart(panel, lines)
    assert found is not None
    return found


def heights(panel: Panel, *lines: Line) -> list[float]:
    """The y coordinates of the points of the first curve."""
    return [point.y for point in chart(panel, *lines).curves[0].points]


def test_trailing_mean_averages_the_defined_values_of_a_window() -> None:
    assert trailing_mean([1.0, 3.0, None, 5.0], 2) == [1.0, 2.0, 3.0, 5.0]
    assert trailing_mean([None, None, 4.0], 2) == [None, None, 4.0]
    assert trailing_mean([2.0, None, None], 2) == [2.0, 2.0, None]


def test_the_curve_goes_through_the_trailing_means_and_single_steps_are_faint() -> None:
    found = chart(REWARD, line(0.0, 1.0))
    (curve,) = found.curves
    assert curve.cells == ("0.0 %", "50.0 %")
    bottom, top = (row.at for row in (found.rows[0], found.rows[-1]))
    assert [point.y for point in curve.points] == [bottom, pytest.approx((top + bottom) / 2, abs=0.1)]
    assert curve.faint.endswith(f",{top}")
    assert curve.points[1].text == "step 2: 50.0 %"


def test_costs_are_summed_over_steps_and_told_in_few_characters() -> None:
    first, second, third = heights(TOKENS, line(10.0, None, 20.0, metric="tokens"))
    assert first == second > third
    assert [row.text for row in chart(TOKENS, line(4e6, metric="tokens")).rows] == ["0", "1M", "2M", "3M", "4M"]


def test_shares_outside_zero_to_one_are_not_cut_off() -> None:
    found = chart(REWARD, line(-2.0, 4.0))
    assert not any("%" in row.text for row in found.rows)
    low, high = found.rows[0].at, found.rows[-1].at
    assert all(high <= point.y <= low for point in found.curves[0].points)


def test_two_metrics_are_two_curves_that_can_be_told_apart() -> None:
    run = tuple({"step": step, "tool_pass1": 0.5, "no_tool_pass1": 0.25} for step in (1, 2))
    solid, dotted = chart(BOTH, Line(label="AXPO", role="axpo", runs=(run,))).curves
    assert (solid.dotted, dotted.dotted) == (False, True)
    assert solid.label != dotted.label


def test_of_many_steps_a_line_goes_through_all_and_some_tell_their_values() -> None:
    found = chart(REWARD, line(*(0.5,) * 1000))
    assert found.dense
    assert (len(found.places), found.places[0], found.places[-1]) == (100, "1", "1000")
    assert found.curves[0].line.count("L") == 999
    assert not chart(REWARD, line(0.5, 0.5)).dense


def test_a_chart_without_values_is_known_to_be_empty() -> None:
    assert has_data(REWARD, [line(None, 0.5)])
    assert not has_data(REWARD, [line(None), line(0.5, metric="tokens")])


def test_a_share_of_zero_is_drawn_and_a_count_that_stays_zero_is_not() -> None:
    prefixes = next(panel for panel in PANELS if panel.title == "Selected prefixes")
    assert has_data(REWARD, [line(0.0, 0.0)])
    assert not has_data(prefixes, [line(0.0, 0.0, metric="selected_prefixes")])
    assert has_data(prefixes, [line(0.0, 1.0, metric="selected_prefixes")])


def test_several_runs_are_drawn_as_their_mean_and_range() -> None:
    run_a, run_b = line(0.2, 0.2).runs[0], line(0.6, 0.6, 0.6).runs[0]
    (curve,) = chart(REWARD, Line(label="AXPO", role="axpo", runs=(run_a, run_b))).curves
    assert curve.cells == ("40.0 % (20.0 to 60.0 %)", "40.0 % (20.0 to 60.0 %)", "60.0 % (60.0 to 60.0 %)")
    assert curve.band
    assert not curve.faint


def test_pictures_are_the_same_each_time_and_of_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    lines = [line(0.1, 0.9), line(0.3, 0.2, role="grpo")]
    for name in ("a.svg", "b.svg", "c.png"):
        write_picture(lines, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    ET.parse(tmp_path / "a.svg")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a \.svg or \.png file; got .*d\.pdf"):
        write_picture(lines, tmp_path / "d.pdf")
