"""Runs and evaluations act under the permissions that their settings name, and leave a log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo.checkpoint_evaluation import locate_checkpoint, open_checkpoint
from axpo.distributed.ranks import ALONE, Ranks
from axpo.records.run_log import read_changes
from axpo.run._governing import with_own_policy
from axpo.run.display import Silent
from axpo.run.trainer import run_settings
from axpo.run.validation import check_ranks, resolved
from axpo.settings._evaluation import EvalConfig
from axpo.settings.config import ConfigError, TrainConfig
from axpo_envs import ToolStatus, call_turn
from axpo_envs.governance import read_calls, read_policy, verify_log

POLICY = """\
default = "dry_run"
[[rules]]
name = "measured"
phases = "evaluation"
verdict = "allow"
"""


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "permissions.toml"
    path.write_text(POLICY)
    return str(path)


def test_a_run_trains_in_dry_run_and_is_measured_by_the_same_policy(toy: Any, policy: str, tmp_path: Path) -> None:
    config = toy.toy_config(
        tmp_path / "run", steps=1, permissions=policy, audit_log=str(tmp_path / "log"), log={"eval_questions": 2}
    )
    result = axpo.train(config, display=Silent())
    calls = read_calls(tmp_path / "log").calls
    made = {(call["phase"], call["verdict"]) for call in calls if call["outcome"] in ("executed", "withheld")}
    assert made <= {("training", "dry_run"), ("evaluation", "allow")}
    assert {call["run"] for call in calls} == {"run"}
    assert verify_log(tmp_path / "log").problems == ()
    # The checkpoint's own policy holds where it is evaluated; `none` lifts it.
    own = EvalConfig(checkpoint=str(result.checkpoint), audit_log=str(tmp_path / "evaluated"))
    located = locate_checkpoint(own, warn=lambda text: None)
    assert located.permissions == policy
    lifted = locate_checkpoint(replace(own, permissions="none", audit_log=None), warn=lambda text: None)
    statuses = []
    for given in (located, lifted):
        with open_checkpoint(given) as opened:
            state = opened.env.begin(opened.env.questions.question(0))
            (record,) = opened.env.advance(state, call_turn("double", {"number": 2})).state.turns[0].calls
            statuses.append((record.result.status, record.rule))
    assert statuses == [(ToolStatus.OK, "measured"), (ToolStatus.OK, "")]
    (call,) = read_calls(tmp_path / "evaluated").calls
    assert (call["phase"], call["rule"]) == ("evaluation", "measured")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"permissions": "nowhere.toml"}, "nowhere.toml cannot be read"),
        ({"audit_log": "run/log"}, "audit_log: expected a folder outside of the run at"),
    ],
)
def test_unusable_permissions_are_told_before_any_work(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=problem):
        axpo.train(toy.toy_config(tmp_path / "run", **settings), display=Silent())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("per", ["run", "question"])
def test_budgets_that_processes_would_count_apart_are_refused(toy: Any, tmp_path: Path, per: str) -> None:
    path = tmp_path / "budget.toml"

    def config(per: str, **settings: Any) -> TrainConfig:
        path.write_text(f'default = "allow"\n[[budgets]]\nper = "{per}"\nunit = "calls"\nlimit = 3\n')
        made: TrainConfig = toy.toy_config(tmp_path / "run", permissions=str(path), **settings)
        return made

    with pytest.raises(ConfigError, match=f"workers of a Ray cluster, which count apart; got budgets per {per}"):
        resolved(config(per, ray={"address": "local"}))
    two = Ranks(count=2)
    with pytest.raises(ConfigError, match=f"made by 2 processes, which count apart; got budgets per {per}"):
        check_ranks(config(per), two)
    check_ranks(config(per), ALONE)
    check_ranks(config("episode"), two)
    # Where servers sample, the first process makes all calls.
    check_ranks(config(per, sampler="http://a:1"), two)


def test_a_run_goes_on_under_a_changed_policy_only_where_it_is_asked_to(toy: Any, policy: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = toy.toy_config(run, steps=1, permissions=policy)
    result = axpo.train(config, display=Silent())
    before = read_policy(policy).fingerprint
    assert run_settings(run).permissions_fingerprint == before
    Path(policy).write_text("# As it was.\n" + POLICY)
    axpo.resume(run, display=Silent())
    Path(policy).write_text('default = "allow"\nexternal = "allow"\n')
    after = read_policy(policy).fingerprint
    told = f"expected the fingerprint {before}, got {after}.*--policy-fingerprint {after}"
    for changes in ({}, {"steps": 2}, {"permissions_fingerprint": "0" * 32}):
        with pytest.raises(ConfigError, match=told.replace(before, ".*")):
            axpo.resume(run, changes=changes, display=Silent())
    with pytest.raises(ConfigError, match=f"expected the fingerprint {before}, got {after}.*--policy "):
        locate_checkpoint(EvalConfig(checkpoint=str(result.checkpoint)), warn=lambda text: None)
    locate_checkpoint(EvalConfig(checkpoint=str(result.checkpoint), permissions=policy), warn=lambda text: None)
    axpo.resume(run, changes={"permissions_fingerprint": after}, display=Silent())
    assert read_changes(run)[-1]["settings"] == {"permissions_fingerprint": {"before": before, "after": after}}


def test_another_policy_beside_the_settings_of_a_run_is_taken_without_the_fingerprint_of_its_own() -> None:
    base = TrainConfig(permissions="a.toml", permissions_fingerprint="f")
    for asked, fingerprint in (
        (base, "f"),
        (replace(base, permissions="b.toml"), None),
        (replace(base, permissions="b.toml", permissions_fingerprint="g"), "g"),
    ):
        assert with_own_policy(asked, base).permissions_fingerprint == fingerprint
