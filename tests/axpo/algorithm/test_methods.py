"""Tests of axpo.algorithm.methods: what each changes, methods from outside, rounds between sampling and update."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import axpo
from axpo.algorithm import methods
from axpo.algorithm.methods import Method, label_of, method_named, method_names, register_method
from axpo.algorithm.methods.method import Rounds
from axpo.algorithm.types import Group
from axpo.run.display import Silent
from axpo.run.validation import resolved
from axpo.settings.config import ConfigError, Cut, Ranking, TrainConfig


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))


def test_each_method_changes_one_thing() -> None:
    base = TrainConfig()
    changed = {name: method_named(name).configure(base) for name in method_names()}
    assert changed["axpo"] == changed["grpo"] == base
    assert changed["axpo_random"].selection.ranking is Ranking.RANDOM
    assert changed["axpo_scratch"].selection.cut is Cut.QUESTION
    assert changed["axpo_no_tool"].selection.cut is Cut.NO_TOOL
    assert not changed["axpo_no_prefix_credit"].advantages.prefix_credit
    assert not changed["axpo_prefix_credit_only"].advantages.continuation_loss
    assert not changed["axpo_joint_groups"].advantages.separate_groups
    # `axpo_plus` is `axpo_idle` under the name to ask for.
    own = [method_named(name) for name in method_names() if name != "axpo_plus"]
    assert len({(repr(changed[m.name]), m.refine, m.select, m.credit, m.loss) for m in own}) == len(own), (
        "two are the same"
    )
    for name, config in changed.items():
        assert method_named(name).configure(config) == config, "applied twice it changes more"


def test_grpo_selects_nothing_and_may_have_more_rollouts() -> None:
    more = method_named("grpo_n10")
    assert (more.name, more.label, more.select) == ("grpo_n10", "GRPO, 10 rollouts per question", None)
    assert resolved(TrainConfig(method="grpo_n10")).sampling.group_size == 10
    assert method_named("grpo").select is None
    assert label_of("unheard_of") == "unheard_of"


@pytest.mark.parametrize("name", ["nope", "grpo_n0", "no_such_module:METHOD", "axpo.run.trainer:train", "GRPO"])
def test_an_unknown_method_is_an_error_before_any_work(name: str) -> None:
    with pytest.raises(ConfigError, match="method"):
        resolved(TrainConfig(method=name))


@pytest.mark.usefixtures("registered")
def test_a_name_stands_for_one_method() -> None:
    mine = Method(name="mine", label="Mine")
    register_method(mine)
    register_method(mine)
    assert method_named("mine") is mine
    with pytest.raises(ConfigError, match="another one of the name 'mine'"):
        register_method(Method(name="mine", label="Another"))
    with pytest.raises(ConfigError, match="letters"):
        register_method(Method(name="a/b", label="A path"))


OUTSIDE = """
from dataclasses import replace
from axpo.algorithm.methods import Method
from axpo.algorithm.methods.axpo import AXPO

HALF = Method(
    name="half_credit",
    label="Half credit",
    select=AXPO.select,
    credit=lambda groups, config: tuple(replace(a, value=a.value / 2) for a in AXPO.credit(groups, config)),
)
"""


def test_a_method_of_a_package_outside_trains_compares_and_resumes(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_methods.py").write_text(OUTSIDE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = toy.toy_config(tmp_path / "run", steps=1, method="my_methods:HALF")
    run = axpo.train(config, display=Silent())
    assert 'method = "my_methods:HALF"' in (run.folder / "config.toml").read_text()
    longer = axpo.resume(run.folder, changes={"steps": 2}, display=Silent())
    assert [record["step"] for record in longer.metrics] == [1, 2]
    plain = axpo.train(toy.toy_config(tmp_path / "plain", steps=1), display=Silent())
    assert run.metrics[0]["reward_mean"] == plain.metrics[0]["reward_mean"]
    assert run.metrics[0]["loss"] != plain.metrics[0]["loss"]


def with_spread(rounds: Rounds) -> tuple[Group, ...]:
    """Dynamic sampling (DAPO, arXiv:2503.14476): groups without a spread of rewards are replaced, up to twice."""
    kept = [group for group in rounds.groups if len({rollout.reward for rollout in group.rollouts}) > 1]
    for _ in range(2):
        missing = rounds.config.sampling.questions - len(kept)
        if missing > 0:
            kept += (g for g in rounds.sample(missing) if len({rollout.reward for rollout in g.rollouts}) > 1)
    return tuple(kept)


def second_attempts(rounds: Rounds) -> tuple[Group, ...]:
    """Every selected prefix of GRPO's own groups is tried once more before the update."""
    select = method_named("axpo").select
    assert select is not None
    return rounds.attempt(rounds.groups, select(rounds.groups, rounds.config, seed=0))


@pytest.mark.usefixtures("registered")
def test_a_method_may_ask_for_more_groups_and_drop_some(toy: Any, tmp_path: Path) -> None:
    seen: list[tuple[tuple[Group, ...], tuple[Group, ...]]] = []

    def refine(rounds: Rounds) -> tuple[Group, ...]:
        kept = with_spread(rounds)
        seen.append((rounds.groups, kept))
        return kept

    register_method(Method(name="dynamic", label="Dynamic sampling", refine=refine))
    runs = [axpo.train(toy.toy_config(tmp_path / name, steps=2, method="dynamic"), display=Silent()) for name in "ab"]
    assert toy.timeless(runs[0].metrics) == toy.timeless(runs[1].metrics)
    for first, kept in seen:
        asked = {group.question.id for group in first}
        assert all(len({rollout.reward for rollout in group.rollouts}) > 1 for group in kept)
        assert len({group.question.id for group in kept} - asked) + len(asked) >= len(kept)
    assert [record["dead_groups"] for record in runs[0].metrics if record["rollouts"]] in ([0.0], [0.0, 0.0], [])


@pytest.mark.usefixtures("registered")
def test_a_method_may_sample_second_attempts(toy: Any, tmp_path: Path) -> None:
    register_method(Method(name="second", label="Second attempts", refine=second_attempts))
    run = axpo.train(toy.toy_config(tmp_path / "run", steps=3, method="second"), display=Silent())
    same = axpo.train(toy.toy_config(tmp_path / "axpo", steps=1), display=Silent())
    assert run.metrics[0]["continuations"] == same.metrics[0]["continuations"]
    assert run.metrics[0]["given_up_prefixes"] == 0


@pytest.mark.usefixtures("registered")
def test_a_method_that_attempts_and_selects_cuts_no_source_twice(toy: Any, tmp_path: Path) -> None:
    register_method(Method(name="both", label="Both", refine=second_attempts, select=methods.AXPO.select))
    run = axpo.train(toy.toy_config(tmp_path / "run", steps=1, method="both"), display=Silent())
    assert run.metrics[0]["selected_prefixes"]
    assert run.metrics[0]["given_up_prefixes"] == 0


@pytest.mark.usefixtures("registered")
def test_a_loss_sees_which_tokens_belong_together(toy: Any, tmp_path: Path) -> None:
    lengths: list[list[int]] = []

    def loss(logprobs: torch.Tensor, targets: Any, config: Any, *, reference: torch.Tensor | None = None) -> Any:
        # One ratio a sequence, as in GSPO (arXiv:2507.18071).
        from axpo.algorithm.loss import policy_loss

        lengths.append(torch.bincount(targets.sequences).tolist())
        assert targets.sequences.shape == logprobs.shape
        return policy_loss(logprobs, targets, config, reference=reference)

    register_method(Method(name="mine", label="Mine", loss=loss))
    mine = axpo.train(toy.toy_config(tmp_path / "mine", steps=1, method="mine"), display=Silent())
    grpo = axpo.train(toy.toy_config(tmp_path / "grpo", steps=1, method="grpo"), display=Silent())
    assert lengths
    assert all(length > 0 for each in lengths for length in each)
    assert toy.timeless(mine.metrics) == toy.timeless(grpo.metrics)


def test_replacing_a_part_leaves_the_rest_of_a_method() -> None:
    assert replace(methods.AXPO, label="Other").select is methods.AXPO.select
