from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import axpo
from axpo.run import trackers
from axpo.run.display import Silent
from axpo.run.trackers import Tracked, make_tracker, register_tracker

RUN = Tracked(name="run", folder=Path("runs/run"), settings={"seed": 0, "betas": (0.9, 0.99), "lr": None}, id=None)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


class Notebook:
    """A tracker that writes down what it is told."""

    told: list[tuple[Any, ...]]

    def __init__(self) -> None:
        Notebook.told = []

    def begin(self, run: Tracked) -> str | None:
        self.told.append(("begin", run.name, run.id, run.settings["optim.minibatches"]))
        return "id-1"

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.told.append((step, *sorted(name for name in values if name in ("train/reward_mean", "eval/pass1"))))
        assert all(isinstance(value, float) for value in values.values())

    def end(self, *, finished: bool) -> None:
        self.told.append(("end", finished))


class Broken(Notebook):
    """A tracker whose service is away."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        super().log(values, step)
        raise ConnectionError("nobody answers")


class Noted(Silent):
    """A display that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_TRACKERS", dict(trackers._TRACKERS))
    register_tracker("notebook", Notebook)
    register_tracker("broken", Broken)


class StopAtOne(axpo.Callback):
    """Breaks a run off in its first step."""

    def after_step(self, moment: axpo.RunMoment, record: Mapping[str, Any]) -> None:
        if moment.step == 1:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("notebook")
def test_a_tracker_is_told_of_the_run_and_found_again_when_it_is_resumed(toy: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = toy.toy_config(out, steps=2, log={"trackers": ("notebook",), "eval_questions": 2})
    with pytest.raises(KeyboardInterrupt):
        axpo.train(config, display=Silent(), callbacks=(StopAtOne(),))
    minibatches = config.optim.minibatches
    assert Notebook.told == [("begin", "run", None, minibatches), (0, "eval/pass1"), ("end", False)]
    assert json.loads((out / "trackers.json").read_text()) == {"notebook": "id-1"}
    axpo.resume(out, display=Silent())
    assert Notebook.told == [
        ("begin", "run", "id-1", minibatches),
        (2, "train/reward_mean"),
        (2, "eval/pass1"),
        ("end", True),
    ]


@pytest.mark.usefixtures("notebook")
def test_a_tracker_that_fails_is_noted_once_and_ends_no_run(toy: Any, tmp_path: Path) -> None:
    display = Noted()
    config = toy.toy_config(tmp_path / "run", steps=2, log={"trackers": ("broken",), "eval_questions": 0})
    assert len(axpo.train(config, display=display).metrics) == 2
    assert [note for note in display.notes if "tracker" in note] == [
        "the tracker broken failed, the run goes on without it: ConnectionError: nobody answers"
    ]
    assert Notebook.told[1:] == [(1, "train/reward_mean")]


@pytest.mark.usefixtures("notebook")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("sacred",),
            "some of wandb, trackio, mlflow, notebook, broken, or package.module:NAME; got 'sacred'",
        ),
        (("notebook", "notebook"), "every tracker once; got notebook notebook"),
        (("builtins:dict",), r"to make a Tracker \(begin, log, end\); got {}"),
        (("wandb",), r"wandb needs the package wandb \(pip install wandb\)"),
    ],
)
def test_trackers_that_cannot_be_had_are_refused_before_the_run(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = toy.toy_config(tmp_path / "run", log={"trackers": names})
    with pytest.raises(axpo.ConfigError, match=message):
        axpo.train(config)
    assert not (tmp_path / "run").exists()


def test_a_name_stands_for_one_tracker() -> None:
    with pytest.raises(axpo.ConfigError, match="another tracker of the name 'wandb'"):
        register_tracker("wandb", Notebook)


class Calls:
    """Stands for a package: writes down every call, and answers with itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.id = self.run_id = "r1"
        self.info = self

    def __getattr__(self, name: str) -> Any:
        if name == "entities":
            return SimpleNamespace(Metric=lambda *given: given[:2] + given[3:], Param=lambda *given: given)

        def called(*given: Any, **named: Any) -> Calls:
            self.calls.append((name, given, named))
            return self

        return called

    def get_experiment_by_name(self, name: str) -> None:
        self.calls.append(("get_experiment_by_name", (name,), {}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "wandb",
            [
                ("init", (), {"project": "axpo", "name": "run", "id": None, "resume": "allow", "dir": "runs/run"}),
                ("log", ({"train/loss": 0.5},), {"step": 3}),
                ("finish", (), {"exit_code": 1}),
            ],
        ),
        (
            "trackio",
            [
                ("init", (), {"project": "axpo", "resume": "allow", "embed": False}),
                ("log", ({"train/loss": 0.5},), {"step": 3}),
                ("finish", (), {}),
            ],
        ),
        (
            "mlflow",
            [
                ("MlflowClient", (), {}),
                ("get_experiment_by_name", ("axpo",), {}),
                ("create_experiment", ("axpo",), {}),
                ("log_batch", ("r1",), {"params": [("seed", "0"), ("betas", "(0.9, 0.99)")]}),
                ("log_batch", ("r1",), {"metrics": [("train/loss", 0.5, 3)]}),
                ("set_terminated", ("r1",), {"status": "KILLED"}),
            ],
        ),
    ],
)
def test_services_are_called_as_their_packages_want_it(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: list[Any]
) -> None:
    package = Calls()
    monkeypatch.setitem(sys.modules, name, package)
    tracker = make_tracker(name)
    known = tracker.begin(RUN)
    assert known is not None
    tracker.log({"train/loss": 0.5}, 3)
    tracker.end(finished=False)
    seen = [
        (call, given, {key: value for key, value in named.items() if key not in ("config", "run_name")})
        for call, given, named in package.calls
        if call != "create_run"
    ]
    if name == "trackio":
        assert seen[0][2].pop("name") == known
    assert seen == expected


def test_a_run_stops_at_a_collapse_only_where_that_is_asked_for(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from axpo.run import _recording

    monkeypatch.setattr(_recording, "tool_collapse", lambda history: "acting paid" if len(history) >= 2 else None)
    display = Noted()
    config = toy.toy_config(tmp_path / "on", steps=4, log={"stop_on_collapse": True, "eval_questions": 0})
    assert len(axpo.train(config, display=display).metrics) == 2
    assert "tool use has collapsed (acting paid), and log.stop_on_collapse is on: the run ends after step 2" in (
        display.notes
    )
    config = toy.toy_config(tmp_path / "off", steps=3, log={"eval_questions": 0})
    assert len(axpo.train(config).metrics) == 3
