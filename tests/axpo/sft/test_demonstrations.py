from __future__ import annotations

import pytest

from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch, described, encode
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs.suite.visual_zoom.env import VisualZoom
from axpo_envs.suite.visual_zoom.expert import direct_turn, zoom_turn


@pytest.fixture(scope="module")
def policy() -> TransformersPolicy:
    return load_policy("tiny-random")


@pytest.fixture(scope="module")
def env() -> VisualZoom:
    return VisualZoom(image_size=128, held_out=4, split="test")


def test_a_demonstration_is_encoded_as_a_rollout_of_the_same_text_would_be(
    policy: TransformersPolicy, env: VisualZoom
) -> None:
    start = env.begin(env.questions.question(0))
    text = zoom_turn("red", (300, 450, 500, 650))
    observation = env.advance(start, text).observation
    demonstration = Demonstration(
        start=start,
        turns=(
            DemonstratedTurn(stretches=(Stretch(text=text),), observation=observation),
            DemonstratedTurn(stretches=(Stretch(text=direct_turn("7"), weight=0.25),)),
        ),
    )
    encoded = encode(demonstration, env, policy)

    prompt = policy.encode_prompt(env, start)
    first = (*policy.tokenizer.encode(text), policy.tokenizer.eos_token_id)
    between = policy.encode_observation(observation, after=first)
    second = (*policy.tokenizer.encode(direct_turn("7")), policy.tokenizer.eos_token_id)
    assert encoded.sequence.ids == (*prompt.ids, *first, *between.ids, *second)
    assert encoded.sequence.images == (*prompt.images, *between.images)
    assert sum(encoded.sequence.sampled) == len(first) + len(second) == len(encoded.weights)
    assert encoded.weights == (1.0,) * len(first) + (0.25,) * len(second)


def test_each_stretch_carries_its_own_weight_and_the_last_one_the_end_of_the_turn(
    policy: TransformersPolicy, env: VisualZoom
) -> None:
    stretches = (Stretch(text="red", weight=0.0), Stretch(text="300", weight=1.0), Stretch(text=", ", weight=0.5))
    start = env.begin(env.questions.question(1))
    encoded = encode(Demonstration(start=start, turns=(DemonstratedTurn(stretches=stretches),)), env, policy)
    assert encoded.weights == (0.0, 1.0, 0.5, 0.5)


def test_people_read_demonstrations_with_images_named_by_their_content(env: VisualZoom) -> None:
    start = env.begin(env.questions.question(2))
    turn = DemonstratedTurn(stretches=(Stretch(text="a", weight=0.0), Stretch(text="b")))
    shown = described(Demonstration(start=start, turns=(turn,)))
    assert shown["question"] == "test/2"
    assert shown["prompt"] == [f"[image {start.question.images[0].digest}]", start.question.text]
    assert shown["turns"] == [{"text": "ab", "weights": [0.0, 1.0], "observation": []}]
