from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo.run.display import Silent
from axpo.run.trainer import RunResult


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


class Recorder(axpo.Callback):
    """Writes down when it is called; may end the run at a step."""

    def __init__(self, *, stop_at: int | None = None, error_at: int | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.stop_at, self.error_at = stop_at, error_at

    def after_step(self, moment: axpo.RunMoment, record: Mapping[str, Any]) -> None:
        assert record["step"] == moment.step
        assert moment.policy.version > 0
        self.calls.append(("step", moment.step))
        if moment.step == self.stop_at:
            raise axpo.StopRun("enough")
        if moment.step == self.error_at:
            raise ZeroDivisionError("a bug of the callback")

    def after_evaluation(self, moment: axpo.RunMoment, record: Mapping[str, Any]) -> None:
        assert record["metrics"]["pass1"]["value"] is not None
        self.calls.append(("evaluation", moment.step))

    def after_checkpoint(self, moment: axpo.RunMoment, checkpoint: Path) -> None:
        assert (checkpoint / "model.safetensors").is_file()
        assert checkpoint.is_relative_to(moment.folder)
        self.calls.append(("checkpoint", moment.step))


def train(config: axpo.TrainConfig, *callbacks: axpo.Callback) -> RunResult:
    return axpo.train(config, display=Silent(), callbacks=callbacks)


def test_callbacks_are_called_in_order_and_change_nothing(toy, tmp_path):
    log = {"eval_questions": 2, "eval_every": 2, "checkpoint_every": 2}
    recorder = Recorder()
    watched = train(toy.toy_config(tmp_path / "watched", log=log), recorder)
    assert recorder.calls == [
        ("evaluation", 0),
        ("step", 1),
        ("step", 2),
        ("checkpoint", 2),
        ("evaluation", 2),
        ("step", 3),
        ("checkpoint", 3),
        ("evaluation", 3),
    ]
    plain = train(toy.toy_config(tmp_path / "plain", log=log))
    assert toy.timeless(watched.metrics) == toy.timeless(plain.metrics)


def test_a_callback_can_end_the_run_and_the_run_is_whole(toy, tmp_path):
    result = train(toy.toy_config(tmp_path / "run"), Recorder(stop_at=2))
    assert [record["step"] for record in result.metrics] == [1, 2]
    assert result.checkpoint.name == "step-000002"
    assert result.checkpoint.is_dir()
    assert (result.folder / "report.html").is_file()


def test_a_run_can_be_ended_at_a_checkpoint_too(toy, tmp_path):
    class Once(axpo.Callback):
        def after_checkpoint(self, moment: axpo.RunMoment, checkpoint: Path) -> None:
            raise axpo.StopRun("one checkpoint is enough")

    ended = train(toy.toy_config(tmp_path / "run", log={"checkpoint_every": 2}), Once())
    assert [record["step"] for record in ended.metrics] == [1, 2]
    both = train(toy.toy_config(tmp_path / "both"), Recorder(stop_at=1), Once())
    assert both.checkpoint.name == "step-000001"


def test_an_error_of_a_callback_stops_the_run_after_saving_it(toy, tmp_path):
    with pytest.raises(ZeroDivisionError, match="a bug of the callback"):
        train(toy.toy_config(tmp_path / "run"), Recorder(error_at=2))
    recorder = Recorder()
    resumed = axpo.resume(tmp_path / "run", display=Silent(), callbacks=[recorder])
    assert recorder.calls == [("step", 3), ("checkpoint", 3)]
    assert toy.timeless(resumed.metrics) == toy.timeless(train(toy.toy_config(tmp_path / "straight")).metrics)
