"""Tests of axpo.diagnostics: a metric that is added in one place is counted, shown, drawn and asked for by its name."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from axpo.algorithm.types import Group
from axpo.diagnostics import registry
from axpo.diagnostics.metric import Asked, Better, Metric, Rate, Shown
from axpo.diagnostics.metrics import evaluation_metrics, rate_names, step_metrics
from axpo.diagnostics.registry import metric_named, metrics, register_metric
from axpo.records.outcomes import outcome_of
from axpo.report._page_parts import Measured, columns, rows, tiles
from axpo.report._panels import panels
from axpo.run.validation import resolved
from axpo.settings.config import LogConfig, TrainConfig
from axpo.terminal.display import Plain, Terminal
from axpo_envs import Episode, Question, StopReason

LONG = Metric(
    name="long_answers",
    label="long answers",
    meaning="Share of rollouts of more than one turn.",
    better=Better.LOWER,
    counted=lambda asked: Rate(float(sum(len(e.turns) > 1 for e in asked.episodes)), len(asked.episodes)),
    shown=(Shown.STEP, Shown.EVALUATION, Shown.CHART, Shown.TILE),
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_METRICS", dict(registry._METRICS))
    register_metric(LONG)


@pytest.mark.usefixtures("added")
def test_a_metric_added_in_one_place_is_found_in_every_other(toy: SimpleNamespace) -> None:
    one, two = toy.rollout("<answer>1</answer>"), toy.rollout("<tool_call>{}</tool_call>", "<answer>1</answer>")
    groups = [Group(question=toy.question(), rollouts=(one, two, two, two))]
    assert step_metrics(groups)["long_answers"] == 0.75
    estimate = evaluation_metrics(groups)["long_answers"]
    assert estimate is not None
    assert (estimate.value, estimate.n) == (0.75, 4)
    drawn = panels()[-1]
    assert (drawn.title, drawn.caption, drawn.metrics) == ("Long answers", LONG.meaning, ("long_answers",))
    assert resolved(TrainConfig(log=LogConfig(best_by="long_answers", eval_every=1))).log.best_by == "long_answers"
    written = io.StringIO()
    record: dict[str, Any] = {**step_metrics(groups), "step": 1, "seconds_step": 1.0}
    with Plain(Console(file=written, width=200)) as display:
        display.start(TrainConfig(steps=1), 0)
        display.step(record)
    assert "long answers 0.75" in written.getvalue()
    outcome = outcome_of({"metrics": {"long_answers": {"value": 0.75}}}, [])
    measured = [Measured(label="GRPO", role="grpo", outcome=outcome, intervals={"long_answers": (0.5, 0.9)})]
    tile = tiles(measured)[-1]
    assert (tile.title, tile.note) == ("Long answers", f"{LONG.meaning} Lower is better.")
    assert [(bar.value, bar.low, bar.high) for bar in tile.bars] == [(0.75, 0.5, 0.9)]
    column = columns(measured).index("Long answers")
    assert rows(measured)[0].cells[column] == "75.0%"


def test_what_few_questions_ask_for_is_shown_only_where_it_was_observed() -> None:
    def printed(**observed: float) -> str:
        written = io.StringIO()
        evaluated = {name: {"value": value, "n": 8, "low": 0.1, "high": 0.9} for name, value in observed.items()}
        unobserved = {"failed_to_act": {"value": None, "n": 0, "low": None, "high": None}}
        with Plain(Console(file=written, width=200)) as display:
            display.start(TrainConfig(steps=1), 0)
            display.step({"failed_to_act": None, "step": 1, "seconds_step": 1.0, **observed})
            display.evaluation({"step": 1, "questions": 8, "metrics": {**unobserved, **evaluated}})
        return written.getvalue()

    assert "failed to act" not in printed()
    assert printed(failed_to_act=0.25).count("failed to act 0.25") == 2
    live = Terminal(Console(file=io.StringIO(), width=200))
    for failed in (None, 0.5):
        live.step({"failed_to_act": failed, "step": 1})
        drawn = io.StringIO()
        Console(file=drawn, width=200).print(live.drawing())
        assert ("failed to act" in drawn.getvalue()) == (failed is not None)

    def headings(value: float | None) -> tuple[str, ...]:
        outcome = outcome_of({"metrics": {"failed_to_act": {"value": value}}}, [])
        return columns([Measured(label="GRPO", role="grpo", outcome=outcome, intervals={})])

    assert set(headings(0.5)) - set(headings(None)) == {"Failed to act"}


@pytest.mark.usefixtures("added")
def test_a_name_stands_for_one_metric() -> None:
    register_metric(LONG)
    with pytest.raises(ValueError, match="another one"):
        register_metric(Metric(name="long_answers", label="x", meaning="y"))


def test_every_metric_says_what_it_means_and_which_way_is_better() -> None:
    for metric in metrics():
        assert metric.label
        assert metric.meaning.endswith(".")
        assert metric.better in Better
    assert len(set(rate_names())) == len(rate_names())
    assert metric_named("unheard_of").label == "unheard of"


def test_measures_need_neither_tokens_nor_our_rollouts() -> None:
    def episode(reward: float) -> Episode:
        return Episode(question=question, turns=(), stop=StopReason.ANSWERED, reward=reward, terms=())

    question = Question(id="q", prompt=("Who?",), answer="x")
    asked = Asked(question=question, episodes=(episode(1.0), episode(0.0), episode(0.0)))
    counted = {metric.name: metric.counted(asked) for metric in metrics() if metric.counted is not None}
    assert counted["reward_mean"] == (1.0, 3)
    assert counted["no_tool_pass1"] == (1.0, 3)
    assert counted["tool_pass1"] == counted["tool_call_valid_rate"] == (0.0, 0)
