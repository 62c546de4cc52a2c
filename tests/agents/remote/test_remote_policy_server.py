"""The remote policy against a real HTTP server over a real model: what it records is what the model computes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from axpo_agents.policy import Prefix
from axpo_agents.remote import RemotePolicy, RemoteSettings, load_remote_policy
from axpo_agents.rolling import Start, roll
from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import PolicyError, TransformersPolicy
from axpo_agents.types import Context, FinishReason, Rollout, Sampling, TokenSequence
from axpo_envs.suite.visual_zoom.env import VisualZoom

SHORT = Sampling(max_turn_tokens=6)


@pytest.fixture(scope="module")
def server(tiny: TransformersPolicy) -> Iterator[CompletionsServer]:
    with CompletionsServer(tiny) as server:
        yield server


@pytest.fixture
def remote(server: CompletionsServer) -> Iterator[RemotePolicy]:
    with load_remote_policy(str(tiny_folder()), RemoteSettings(url=server.url)) as policy:
        server.requests.clear()
        yield policy


@pytest.fixture
def prompts(tiny: TransformersPolicy, kit: SimpleNamespace) -> list[Prefix]:
    """Text, an image that is resized, and an image later in the episode."""
    plain = kit.given(kit.encode(tiny, "What?"))
    seen = kit.given(kit.encode(tiny, kit.image(0, 90, 131), "Which?"))
    turn = SimpleNamespace(ids=(70, 71, 2), logprobs=(0.0, 0.0, 0.0))
    later = kit.grown(plain, turn, then=tiny.encode_observation(("crop", kit.image(1)), after=turn.ids))
    return [Prefix(sequence=sequence) for sequence in (plain, seen, later)]


def after(prefix: Prefix, ids: tuple[int, ...], logprobs: tuple[float, ...]) -> TokenSequence:
    given = prefix.sequence.ids + prefix.forced
    return TokenSequence(
        ids=given + ids,
        images=prefix.sequence.images,
        sampled=(False,) * len(given) + (True,) * len(ids),
        logprobs=(0.0,) * len(given) + logprobs,
    )


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_recorded_log_probabilities_are_those_of_a_forward_pass_here(
    temperature: float, tiny: TransformersPolicy, remote: RemotePolicy, prompts: list[Prefix]
) -> None:
    sampling = Sampling(temperature=temperature, max_turn_tokens=6)
    turns = remote.sample(prompts, sampling, seed=3)
    forced = [Prefix(sequence=p.sequence, forced=turn.ids[:2]) for p, turn in zip(prompts, turns, strict=True)]
    for prefixes, written in ((prompts, turns), (forced, remote.sample(forced, sampling, seed=4))):
        sequences = [after(prefix, turn.ids, turn.logprobs) for prefix, turn in zip(prefixes, written, strict=True)]
        with torch.no_grad():
            scores = tiny.logprobs(sequences, temperature=temperature or 1.0)
        for turn, score in zip(written, scores, strict=True):
            assert turn.ids
            assert score.tolist() == pytest.approx(turn.logprobs, abs=1e-4)


def test_the_most_probable_tokens_are_those_of_the_model_and_are_asked_for_once(
    tiny: TransformersPolicy, remote: RemotePolicy, server: CompletionsServer, prompts: list[Prefix]
) -> None:
    greedy = Sampling(temperature=0.0, max_turn_tokens=6)
    turns = remote.sample([prompts[0]] * 3, greedy, seed=0)
    assert {turn.ids for turn in turns} == {tiny.sample(prompts[:1], greedy, seed=9)[0].ids}
    assert [body["n"] for body in server.requests] == [1]


def test_scores_of_prompts_are_those_of_the_model(
    tiny: TransformersPolicy, remote: RemotePolicy, prompts: list[Prefix]
) -> None:
    sequences = [prefix.sequence for prefix in prompts] + [after(prompts[1], (60, 61, 62), (0.0,) * 3)]
    with torch.no_grad():
        expected = tiny.logprobs(sequences)
    scores = remote.logprobs(sequences)
    assert [len(score) for score in scores] == [0, 0, 3, 3]
    for ours, theirs in zip(scores, expected, strict=True):
        assert (ours.dtype, ours.requires_grad) == (torch.float32, False)
        assert torch.allclose(ours, theirs, atol=1e-4)
    with pytest.raises(PolicyError, match="expected temperature 1"):
        remote.logprobs(sequences, temperature=0.5)
    with pytest.raises(PolicyError, match="expected a sequence to begin with a context"):
        remote.logprobs([TokenSequence(ids=(5,), sampled=(True,), logprobs=(0.0,))])


def test_a_group_is_one_request_and_its_turns_differ(
    remote: RemotePolicy, server: CompletionsServer, prompts: list[Prefix]
) -> None:
    group = [prompts[0], prompts[1], prompts[0], prompts[0]]
    turns = remote.sample(group, SHORT, seed=5)
    first, second = sorted(server.requests, key=lambda body: "prompt" not in body)
    assert first["n"] == 3
    assert second["sampling_params"]["n"] == 1
    assert len({turns[place].ids for place in (0, 2, 3)}) == 3
    assert remote.sample(group, SHORT, seed=5) == turns
    assert remote.sample(group, SHORT, seed=6) != turns


def test_large_groups_are_split_and_seeded_apart(server: CompletionsServer, prompts: list[Prefix]) -> None:
    settings = RemoteSettings(url=server.url, samples_per_request=2)
    with load_remote_policy(str(tiny_folder()), settings) as remote:
        server.requests.clear()
        remote.sample([prompts[0]] * 5, SHORT, seed=0)
    assert sorted(body["n"] for body in server.requests) == [1, 2, 2]
    assert len({body["seed"] for body in server.requests}) == 3


def test_limits_count_forced_tokens_and_leave_full_episodes_alone(
    remote: RemotePolicy, server: CompletionsServer, prompts: list[Prefix]
) -> None:
    sequence = prompts[0].sequence
    forced = Prefix(sequence=sequence, forced=(70, 71, 72, 73))
    full = Sampling(max_episode_tokens=len(sequence.ids))
    (turn,) = remote.sample([forced], SHORT, seed=0)
    assert 1 <= len(turn.ids) <= 2
    assert server.requests[-1]["prompt"] == [*sequence.ids, 70, 71, 72, 73]
    (nothing,) = remote.sample(prompts[:1], full, seed=0)
    assert (nothing.ids, nothing.finish) == ((), FinishReason.LENGTH)
    assert len(server.requests) == 1


def test_contexts_are_those_of_the_local_policy(
    tiny: TransformersPolicy, remote: RemotePolicy, kit: SimpleNamespace
) -> None:
    parts = (kit.image(0), "Which?")
    assert kit.encode(remote, *parts, instructions="Look.") == kit.encode(tiny, *parts, instructions="Look.")
    assert remote.encode_observation(("seen",), after=(2,)) == tiny.encode_observation(("seen",), after=(2,))
    assert (remote.version, remote.supports_images) == (0, True)
    ids = tiny.tokenizer("<think>a</think><tool_call>{}</tool_call>")["input_ids"]
    assert remote.find_spans(ids) == tiny.find_spans(ids)
    assert remote.decode_turn(ids) == tiny.decode_turn(ids)


def test_whole_episodes_are_rolled(tiny: TransformersPolicy, remote: RemotePolicy) -> None:
    env = VisualZoom(split="validation")
    starts = [Start(state=env.begin(env.questions.question(number))) for number in (0, 0, 1)]
    rollouts = roll(remote, env, starts, Sampling(max_turn_tokens=8), seed=0)
    for rollout in rollouts:
        assert isinstance(rollout, Rollout)
        with torch.no_grad():
            (scores,) = tiny.logprobs([rollout.sequence()])
        recorded = [value for turn in rollout for value in turn.logprobs]
        assert scores.tolist() == pytest.approx(recorded, abs=1e-4)


def test_images_may_be_left_out(server: CompletionsServer, kit: SimpleNamespace) -> None:
    with load_remote_policy(str(tiny_folder()), RemoteSettings(url=server.url, images=False)) as remote:
        assert not remote.supports_images
        with pytest.raises(PolicyError, match="the model reads text only"):
            kit.encode(remote, kit.image(0), "Which?")
        context = Context(ids=(5,), images=(kit.image(0),))
        with pytest.raises(PolicyError, match="expected text only"):
            remote.sample([Prefix(sequence=kit.given(context))], SHORT, seed=0)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import gymnasium
import axpo_envs
from axpo_agents import Sampling, Start, roll
from axpo_agents.remote import RemoteSettings, load_remote_policy
from axpo_agents.tiny import tiny_folder

env = gymnasium.make("axpo/VisualZoom-v0").unwrapped
starts = [Start(state=env.begin(env.questions.question(index), seed=index)) for index in range(2)]
with load_remote_policy(str(tiny_folder()), RemoteSettings(url=sys.argv[1])) as policy:
    rollouts = roll(policy, env, starts, Sampling(max_turn_tokens=24), seed=0)
print([len(rollout.completions) > 0 for rollout in rollouts])
"""


def test_a_policy_behind_a_server_needs_no_torch_here(server: CompletionsServer) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[True, True]", done.stderr
