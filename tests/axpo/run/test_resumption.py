from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo.cli import main
from axpo.records.run_log import read_changes
from axpo.run._resumption import changed, differences
from axpo.run.display import Silent
from axpo.run.locating import located
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import read_toml, to_toml
from axpo.settings.sft import SftConfig
from axpo_agents.transformers_policy import LoadSettings, load_policy


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


def test_a_finished_run_that_is_made_longer_is_the_longer_run(toy, tmp_path):
    long = axpo.train(toy.toy_config(tmp_path / "long", steps=5), display=Silent())
    axpo.train(toy.toy_config(tmp_path / "run", steps=2), display=Silent())
    extended = axpo.resume(tmp_path / "run", changes={"steps": 5}, display=Silent())
    assert toy.timeless(extended.metrics) == toy.timeless(long.metrics)
    assert (extended.checkpoint / "model.safetensors").read_bytes() == (
        long.checkpoint / "model.safetensors"
    ).read_bytes()
    assert read_toml(tmp_path / "run" / "config.toml", TrainConfig).steps == 5
    assert read_changes(tmp_path / "run") == [{"step": 2, "settings": {"steps": {"before": 2, "after": 5}}}]
    assert axpo.resume(tmp_path / "run", display=Silent()).metrics[-1]["step"] == 5


def test_a_run_that_began_with_a_model_in_memory_may_move(toy, tmp_path):
    policy = load_policy("tiny-random", LoadSettings(seed=5))
    config = toy.toy_config(tmp_path / "run", steps=1)
    axpo.train(config, model=policy, display=Silent())
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    shutil.rmtree(moved / "checkpoints")
    assert axpo.resume(moved, display=Silent()).checkpoint.is_relative_to(moved)
    weights = moved / "start" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ConfigError, match=r"model: .*start: model\.safetensors is damaged"):
        axpo.resume(moved, display=Silent())


class TestCommand:
    @pytest.fixture
    def finished(self, toy: Any, tmp_path: Path) -> Path:
        axpo.train(toy.toy_config(tmp_path / "run", steps=2), display=Silent())
        return tmp_path / "run"

    def steps(self, run: Path) -> int:
        return len((run / "metrics.jsonl").read_text().splitlines())

    def test_an_option_that_equals_its_default_is_noticed(self, toy, finished, capsys, monkeypatch):
        class AskedError(Exception):
            pass

        def resume(folder: Path, *, changes: dict[str, Any]) -> None:
            raise AskedError(changes)

        monkeypatch.setattr(axpo, "resume", resume)
        with pytest.raises(AskedError) as asked:
            main(["train", "--resume", str(finished), "--steps", str(TrainConfig().steps), "--debug"])
        assert asked.value.args == ({"steps": TrainConfig().steps},)

    def test_more_steps_are_done_and_as_many_are_nothing_to_do(self, toy, finished, capsys):
        assert main(["train", "--resume", str(finished), "--steps", "3", "--log.keep-checkpoints", "1"]) == 0
        assert self.steps(finished) == 3
        assert [path.name for path in (finished / "checkpoints").iterdir()] == ["step-000003"]
        before = (finished / "metrics.jsonl").read_bytes()
        assert main(["train", "--resume", str(finished), "--steps", "3", "--method", "axpo"]) == 0
        assert (finished / "metrics.jsonl").read_bytes() == before

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (("--steps", "1"), "steps: expected at least the 2 that are done; got 1"),
            (("--seed", "7"), "seed: a run keeps what it was started with; --resume may change steps, "),
            (("--method", "grpo"), "method: a run keeps"),
            (("--log.eval-questions", "100"), "log.eval_questions: a run keeps"),
            (("--out", "elsewhere"), "out: a run keeps"),
            (("--config", "c.toml"), "leave --config out"),
            (("--steps", "0"), "steps: expected greater than or equal to 1"),
            (("--device", "cuda:55"), "policy.device: expected one of"),
        ],
    )
    def test_other_changes_are_refused_and_nothing_is_touched(self, toy, finished, capsys, options, problem):
        before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
        assert main(["train", "--resume", str(finished), *options]) == 2
        assert problem in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}

    def test_a_checkpoint_and_a_supervised_run_are_no_runs_to_resume(self, toy, finished, tmp_path, capsys):
        checkpoint = finished / "checkpoints" / "step-000002"
        before = sorted(path.name for path in checkpoint.iterdir())
        assert main(["train", "--resume", str(checkpoint)]) == 2
        assert f"is a checkpoint; its run is {finished}" in capsys.readouterr().err
        assert sorted(path.name for path in checkpoint.iterdir()) == before
        (tmp_path / "config.toml").write_text(to_toml(SftConfig()))
        assert main(["train", "--resume", str(tmp_path)]) == 2
        assert "is a supervised run" in capsys.readouterr().err

    def test_an_edited_seed_is_refused(self, toy, finished, capsys):
        config = finished / "config.toml"
        config.write_text(re.sub("(?m)^seed = .*", "seed = 4", config.read_text()))
        assert main(["train", "--resume", str(finished)]) == 1
        assert "config.toml was changed after the run had begun" in capsys.readouterr().err

    def test_an_empty_manifest_is_no_manifest(self, toy, finished):
        class Notes(Silent):
            def __init__(self) -> None:
                self.notes: list[str] = []

            def note(self, text: str) -> None:
                self.notes.append(text)

        axpo.resume(finished, changes={"steps": 3}, display=Silent())
        (finished / "checkpoints" / "step-000003" / "manifest.json").write_text("{}")
        notes = Notes()
        assert axpo.resume(finished, display=notes).metrics[-1]["step"] == 3
        assert any("step-000003" in note and "manifest.json" in note for note in notes.notes)


def test_settings_mean_the_same_in_any_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("rows.jsonl", "test"):
        (tmp_path / name).touch()
    (tmp_path / "model").mkdir()
    arguments = ("questions=rows.jsonl", 'other="./test"', "split=test", "missing=no.jsonl", "number=0.5")
    config = located(TrainConfig(model="model", out="runs/x", env_args=arguments))
    assert config.model == str(tmp_path / "model")
    assert config.out == str(tmp_path / "runs" / "x")
    assert config.env_args == (
        f"questions={tmp_path / 'rows.jsonl'}",
        f"other={tmp_path / 'test'}",
        "split=test",
        "missing=no.jsonl",
        "number=0.5",
    )
    assert located(TrainConfig(model="tiny")).model == "tiny"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("../beside.py:my/Env-v0", "{above}/beside.py:my/Env-v0"),
        ("gone.py:my/Env-v0", "{here}/gone.py:my/Env-v0"),
        ("lying_here:my/Env-v0", "{here}/lying_here.py:my/Env-v0"),
        ("json:my/Env-v0", "json:my/Env-v0"),
        ("package.module:my/Env-v0", "package.module:my/Env-v0"),
        ("axpo/VisualZoom-v0", "axpo/VisualZoom-v0"),
    ],
)
def test_an_environment_means_the_same_in_any_working_folder(tmp_path, monkeypatch, given, expected):
    here = tmp_path / "here"
    here.mkdir()
    for file in (tmp_path / "beside.py", here / "lying_here.py", here / "json.py"):
        file.touch()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
    found = expected.format(here=here, above=tmp_path)
    assert located(TrainConfig(env=given)).env == found
    assert located(SftConfig(env=given)).env == found


def test_differences_are_named_and_only_known_settings_change():
    before = TrainConfig()
    after = changed(before, {"steps": 70, "log.eval_every": 5}, done=60)
    assert differences(before, after) == {"steps": (60, 70), "log.eval_every": (0, 5)}
    assert json.loads(json.dumps(differences(before, after))) == {"steps": [60, 70], "log.eval_every": [0, 5]}
    with pytest.raises(ConfigError, match=r"optim\.lr: a run keeps"):
        changed(before, {"optim.lr": 1.0}, done=0)
    with pytest.raises(ConfigError, match="steps: expected a whole number"):
        changed(before, {"steps": "many"}, done=0)
