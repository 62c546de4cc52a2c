from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from axpo.records._jsonl import JsonLines
from axpo.records.run_log import RunLog
from axpo.settings.config import OptimConfig, TrainConfig
from axpo.viewer._curves import strands
from axpo.viewer._runs import Shelf

RunMaker = Callable[..., Path]
Show = Callable[..., TestClient]


def labels(*folders: Path) -> list[tuple[str, str, list[str]]]:
    found = strands(list(Shelf(folders).runs().values()))
    return [(strand.label, strand.role, [run.name for run in strand.runs]) for strand in found]


def chart(client: TestClient, title: str) -> list[list[dict[str, Any]]]:
    charts: dict[str, Any] = {each["title"]: each["lines"] for each in client.get("/curves.json").json()["charts"]}
    lines: list[list[dict[str, Any]]] = charts[title]
    return lines


def test_seeds_of_one_setting_are_one_line(tmp_path: Path, finished_run: RunMaker) -> None:
    runs = [
        finished_run(TrainConfig(method=method, steps=2, seed=seed, out=str(tmp_path / f"{method}-{seed}")))
        for method in ("grpo", "axpo")
        for seed in (0, 1)
    ]
    assert labels(*runs) == [
        ("GRPO", "grpo", ["grpo-0", "grpo-1"]),
        ("AXPO", "axpo", ["axpo-0", "axpo-1"]),
    ]


def test_lines_of_one_method_tell_what_they_differ_in(tmp_path: Path, finished_run: RunMaker) -> None:
    runs = [
        finished_run(TrainConfig(steps=2, out=str(tmp_path / str(lr)), optim=OptimConfig(lr=lr)))
        for lr in (0.0001, 0.0002)
    ]
    found = labels(*runs)
    assert [label for label, _, _ in found] == ["AXPO, optim.lr 0.0001", "AXPO, optim.lr 0.0002"]
    assert len({role for _, role, _ in found}) == 2


def test_bands_span_the_seeds(tmp_path: Path, finished_run: RunMaker, show: Show) -> None:
    runs = [finished_run(TrainConfig(steps=2, seed=seed, out=str(tmp_path / f"{seed}"))) for seed in (0, 1)]
    with RunLog.open(runs[1], tensorboard=False) as log:
        log.append_step({"step": 3, "reward_mean": 1.0})
    ((curve,),) = chart(show(*runs), "Reward")
    # Both have 0.25 and 0.5: trailing means 0.25 and 0.375; one alone goes on, to (0.25 + 0.5 + 1) / 3.
    assert curve["steps"] == [1, 2, 3]
    assert curve["mean"] == [0.25, 0.375, pytest.approx(0.583333)]
    assert curve["low"] == curve["high"] == curve["mean"]
    assert "single" not in curve


def test_evaluations_are_drawn_as_they_are(tmp_path: Path, finished_run: RunMaker, show: Show) -> None:
    run = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")), pass1=0.75)
    ((curve,),) = chart(show(run), "Pass@1, held out")
    assert curve == {"steps": [0, 2], "mean": [0.25, 0.75]}


def test_what_the_optimizer_did_is_drawn_behind_the_others(tmp_path: Path, finished_run: RunMaker, show: Show) -> None:
    run = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    with RunLog.open(run, tensorboard=False) as log:
        log.append_step({"step": 3, "grad_norm": 2.0, "entropy": 0.5, "lr": 0.001})
    client = show(run)
    titles = [each["title"] for each in client.get("/curves.json").json()["charts"]]
    assert titles[-3:] == ["Entropy", "Gradient norm", "Learning rate"]
    assert chart(client, "Gradient norm")[0][0]["mean"] == [None, None, 2.0]
    # The rate is no sample: it is drawn as it is.
    assert "single" not in chart(client, "Learning rate")[0][0]


def test_curves_are_sent_again_only_when_they_have_changed(tmp_path: Path, finished_run: RunMaker, show: Show) -> None:
    run = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    client = show(run)
    tag = client.get("/curves.json").headers["etag"]
    assert client.get("/curves.json", headers={"If-None-Match": tag}).status_code == 304
    with RunLog.open(run, tensorboard=False) as log:
        log.append_step({"step": 3, "reward_mean": 1.0})
    answer = client.get("/curves.json", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert [each["lines"][0][0]["steps"] for each in answer.json()["charts"] if each["title"] == "Reward"] == [
        [1, 2, 3]
    ]


def test_a_method_from_outside_is_not_imported_for_its_label(
    tmp_path: Path, finished_run: RunMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(TrainConfig(steps=1, out=str(tmp_path / "run")))
    config = run / "config.toml"
    config.write_text(config.read_text().replace('method = "axpo"', 'method = "antigravity_of_nobody:MINE"'))
    (tmp_path / "antigravity_of_nobody.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [label for label, _, _ in labels(run)] == ["MINE"]


def test_numbers_that_nothing_can_draw_are_left_out(tmp_path: Path, finished_run: RunMaker, show: Show) -> None:
    run = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    lines = JsonLines(run / "metrics.jsonl")
    for step, value in enumerate((10**400, 1e308, -1e308, "high", None, True, [1.0]), start=3):
        lines.append({"step": step, "reward_mean": value, "tokens": value})
    lines.append({"step": "last", "reward_mean": 1.0})
    client = show(run)
    ((curve,),) = chart(client, "Reward")
    assert curve["steps"] == list(range(1, 10))
    assert curve["single"] == [0.25, 0.5, *[None] * 7]
    assert client.get("/").status_code == 200
