from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from axpo.run.environments import make_worlds
from axpo_agents.policy import Prefix
from axpo_agents.rolling import Start, roll
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import load_policy
from axpo_agents.types import FinishReason, Rollout, Sampling, TokenSequence
from axpo_benchmarks.speed import rollout
from axpo_benchmarks.speed.models import endless, letters, save_text_model, save_vision_model
from axpo_benchmarks.speed.plain import PlainPolicy
from axpo_benchmarks.speed.rollout import Shape, branch_rows, make_context, rollout_rows

SMALL = Shape(prompt=24, response=6, image=(2, 3))


@pytest.mark.parametrize("save", [save_text_model, save_vision_model])
def test_every_turn_of_a_measured_model_has_the_length_it_may_have(
    save: Callable[[Path], Path], tmp_path: Path
) -> None:
    policy = endless(save(tmp_path))
    prompt = tuple(policy.tokenizer(letters(12, seed=1))["input_ids"])
    assert len(prompt) == 12
    sequence = TokenSequence(ids=prompt, sampled=(False,) * 12, logprobs=(0.0,) * 12)
    turns = policy.sample([Prefix(sequence=sequence)] * 16, Sampling(max_turn_tokens=40), seed=0)
    # 640 draws from 157 tokens: the end of a turn is surely among them, and ends none.
    assert any(policy.tokenizer.eos_token_id in turn.ids for turn in turns)
    assert {len(turn.ids) for turn in turns} == {40}


@pytest.mark.parametrize("shape", [SMALL, Shape(prompt=24, response=6)])
def test_a_prompt_has_the_tokens_of_its_shape(shape: Shape, tmp_path: Path) -> None:
    policy = endless(save_vision_model(tmp_path))
    context = make_context(policy, shape)
    assert len(context.ids) == 24
    height, width = shape.image
    assert context.ids.count(policy.tokenizer.convert_tokens_to_ids("<|image_pad|>")) == height * width


def test_the_plain_form_writes_what_the_engine_writes() -> None:
    env = make_worlds("axpo/VisualZoom-v0", ()).training
    starts = [Start(state=env.begin(env.questions.question(i // 3), seed=i)) for i in range(6)]
    settings = Sampling(max_turn_tokens=64, max_episode_tokens=512)
    plain = PlainPolicy(load_policy("tiny"), tiny_folder())
    theirs, ours = (roll(policy, env, starts, settings, seed=3) for policy in (plain, load_policy("tiny")))
    for one, other in zip(theirs, ours, strict=True):
        assert isinstance(one, Rollout)
        assert isinstance(other, Rollout)
        assert one.episode.stop == other.episode.stop
        left, right = one.sequence(), other.sequence()
        assert left.ids == right.ids
        assert left.logprobs == pytest.approx(right.logprobs, abs=1e-4)
    assert any(len(one.completions) > 1 for one in theirs if isinstance(one, Rollout))


def test_the_plain_form_keeps_each_rows_own_limit(tmp_path: Path) -> None:
    save_vision_model(tmp_path)
    engine, plain = endless(tmp_path), PlainPolicy(endless(tmp_path), tmp_path)
    sequence = TokenSequence.of((), then=make_context(engine, SMALL))
    prefixes = [Prefix(sequence=sequence), Prefix(sequence=sequence, forced=tuple(sequence.ids[-4:]))]
    settings = Sampling(max_turn_tokens=7)
    theirs, ours = plain.sample(prefixes, settings, seed=2), engine.sample(prefixes, settings, seed=2)
    assert [len(turn.ids) for turn in theirs] == [7, 3]
    assert [turn.ids for turn in theirs] == [turn.ids for turn in ours]
    assert {turn.finish for turn in theirs} == {FinishReason.LENGTH}
    with pytest.raises(ValueError, match="room for a token"):
        plain.sample(prefixes, Sampling(max_turn_tokens=4), seed=2)


def test_rollouts_and_branches_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*rollout_rows(SMALL, repeats=1), *branch_rows(SMALL, repeats=1)]
    assert [row.name.partition(",")[0] for row in rows] == [
        "rollout of a group",
        "rollout of a group",
        "start of 4 continuations",
        "start of 4 continuations",
    ]
    assert rows[0].name.endswith("P=24 (6 of an image), R=6")
    monkeypatch.setattr(rollout, "SHAPES", ())
    assert rollout.measure() == []
