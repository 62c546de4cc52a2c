from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from axpo_benchmarks import speed_table
from axpo_benchmarks.cli import main
from axpo_benchmarks.speed.left_out import LeftOut
from axpo_benchmarks.speed.rows import Absolute, Ratio, median_seconds


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, row in (
        ("fast", Ratio(name="slow way / fast way", ratio=4.2, target=3.0)),
        ("slow", Absolute(name="a step", value=5.0, unit="s", limit=3.0)),
    ):
        module = ModuleType(f"fake_{name}")
        module.measure = lambda row=row: [row]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"fake_{name}", module)
    monkeypatch.setattr(speed_table, "PARTS", {"fast": "fake_fast", "slow": "fake_slow"})


def test_targets_are_met_from_above_and_limits_from_below() -> None:
    assert Ratio(name="r", ratio=3.0, target=3.0).is_met
    assert not Ratio(name="r", ratio=2.9, target=3.0).is_met
    assert Absolute(name="a", value=3.0, unit="s", limit=3.0).is_met
    assert not Absolute(name="a", value=3.1, unit="s", limit=3.0).is_met
    assert Ratio(name="r", ratio=0.1, target=None).is_met
    assert Absolute(name="a", value=9.0, unit="s", limit=None).is_met


def test_an_action_is_called_once_unmeasured_and_then_as_often_as_asked() -> None:
    calls: list[int] = []
    assert median_seconds(lambda: calls.append(1), repeats=3, inner=5) >= 0.0
    assert len(calls) == 1 + 3 * 5


@pytest.mark.usefixtures("parts")
def test_rows_are_written_with_what_they_depend_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out" / "speed.json"
    assert main(["speed", "--json", str(file)]) == 0
    record = json.loads(file.read_text())
    assert record["rows"] == [
        {"name": "slow way / fast way", "ratio": 4.2, "target": 3.0},
        {"name": "a step", "value": 5.0, "unit": "s", "limit": 3.0},
    ]
    assert {"command", "date", "machine", "python", "versions"} < set(record)
    assert "missed" in capsys.readouterr().out


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("asked", [["fast"], ["--only", "fast"]])
def test_one_part_can_be_asked_for(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", *asked]) == 0
    output = capsys.readouterr().out
    assert "slow way / fast way" in output
    assert "a step" not in output


@pytest.mark.usefixtures("parts")
def test_a_part_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--only", "warp"]) == 2
    assert "expected some of fast, slow; got 'warp'" in capsys.readouterr().err


@pytest.mark.usefixtures("parts")
def test_a_part_that_cannot_be_measured_here_is_left_out_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    def measure() -> None:
        raise LeftOut("it needs a rocket: pip install rocket")

    sys.modules["fake_slow"].measure = measure  # type: ignore[attr-defined]
    assert main(["speed"]) == 0
    said = capsys.readouterr()
    assert "slow way / fast way" in said.out
    assert "slow is left out: it needs a rocket" in said.err
    assert main(["speed", "slow"]) == 1


def test_every_part_of_the_table_exists() -> None:
    for module in speed_table.PARTS.values():
        assert callable(__import__(module, fromlist=["measure"]).measure)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("evidence", "--steps", "0"), "steps: expected greater than or equal to 1; got 0"),
        (("evidence", "--families", "nothing"), "families: expected some of visual-zoom"),
        (("warm-start", "--questions", "0"), "questions: expected greater than or equal to 1; got 0"),
        (("warm-start", "--model", "./nowhere"), "model: there is no folder nowhere"),
        (("speed", "--json", "/dev"), "json: expected a file; /dev is a folder"),
        (("remote-server", "--url", "http://x/v1", "--checkpoint", "./nowhere"), "model: there is no folder nowhere"),
    ],
)
def test_bad_settings_are_one_message_before_any_work(
    arguments: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("axpo-bench: ")
    assert problem in err
    assert "Traceback" not in err
