import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axpo.cli import main
from axpo.economy import ComparingSettings, EvaluationComparison, Price, Verdict, compare_evaluations
from axpo.economy.evaluations_shown import page, sentences, tables
from axpo.economy.measures import resampled_questions
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import (
    AskedQuestion,
    BenchmarkProvenance,
    EvaluatedRollout,
    Judged,
    Provenance,
    SaidTurn,
)
from axpo.settings.config import ConfigError
from axpo_envs.types import StopReason

ASKED = BenchmarkProvenance(
    slice="full",
    questions=24,
    fingerprint="f",
    differences=(),
    scorer="s",
    judge=None,
    prompts={"tools": "p"},
    tools={"tools": ("image_zoom_in",)},
    sites=(),
)
QUICK = ComparingSettings(resamples=200)
Right = Callable[[int], Sequence[bool]]


def question(number: int, *, cluster: str = "") -> AskedQuestion:
    kinds = {"category": "far" if number % 2 else "near", "part": "far" if number % 2 else "near", "row": str(number)}
    name = f"q{number:02}"
    return AskedQuestion(
        id=name, part=kinds["part"], cluster=cluster or name, kinds=kinds, text="?", images=1, answer="A"
    )


def rollout(name: str, sample: int, right: bool, *, written: int | None = 10) -> EvaluatedRollout:
    return EvaluatedRollout(
        question=name,
        sample=sample,
        stop=StopReason.ANSWERED,
        turns=(SaidTurn(text="<answer>A</answer>"),),
        judged=Judged(outcome="right" if right else "wrong", reason="said", score=float(right), cut=False),
        written=written,
        read=100,
        reread=0,
        seconds=0.5,
    )


def evaluation(
    path: Path,
    right: Right,
    *,
    asked: BenchmarkProvenance = ASKED,
    protocol: dict[str, Any] | None = None,
    questions: Sequence[AskedQuestion] = tuple(map(question, range(24))),
    written: int | None = 10,
    benchmark: str = "v-star",
) -> EvaluationFolder:
    folder = EvaluationFolder(path)
    given = {"temperature": 0.7, "samples": 2} if protocol is None else protocol
    folder.begin(
        Provenance(axpo="0.1.0", model=path.name, revision=None, protocol=given, benchmarks={benchmark: asked})
    )
    folder.write_questions(benchmark, tuple(questions))
    for number, one in enumerate(questions):
        for sample, own in enumerate(right(number)):
            folder.add(benchmark, "tools", rollout(one.id, sample, own, written=written))
    return folder


@pytest.fixture
def found(tmp_path: Path) -> EvaluationComparison:
    """The small model is right once on every question, the large one twice on those that are far and never on the
    rest."""
    small = evaluation(tmp_path / "small", lambda _number: (True, False))
    large = evaluation(tmp_path / "large", lambda number: (number % 2 == 1,) * 2, written=40)
    prices = {"small": Price(input=0.0, output=1.0), "large": Price(input=0.0, output=1.0)}
    return compare_evaluations({"small": small, "large": large}, prices, QUICK)


def test_the_whole_comes_first_and_then_each_division_into_categories_once(found: EvaluationComparison) -> None:
    assert [(part.kind, part.value, part.questions) for part in found.parts] == [
        (None, None, 24),
        ("category", "far", 12),
        ("category", "near", 12),
    ]


def test_differences_are_paired_and_told_by_category(found: EvaluationComparison) -> None:
    whole, far, near = found.parts
    assert whole.models["small"]["pass1"].value == whole.models["large"]["pass1"].value == 0.5
    assert whole.pairs[0].verdict is Verdict.OPEN
    assert far.pairs[0].differences["pass1"].value == -0.5
    assert (far.pairs[0].differences["pass1"].low, far.pairs[0].differences["pass1"].high) == (-0.5, -0.5)
    assert (far.pairs[0].verdict, near.pairs[0].verdict) == (Verdict.WORSE, Verdict.AS_GOOD)
    assert (len(whole.won[0].first), len(whole.won[0].second), whole.won[0].equal) == (12, 12, 0)
    assert whole.won[0].first[:2] == ("q00", "q02")


def test_what_a_right_answer_costs(found: EvaluationComparison) -> None:
    small, large = (found.parts[0].models[name] for name in ("small", "large"))
    # 24 questions of two rollouts, half of which are right: twice a rollout's cost.
    assert small["tokens_per_right"].value == 20
    assert large["tokens_per_right"].value == 80
    assert large["seconds_per_right"].value == 1.0
    assert small["price_per_right"].value == pytest.approx(20e-6)


def test_tokens_that_nobody_tells_are_left_out(tmp_path: Path) -> None:
    silent = evaluation(tmp_path / "silent", lambda _number: (True,), written=None)
    other = evaluation(tmp_path / "other", lambda _number: (True,))
    part = compare_evaluations({"silent": silent, "other": other}, {}, QUICK).parts[0]
    assert not {"tokens", "tokens_per_right", "right_per_1000_tokens"} & set(part.models["silent"])
    assert part.models["other"]["tokens"].value == 10
    assert "tokens" not in part.pairs[0].differences


def test_questions_of_one_cluster_are_drawn_together() -> None:
    weights = resampled_questions(["a", "a", "b", "c"], resamples=50, seed=0)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 1:].sum(axis=1) == 3).all()
    assert (weights[:, 2] != weights[:, 0]).any()


def test_few_clusters_have_neither_intervals_nor_a_verdict(tmp_path: Path) -> None:
    asked = [question(number, cluster=f"c{number % 3}") for number in range(24)]
    models = {
        name: evaluation(tmp_path / name, lambda _number, right=right: (right,), questions=asked)
        for name, right in (("one", True), ("other", False))
    }
    part = compare_evaluations(models, {}, QUICK).parts[0]
    assert part.pairs[0].differences["pass1"].value == 1.0
    assert part.pairs[0].differences["pass1"].low is None
    assert part.pairs[0].verdict is Verdict.OPEN


def test_questions_that_a_model_has_no_rollouts_of_are_left_out_and_counted(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", lambda number: (True,) if number < 20 else ())
    other = evaluation(tmp_path / "other", lambda _number: (True,))
    part = compare_evaluations({"one": one, "other": other}, {}, QUICK).parts[0]
    assert (part.questions, part.left_out) == (20, 4)


@pytest.mark.parametrize("label", ["slice", "fingerprint", "scorer", "judge"])
def test_what_was_asked_or_scored_otherwise_is_not_compared(tmp_path: Path, label: str) -> None:
    one = evaluation(tmp_path / "one", lambda _number: (True,))
    other = evaluation(tmp_path / "other", lambda _number: (True,), asked=replace(ASKED, **{label: "x"}))
    with pytest.raises(ConfigError, match=rf"nothing in one, other can be compared: not compared: v-star, {label}: "):
        compare_evaluations({"one": one, "other": other}, {}, QUICK)


def test_another_protocol_is_told_of(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", lambda _number: (True,))
    other = evaluation(tmp_path / "other", lambda _number: (True,), protocol={"temperature": 1.0, "samples": 1})
    assert compare_evaluations({"one": one, "other": other}, {}, QUICK).notes == (
        "protocol, samples: one has 2; other 1",
        "protocol, temperature: one has 0.7; other 1.0",
    )


def test_evaluations_without_a_benchmark_in_common_are_refused(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", lambda _number: (True,))
    other = evaluation(tmp_path / "other", lambda _number: (True,), benchmark="mathvision")
    with pytest.raises(ConfigError, match="they share no benchmark with the same tools"):
        compare_evaluations({"one": one, "other": other}, {}, QUICK)
    with pytest.raises(ConfigError, match="expected two or more; got one"):
        compare_evaluations({"one": one}, {}, QUICK)
    with pytest.raises(ConfigError, match="expected one for every model; other not among one"):
        compare_evaluations({"one": one, "other": other}, {"one": Price(hour=1.0)}, QUICK)


def test_it_says_where_the_first_model_is_better(found: EvaluationComparison) -> None:
    told = list(sentences(found))
    assert told[0].startswith("v-star, with tools (24 questions): small may or may not be as good as large: Pass@1 ")
    assert told[0].endswith("right more often on 12 questions, less often on 12, as often on 0")
    assert told[1] == "  by category: surely better on near; surely worse on far"
    assert [table.title for table in tables(found)] == ["v-star, with tools (24 questions)", "Pass@1 by category"]


def test_a_page_escapes_names_and_loads_nothing(tmp_path: Path) -> None:
    names = ("<script>x</script>", "b")
    models = {name: evaluation(tmp_path / str(place), lambda _n: (True,)) for place, name in enumerate(names)}
    text = page(compare_evaluations(models, {}, QUICK), QUICK)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_the_command_writes_everything_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, right in (("small", False), ("large", True)):
        evaluation(tmp_path / name, lambda _number, right=right: (right, True))
    files = {kind: tmp_path / f"found.{kind}" for kind in ("json", "html")}
    options = ["--resamples", "200", "--json", str(files["json"]), "--html", str(files["html"])]
    assert main(["compare", str(tmp_path / "small"), str(tmp_path / "large"), *options]) == 0
    assert "small is worse than large" in " ".join(capsys.readouterr().out.split())
    record = json.loads(files["json"].read_text())
    assert record["parts"][0]["pairs"][0]["metrics"]["pass1_difference"]["value"] == -0.5
    assert "Evaluations compared" in files["html"].read_text()
