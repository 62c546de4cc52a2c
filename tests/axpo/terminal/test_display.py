from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from axpo.run.display import Display
from axpo.settings.config import TrainConfig
from axpo.terminal.display import Plain, Terminal, open_display, sparkline

CONFIG = TrainConfig(steps=40)
EVALUATION = {
    "step": 0,
    "questions": 100,
    "metrics": {"pass1": {"value": 0.386, "n": 100, "low": 0.3, "high": 0.48}, "pass4": {"value": None, "low": None}},
}


def record(step: int, **values: float | None) -> dict[str, Any]:
    metrics = {"reward_mean": 0.25, "tool_attempt_rate": 0.5, "all_wrong_tool_subgroups": None, "recovery_rate": 1.0}
    return {"step": step, "seconds_step": 1.5, **metrics, **values}


def shown(terminal: bool, steps: range) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, color_system=None)
    with open_display(console) as display:
        display.start(CONFIG, steps.start)
        display.evaluation({**EVALUATION, "metrics": {"pass1": EVALUATION["metrics"]["pass1"]}})
        for step in steps:
            display.phase("sampling")
            display.step(record(step + 1))
        display.note("a note with [brackets]")
    return output.getvalue()


def test_the_display_suits_where_the_output_goes():
    assert isinstance(open_display(Console(file=io.StringIO())), Plain)
    assert isinstance(open_display(Console(file=io.StringIO(), force_terminal=True)), Terminal)


def test_plain_lines_are_few_and_complete():
    lines = shown(False, range(40)).splitlines()
    assert lines[0] == "AXPO on VisualZoom-v0, seed 0"
    assert lines[1] == "evaluation at step 0, 100 held-out questions:  Pass@1 0.39 (0.30-0.48)"
    assert lines[2] == (
        "step 2/40  reward 0.25  tool attempts 0.50  tool subgroups all wrong -  prefixes recovered 1.00  1.50 s"
    )
    assert len(lines) == 3 + 20
    assert lines[-2].startswith("step 40/40")
    assert lines[-1] == "a note with [brackets]"


def test_plain_lines_of_a_resumed_run_say_where_it_goes_on():
    assert shown(False, range(37, 40)).splitlines()[0] == "AXPO on VisualZoom-v0, seed 0, from step 37"


def test_a_terminal_shows_progress_time_left_and_the_four_metrics():
    text = shown(True, range(3))
    assert "3/40" in text
    assert "left" in text
    for label in ("reward", "tool attempts", "tool subgroups all wrong", "prefixes recovered"):
        assert label in text
    assert "a note with [brackets]" in text
    assert "Pass@1 0.39 (0.30-0.48)" in text


@pytest.mark.parametrize("width", [20, 40, 79, 80, 81, 100, 200])
def test_no_number_is_cut_at_any_width(width):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=width, color_system=None)
    with open_display(console) as display:
        display.start(TrainConfig(steps=4321, env="axpo/AnEnvironmentOfQuiteALongName-v0", seed=1234567), 0)
        display.step(record(4000, reward_mean=0.125))
        display.step(record(4320, reward_mean=0.375))
        display.phase("evaluation 40%, about 1 h 12 min left")
        if isinstance(display, Terminal):
            console.print(display.drawing())
    shown_lines = output.getvalue().splitlines()
    assert any("1234567" in line for line in shown_lines)
    if isinstance(display, Terminal):
        assert any("4320/4321" in line for line in shown_lines)
        assert any("reward" in line and "0.38" in line for line in shown_lines)
        assert any("40%, about 1 h 12 min left" in line for line in shown_lines)
    else:
        assert any("step 4320/4321  reward 0.38  tool attempts 0.50" in line for line in shown_lines)


@pytest.mark.parametrize("terminal", [False, True])
def test_undefined_metrics_are_shown_as_such(terminal):
    output = io.StringIO()
    display: Display
    with open_display(Console(file=output, force_terminal=terminal, width=120)) as display:
        display.start(TrainConfig(steps=1), 0)
        display.step(record(1, reward_mean=None, recovery_rate=None))
        display.evaluation({**EVALUATION, "metrics": {"pass1": {"value": None, "low": None, "high": None}}})
    assert "Pass@1 -" in output.getvalue()


def test_a_sparkline_leaves_gaps_where_nothing_is_defined():
    assert sparkline([0.0, None, 0.5, 1.0]) == "▁ ▅█"
    assert sparkline([-1.0, 2.0]) == "▁█"
    assert sparkline([]) == ""
