from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from axpo.settings.config import ConfigError
from axpo_benchmarks.envs import EnvsConfig, _rows, run_envs
from axpo_benchmarks.envs._measuring import measure
from axpo_benchmarks.envs._picturing import file_name
from axpo_benchmarks.envs._row import Bound, EnvRow, Share
from axpo_envs.suite.visual_zoom import FavouriteGuesser, RandomFloor, ZoomExpert

ROW = EnvRow(
    name="small",
    env_id="axpo/VisualZoom-v0",
    settings={"split": "test", "image_size": 64, "view_size": 32, "guess_rate": 0.5},
    agents={"expert": ZoomExpert, "floor": RandomFloor, "single-query": FavouriteGuesser},
    bounds={"expert": Bound(at_least=0.99), "floor": Bound(below=0.01), "probe": Bound(below=0.4)},
    probe=lambda env, episodes: Share(right=1, n=episodes, note="guessing: 10 %"),
)


def test_each_agent_is_measured_in_its_column_and_held_to_its_bound() -> None:
    measured = measure(ROW, 40)
    values = {column: estimate.value for column, estimate in measured.shares.items()}
    assert set(values) == {"expert", "floor", "single-query", "probe"}
    assert values["expert"] == 1.0
    assert 0 < values["floor"] < 0.4 < values["single-query"] < 0.8
    assert values["probe"] == 1 / 40
    assert measured.notes == {"probe": "guessing: 10 %"}
    assert measured.broken == ("floor",)
    assert measured.snapshot.last_bytes > 0
    assert set(measured.by_kind) == {"1 hops"}


def test_a_missing_column_breaks_its_bound() -> None:
    row = dataclasses.replace(ROW, probe=None, bounds={"probe": Bound(below=0.4)})
    assert measure(row, 2).broken == ("probe",)


def test_the_command_prints_a_table_writes_json_and_fails_where_a_bound_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("axpo_benchmarks.envs._command.rows", lambda names: (ROW,))
    assert run_envs(EnvsConfig(episodes=40, json=tmp_path / "envs.json")) == 1
    printed = capsys.readouterr().out
    assert "small: floor must be < 1%" in printed
    assert "100.0% (" in printed
    (record,) = json.loads((tmp_path / "envs.json").read_text(encoding="utf-8"))["environments"]
    assert record["metrics"]["expert"]["value"] == 1.0
    assert record["metrics"]["one-hop-short"] is None
    assert set(record["metrics"]["floor"]) == {"value", "n", "low", "high"}
    assert {"command", "date", "machine"} <= set(record["measured"])


def test_a_file_keeps_the_environments_that_are_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "envs.json"
    earlier = [{"name": "another", "n": 1}, {"name": "small", "n": 2}]
    file.write_text(json.dumps({"environments": earlier}), encoding="utf-8")
    monkeypatch.setattr("axpo_benchmarks.envs._command.rows", lambda names: (ROW,))
    run_envs(EnvsConfig(episodes=2, json=file))
    another, small = json.loads(file.read_text(encoding="utf-8"))["environments"]
    assert another == earlier[0]
    assert (small["name"], small["metrics"]["expert"]["n"]) == ("small", 2)


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"runs": []}', '{"environments": [1]}'])
def test_a_file_of_something_else_is_not_overwritten(text: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a file of measured environments, or none"):
        run_envs(EnvsConfig(episodes=2, json=file))
    assert file.read_text(encoding="utf-8") == text


def test_every_row_can_be_loaded_and_unknown_ones_are_told() -> None:
    assert all(row.env_id in _rows._MODULES for row in _rows.rows(()))
    with pytest.raises(ConfigError, match="only: expected some of axpo/Agentic-v0"):
        _rows.rows(("axpo/Nothing-v0",))


def test_pictures_are_the_ends_of_an_experts_first_episodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("axpo_benchmarks.envs._command.rows", lambda names: (ROW,))
    assert run_envs(EnvsConfig(pictures=tmp_path / "new")) == 0
    written = tmp_path / "new" / "small.png"
    assert capsys.readouterr().out.split() == [str(written)]
    with Image.open(written) as image:
        assert image.size == (1280, 720)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("axpo/MultiHopSearch-v0", "multi-hop-search"),
        ("axpo/PerceptionQA-v0", "perception-qa"),
        ("axpo/VisualZoom-v0, closed", "visual-zoom-v0-closed"),
    ],
)
def test_pictures_are_called_as_their_rows(name: str, expected: str) -> None:
    assert file_name(name) == expected
