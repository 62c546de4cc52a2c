from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axpo.cli import main
from axpo.economy import (
    Economy,
    EconomySettings,
    Measure,
    Price,
    Trials,
    Verdict,
    economy,
    front,
    measures_of,
    read_prices,
    read_trials,
)
from axpo.records.tried import Tried, shared_by_tokens, tried_of
from axpo.settings.config import ConfigError

SETTINGS = EconomySettings(resamples=200)


def tried(question: str, right: list[int], *, written: int = 10, seconds: float = 1.0, **kinds: str) -> Tried:
    """Every rollout writes and reads as many tokens, and reads three times as many again."""
    count = len(right)
    return Tried(
        question=question,
        kinds=kinds,
        right=tuple(map(bool, right)),
        written=(written,) * count,
        read=(100,) * count,
        reread=(300,) * count,
        seconds=seconds,
    )


def trials(**models: list[Tried]) -> Trials:
    return Trials(models={name: tuple(each) for name, each in models.items()}, left_out=0)


def written(path: Path, found: list[Tried], *, env: str = "toy/Env-v0", split: str = "test") -> Path:
    record = {"settings": {"env": env, "env_args": []}, "split": split, "tried": [asdict(each) for each in found]}
    path.write_text(json.dumps(record))
    return path


SMALL = [tried(f"q{n}", [1, 1, 1, int(n < 6)], kind="easy" if n < 4 else "hard") for n in range(8)]
LARGE = [tried(f"q{n}", [1, 1, 1, 1], written=40, seconds=4.0, kind="easy" if n < 4 else "hard") for n in range(8)]


def test_measures_are_ratios_of_sums_over_questions() -> None:
    found = measures_of([tried("a", [1, 0], seconds=2.0), tried("b", [1, 1, 1, 1], written=20)], None)
    assert found["pass1"].value == 0.75  # the mean of 1/2 and 1
    assert found["pass4"].value == 1.0
    assert found["pass4"].counted == 1
    assert found["tokens"].value == 100 / 6
    assert found["seconds"].value == 0.5
    assert found["right_per_1000_tokens"].value == 50.0
    assert found["right_per_second"].value == 5 / 3
    assert "price" not in found


def test_prices_are_by_tokens_or_by_the_hour() -> None:
    by_tokens = Price(input=1.0, cached=0.1, output=4.0)
    assert by_tokens.of(read=1000, reread=2000, written=500, seconds=9) == pytest.approx(0.0032)
    assert replace(by_tokens, cached=None).of(read=1000, reread=2000, written=500, seconds=9) == pytest.approx(0.005)
    assert Price(hour=3600.0).of(read=1, reread=1, written=1, seconds=2.5) == 2.5
    found = measures_of([tried("a", [1, 0])], by_tokens)
    assert found["price"].value == pytest.approx((100 + 30 + 40) / 1e6)
    assert found["right_per_price"].value == pytest.approx(1 / (2 * 170e-6))


def test_models_that_another_outdoes_are_not_on_the_front() -> None:
    places = {"a": (1, 0.5), "b": (2, 0.4), "c": (3, 0.6), "d": (3, 0.55), "twin": (1, 0.5)}
    models = {
        name: {
            "pass1": Measure(parts=np.array([right]), wholes=np.ones(1)),
            "tokens": Measure(parts=np.array([float(spent)]), wholes=np.ones(1)),
        }
        for name, (spent, right) in places.items()
    }
    assert front(models, "tokens") == ("a", "twin", "c")


def test_differences_are_paired_over_questions() -> None:
    # One is right where the other is wrong by exactly as much on every question: the difference never varies.
    one = [tried(f"q{n}", [1] * (n % 4 + 1) + [0] * (3 - n % 4)) for n in range(12)]
    other = [replace(each, right=(*each.right[1:], False)) for each in one]
    (pair,) = economy(trials(one=one, other=other), {}, SETTINGS).pairs
    found = pair.differences["pass1"]
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.n == 12
    assert pair.verdict is Verdict.AS_GOOD
    assert pair.ratios["tokens"].as_dict() == {"value": 1.0, "n": 12, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize(("margin", "verdict"), [(0.3, Verdict.AS_GOOD), (0.02, Verdict.OPEN), (0.0, Verdict.OPEN)])
def test_a_cheaper_model_is_as_good_if_surely_no_more_than_the_margin_worse(margin: float, verdict: Verdict) -> None:
    (pair,) = economy(trials(large=LARGE, small=SMALL), {}, replace(SETTINGS, margin=margin)).pairs
    assert (pair.first, pair.second, pair.verdict) == ("small", "large", verdict)
    # Two of eight questions are right three times of four.
    assert pair.differences["pass1"].value == -0.0625
    assert (pair.ratios["tokens"].value, pair.ratios["seconds"].value) == (0.25, 0.25)


def test_a_model_that_is_wrong_everywhere_is_worse() -> None:
    wrong = [replace(each, right=(False,) * 4) for each in SMALL]
    (pair,) = economy(trials(small=wrong, large=LARGE), {}, SETTINGS).pairs
    assert pair.verdict is Verdict.WORSE
    assert pair.differences["right_per_second"].value == -1.0


def test_every_category_goes_to_the_cheapest_model_that_reaches_the_target() -> None:
    found = economy(trials(large=LARGE, small=SMALL), {}, replace(SETTINGS, target=0.9, category="kind")).routing
    table = [(route.category, route.model, route.pass1.value, route.cost.value, route.surely) for route in found.routes]
    assert table == [("easy", "small", 1.0, 10.0, True), ("hard", "large", 1.0, 40.0, True)]
    assert found.cost == "tokens"
    # Of the hard questions two are always right: how routing does depends on the halves, but it loses at most these.
    assert 0.9375 <= found.pass1.value <= 1.0
    assert 10.0 < found.spent.value <= 25.0


def test_where_no_model_reaches_the_target_the_best_one_is_told() -> None:
    low = [replace(each, right=(True, False, False, False)) for each in SMALL]
    lower = [replace(each, right=(False,) * 4, written=(1,) * 4) for each in SMALL]
    (route,) = economy(trials(low=low, lower=lower), {}, SETTINGS).routing.routes
    assert (route.category, route.model, route.reaches, route.pass1.value) == ("all", "low", False, 0.25)


def test_routes_are_measured_on_questions_that_did_not_choose_them() -> None:
    # Either model is right on every other question alone: what one half chooses is of no use for the other.
    rng = np.random.default_rng(0)
    coins = rng.integers(0, 2, size=200)
    one = [tried(f"q{n}", [int(coin)] * 4) for n, coin in enumerate(coins)]
    other = [tried(f"q{n}", [1 - int(coin)] * 4) for n, coin in enumerate(coins)]
    found = economy(trials(one=one, other=other), {}, replace(SETTINGS, target=0.9)).routing
    assert found.routes[0].pass1.value >= 0.5
    assert abs(found.pass1.value - 0.5) < 0.1


def test_the_seed_decides_the_intervals() -> None:
    def intervals(seed: int) -> Any:
        found = economy(trials(large=LARGE, small=SMALL), {}, replace(SETTINGS, seed=seed)).as_record()
        return found["models"]["small"]["metrics"]["pass1"]

    assert intervals(0) == intervals(0)
    assert {intervals(seed)["value"] for seed in range(3)} == {0.9375}


def test_prices_must_cover_every_model() -> None:
    both = trials(large=LARGE, small=SMALL)
    with pytest.raises(ConfigError, match="expected one for every model; large not among small"):
        economy(both, {"small": Price(hour=1.0)}, SETTINGS)
    with pytest.raises(ConfigError, match="takes --prices"):
        economy(both, {}, replace(SETTINGS, cost="price"))
    with pytest.raises(ConfigError, match="question 'q0' has no 'colour', only \\['kind'\\]"):
        economy(both, {}, replace(SETTINGS, category="colour"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\ninput = 1", "expected input and output"),
        ("[a]\ninput = 1\noutput = 2\nhour = 3", "expected input and output"),
        ("[a]\nhour = -1", r"a\.hour: Input should be greater than or equal to 0"),
        ("[a", "expected a TOML file"),
        ("a = 1", "a: Input should be"),
    ],
)
def test_unusable_prices_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_prices(tmp_path / "prices.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_prices(tmp_path / "nothing.toml")


def test_questions_that_not_every_model_has_are_left_out(tmp_path: Path, caplog: Any) -> None:
    files = {"a": written(tmp_path / "a.json", SMALL[:5]), "b": written(tmp_path / "b.json", LARGE[2:])}
    found = read_trials(files)
    assert found.questions == ("q2", "q3", "q4")
    assert found.left_out == 5
    assert "5 questions are left out" in caplog.text


def test_evaluations_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "one.json", SMALL)
    refused = {
        "have no question in common": written(tmp_path / "x.json", [tried("z", [1])]),
        "asked toy/Env-v0, split test; other asked toy/Env-v0, split train": written(
            tmp_path / "y.json", SMALL, split="train"
        ),
        "stands there twice": written(tmp_path / "z.json", [*SMALL, SMALL[0]]),
        "as many of everything": written(tmp_path / "v.json", [replace(SMALL[0], read=(1,))]),
    }
    for problem, path in refused.items():
        with pytest.raises(ConfigError, match=problem):
            read_trials({"one": one, "other": path})
    (tmp_path / "old.json").write_text('{"metrics": {}}')
    with pytest.raises(ConfigError, match=r"old\.json: expected a file that `axpo eval --json` of this version"):
        read_trials({"one": one, "other": tmp_path / "old.json"})
    with pytest.raises(ConfigError, match="expected two or more"):
        read_trials({"one": one})


def test_what_a_group_costs_is_counted_by_turns(toy: Any) -> None:
    from axpo.algorithm.types import Group

    long = toy.rollout("<tool_call>{}</tool_call>", "<answer>7</answer>", reward=1.0, question=toy.question(hops=1))
    short = toy.rollout("<answer>1</answer>", question=toy.question(hops=1))
    found = tried_of(Group(question=long.episode.question, rollouts=(long, short)), 3.0, success_threshold=0.5)
    # Contexts have two tokens; the first turn four, the answers three.
    assert found == Tried(
        question="q0",
        kinds={"hops": "1"},
        right=(True, False),
        written=(7, 3),
        read=(4, 2),
        reread=(6, 0),
        seconds=3.0,
    )
    groups = [Group(question=long.episode.question, rollouts=rollouts) for rollouts in ((long,), (short,))]
    assert shared_by_tokens(5.0, groups) == [3.5, 1.5]


def test_the_command_reads_what_eval_writes(capsys: Any, tmp_path: Path) -> None:
    files = [str(tmp_path / f"{name}.json") for name in ("tiny", "tiny-random")]
    options = ["--env", "axpo/VisualZoom-v0", "--questions", "2", "--samples", "2", "--max-turn-tokens", "8"]
    assert main(["eval", "tiny-random", *options, "--json", files[1]]) == 0
    Path(files[0]).write_text(Path(files[1]).read_text())
    (tmp_path / "prices.toml").write_text("[tiny]\ninput = 1\noutput = 4\n[tiny-random]\nhour = 2\n")
    capsys.readouterr()
    results = tmp_path / "economy.json"
    command = ["economy", *files, "--prices", str(tmp_path / "prices.toml"), "--resamples", "100"]
    assert main([*command, "--json", str(results)]) == 0
    record = json.loads(results.read_text())
    assert record["questions"] == 2
    assert set(record["models"]["tiny"]["metrics"]["right_per_price"]) == {"value", "n", "low", "high"}
    assert set(record["fronts"]) == {"tokens", "seconds", "price"}
    assert [route["category"] for route in record["routing"]["routes"]] == ["1"]
    out = capsys.readouterr().out
    assert "by category" in out
    assert "no other model outdoes" in out


def test_a_file_must_have_a_name_of_its_own(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    files = [written(tmp_path / "a.json", SMALL), written(tmp_path / "b" / "a.json", SMALL)]
    assert main(["economy", *map(str, files)]) == 2
    assert "expected files of different names; got a.json, a.json" in capsys.readouterr().err


def test_the_record_is_json_and_says_where_nothing_was_counted() -> None:
    two = [replace(each, right=each.right[:2], written=(10,) * 2, read=(1,) * 2, reread=(0,) * 2) for each in SMALL]
    found: Economy = economy(trials(one=two, two=two), {}, SETTINGS)
    record = json.loads(json.dumps(found.as_record(), allow_nan=False))
    assert record["models"]["one"]["metrics"]["pass4"] == {"value": None, "n": 0, "low": None, "high": None}
