"""Tests of comparisons of finished runs: rows, means, differences by hand; nothing is trained."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from axpo.cli import main
from axpo.compare.finished import finished_runs, rows_of
from axpo.compare.standings import standings
from axpo.compare.standings_page import page_of
from axpo.records.outcomes import Comparison, Entry, run_outcome
from axpo.records.run_log import RunLog
from axpo.settings.config import ConfigError, OptimConfig, TrainConfig

RunMaker = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, finished_run: RunMaker) -> RunMaker:
    def make(name: str, *, pass1: float = 0.5, **settings: object) -> Path:
        return finished_run(replace(TrainConfig(steps=2, out=str(tmp_path / name)), **settings), pass1=pass1)

    return make


@pytest.fixture
def runs(run: RunMaker) -> list[Path]:
    """GRPO with seeds 0, 1, 2, and AXPO with seeds 2, 1 and 7."""
    found = [run(f"g{seed}", method="grpo", seed=seed, pass1=0.5 + seed / 8) for seed in range(3)]
    return found + [run(f"a{seed}", method="axpo", seed=seed, pass1=p) for seed, p in ((2, 1.0), (1, 0.75), (7, 0.5))]


def test_means_spread_and_paired_differences_are_those_made_by_hand(runs: list[Path]) -> None:
    grpo, axpo = standings(finished_runs(runs)).rows
    assert [(row.label, len(row.runs)) for row in (grpo, axpo)] == [("GRPO", 3), ("AXPO", 3)]
    first, second, difference = grpo.measures["pass1"], axpo.measures["pass1"], axpo.differences["pass1"]
    assert first is not None
    assert second is not None
    assert difference is not None
    assert (first.mean, first.sd, first.n) == (0.625, 0.125, 3)
    assert (second.mean, second.sd) == (0.75, 0.25)
    # Seeds 2 and 1 are shared: 1 - 0.75 and 0.75 - 0.625.
    assert axpo.shared == (2, 1)
    assert (difference.mean, difference.n) == (0.1875, 2)
    half = 12.706205 * 0.0883883 / 2**0.5
    assert (difference.low, difference.high) == (pytest.approx(0.1875 - half), pytest.approx(0.1875 + half))
    assert grpo.differences == {}
    assert axpo.measures["all_wrong_tool_subgroups"] is None
    tokens = axpo.measures["tokens"]
    assert tokens is not None
    assert (tokens.mean, tokens.sd) == (200.0, 0.0)


def test_rows_are_told_apart_by_what_differs(run: RunMaker) -> None:
    folders = [run("a", optim=OptimConfig(weight_decay=0.0)), run("b", optim=OptimConfig(weight_decay=0.1))]
    folders += [
        run("c", seed=1, optim=OptimConfig(weight_decay=0.1), policy=replace(TrainConfig().policy, packing="rows"))
    ]
    rows = rows_of(finished_runs(folders))
    assert {label: len(row) for label, row in rows.items()} == {
        "AXPO (optim.weight_decay=0.0)": 1,
        "AXPO (optim.weight_decay=0.1)": 2,
    }


def test_a_run_of_an_older_version_stands_beside_its_like(run: RunMaker) -> None:
    now, old = run("now", audit_log="logs/now"), run("old", seed=1, audit_log="logs/old")
    settings = tomllib.loads((old / "config.toml").read_text(encoding="utf-8"))
    for name in ("ray", "replay", "method"):
        del settings[name]
    del settings["loss"]["max_importance"]
    with RunLog.open(old, tensorboard=False) as log:
        log.change_config(tomli_w.dumps(settings), {"step": 2})
    assert {label: len(row) for label, row in rows_of(finished_runs([now, old])).items()} == {"AXPO": 2}


def test_runs_that_share_no_seed_are_not_compared(run: RunMaker) -> None:
    first, second = standings(finished_runs([run("g", method="grpo", seed=0), run("a", method="axpo", seed=1)])).rows
    assert first.measures["pass1"] is not None
    assert second.differences["pass1"] is None
    assert second.shared == ()


def test_a_comparison_stands_for_its_runs(tmp_path: Path, run: RunMaker) -> None:
    folder = run("both/grpo", method="grpo").parent
    entry = Entry(name="grpo", runs=(run_outcome(folder / "grpo", seed=0, relative_to=folder),))
    Comparison(start=None, entries=(entry,), steps=2, machine={}).write(folder)
    assert [each.folder for each in finished_runs([folder])] == [folder / "grpo"]


def test_what_cannot_be_compared_is_said_before_anything_is_written(tmp_path: Path, run: RunMaker) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="expected the folder of a run or of a comparison"):
        finished_runs([tmp_path / "empty"])
    first = run("a")
    with pytest.raises(ConfigError, match="given twice"):
        finished_runs([first, tmp_path / "." / "a"])
    with pytest.raises(ConfigError, match="expected each seed once"):
        standings(finished_runs([first, run("b")]))
    with RunLog.open(first, tensorboard=False) as log:
        log.append_step({"step": 3, "rollouts": 1, "tokens": 1, "seconds_step": 1})
    with pytest.raises(ConfigError, match="expected a finished run"):
        finished_runs([first])


def test_the_command_writes_tables_a_file_and_a_page(
    tmp_path: Path, runs: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    figures, page = tmp_path / "out" / "figures.json", tmp_path / "out" / "page.html"
    assert main(["compare", *map(str, runs), "--json", str(figures), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "62.5% ± 12.5" in said
    assert "+18.8% (" in said
    found = json.loads(figures.read_text())
    assert found["compared_with"] == "GRPO"
    assert found["rows"]["AXPO"]["differences"]["pass1"]["mean"] == 0.1875
    assert [each["seed"] for each in found["rows"]["AXPO"]["runs"]] == [2, 1, 7]
    text = page.read_text(encoding="utf-8")
    assert "Minus GRPO" in text
    assert "default-src 'none'" in text
    assert not re.search(r"<script|<link|url\((?!#)", text)
    assert text.count("<svg") >= 2
    assert main(["compare", str(tmp_path / "nowhere")]) == 2


def test_runs_of_different_questions_are_said_not_to_compare(run: RunMaker) -> None:
    found = standings(finished_runs([run("a")]))
    assert "do not compare" not in page_of(found)
    assert "do not compare" in page_of(replace(found, asked=("4 held-out questions", "9 held-out questions")))
