import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from axpo.report._charts import inline_svg, write_picture
from axpo.report._palette import LIGHT
from axpo.report._panels import PANELS, Line, Panel, has_data, trailing_mean

REWARD = PANELS[0]
TOKENS = next(panel for panel in PANELS if panel.title == "Tokens")


def line(*values: float | None, metric: str = "reward_mean", role: str = "axpo") -> Line:
    run = tuple({"step": step, metric: value} for step, value in enumerate(values, start=1))
    return Line(label="AXPO", role=role, runs=(run,))


def heights(svg: str, role: str) -> list[float]:
    """The y coordinates of the bold curve of a role."""
    path = next(
        found.group(1)
        for found in re.finditer(r'<path d="([^"]*)"[^>]*style="([^"]*)"', svg)
        if f"var(--{role})" in found.group(2) and "stroke-width: 2.2" in found.group(2)
    )
    return [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)]


def test_trailing_mean_averages_the_defined_values_of_a_window() -> None:
    assert trailing_mean([1.0, 3.0, None, 5.0], 2) == [1.0, 2.0, 3.0, 5.0]
    assert trailing_mean([None, None, 4.0], 2) == [None, None, 4.0]
    assert trailing_mean([2.0, None, None], 2) == [2.0, 2.0, None]


def test_the_curve_goes_through_the_trailing_means() -> None:
    low, high = heights(inline_svg(REWARD, [line(0.0, 1.0)]), "axpo")
    full, empty = heights(inline_svg(REWARD, [line(1.0, 1.0)]), "axpo")[0], low
    assert high == pytest.approx((full + empty) / 2, abs=0.01)


def test_costs_are_summed_over_steps() -> None:
    first, second, third = heights(inline_svg(TOKENS, [line(10.0, None, 20.0, metric="tokens")]), "axpo")
    assert first == second
    assert first > third


def test_shares_outside_zero_to_one_are_not_cut_off() -> None:
    below, above = heights(inline_svg(REWARD, [line(-2.0, 4.0)]), "axpo")
    assert 0 < above < below < 180
    assert "%" not in "".join(ET.fromstring(inline_svg(REWARD, [line(-2.0, 4.0)])).itertext())


def test_charts_of_one_page_share_its_colours_and_no_ids_or_styles() -> None:
    first, second = (inline_svg(panel, [line(0.5, 0.5, metric=panel.metrics[0])]) for panel in PANELS[:2])
    assert not any(colour in first for colour in LIGHT.values())
    assert "var(--axpo)" in first
    assert "<style" not in first
    assert not set(re.findall(r' id="([^"]*)"', first)) & set(re.findall(r' id="([^"]*)"', second))


def test_titles_are_escaped() -> None:
    panel = Panel(title='a "b" <c>', caption="", metrics=("reward_mean",))
    assert ET.fromstring(inline_svg(panel, [line(0.5)])).attrib["aria-label"] == 'a "b" <c>'


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
    both = inline_svg(REWARD, [Line(label="AXPO", role="axpo", runs=(run_a, run_b))])
    middle = heights(inline_svg(REWARD, [line(0.4)]), "axpo")[0]
    top = heights(inline_svg(REWARD, [line(0.6)]), "axpo")[0]
    assert heights(both, "axpo") == pytest.approx([middle, middle, top], abs=0.01)
    assert "opacity: 0.15" in both


def test_pictures_are_the_same_each_time_and_of_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    lines = [line(0.1, 0.9), line(0.3, 0.2, role="grpo")]
    for name in ("a.svg", "b.svg", "c.png"):
        write_picture(lines, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    ET.parse(tmp_path / "a.svg")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a \.svg or \.png file; got .*d\.pdf"):
        write_picture(lines, tmp_path / "d.pdf")
