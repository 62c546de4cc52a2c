"""Tests of objects beside names: runs of a given environment or policy, evaluations of whatever samples or writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import axpo
from axpo import ConfigError, EvaluationPlan, SamplingConfig, Silent
from axpo.run.trainer import load_settings
from axpo_agents.transformers_policy import load_policy
from axpo_envs.suite.visual_zoom import RandomFloor, ZoomExpert


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


def test_a_run_of_a_given_environment_is_that_of_its_name(toy: Any, tmp_path: Path) -> None:
    named = axpo.train(toy.toy_config(tmp_path / "named", steps=2), display=Silent())
    given = axpo.train(toy.toy_config(tmp_path / "given", steps=2), env=gymnasium.make(toy.ENV_ID), display=Silent())
    assert toy.timeless(given.metrics) == toy.timeless(named.metrics)
    assert f'env = "given:{toy.ENV_ID}"' in (given.folder / "config.toml").read_text()
    assert (given.folder / "report.html").is_file()


def test_a_run_of_a_given_environment_is_resumed_with_it_alone(toy: Any, tmp_path: Path) -> None:
    env = gymnasium.make(toy.ENV_ID)
    run = axpo.train(toy.toy_config(tmp_path / "run", steps=1), env=env, display=Silent())
    with pytest.raises(ConfigError, match=r"given; give it again: axpo\.resume\(folder, env=\.\.\.\)"):
        axpo.resume(run.folder, changes={"steps": 2}, display=Silent())
    resumed = axpo.resume(run.folder, changes={"steps": 2}, env=env, display=Silent())
    straight = axpo.train(toy.toy_config(tmp_path / "straight", steps=2), env=env, display=Silent())
    assert toy.timeless(resumed.metrics) == toy.timeless(straight.metrics)


def test_questions_of_a_given_environment_are_held_out(toy: Any, tmp_path: Path) -> None:
    config = toy.toy_config(tmp_path / "run", steps=1, log={"eval_questions": 2})
    run = axpo.train(config, env=gymnasium.make(toy.ENV_ID, size=20), display=Silent())
    assert [record["split"] for record in run.evaluations] == ["held_out"] * 2


def test_training_starts_from_a_given_policy(toy: Any, tmp_path: Path) -> None:
    config = toy.toy_config(tmp_path / "run", steps=1)
    policy = load_policy("tiny-random", load_settings(config.policy, seed=config.seed))
    given = axpo.train(config, policy=policy, display=Silent())
    named = axpo.train(toy.toy_config(tmp_path / "named", steps=1), display=Silent())
    assert given.metrics[0]["reward_mean"] == named.metrics[0]["reward_mean"]
    assert policy.version == 0
    with pytest.raises(ConfigError, match="a policy or a model; got both"):
        axpo.train(config, policy=policy, model=policy)
    with pytest.raises(ConfigError, match="expected a ToolEnv"):
        axpo.train(config, env=toy.OtherEnv())


def test_agents_that_write_text_are_evaluated_like_policies() -> None:
    env = gymnasium.make("axpo/VisualZoom-v0", split="validation").unwrapped
    plan = EvaluationPlan(questions=4, sampling=SamplingConfig(questions=2, group_size=2), split="validation")
    expert, floor = (axpo.evaluate(agent, env, plan).metrics for agent in (ZoomExpert(env), RandomFloor(env)))
    assert expert["pass1"].value == expert["tool_attempt_rate"].value == 1.0
    assert floor["pass1"].value < 1.0
    assert (expert["tool_attempt_rate"].n, expert["cut_off_rate"].value) == (8, 0.0)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import gymnasium
import axpo_envs
from axpo_agents import Context, FinishReason, Sampled, Sampler, Sampling, Start, TurnSpans, roll

class Letters(Sampler):
    version = 0
    def encode_prompt(self, env, state): return Context(ids=(1, 2))
    def encode_observation(self, observation, *, after): return Context(ids=(3,))
    def decode_turn(self, ids): return "".join(map(chr, ids))
    def find_spans(self, ids): return TurnSpans(thinking=None, call=None, cut=None)
    def sample(self, prefixes, sampling, *, seed):
        ids = tuple(map(ord, "<answer>7</answer>"))
        return [Sampled(ids=ids, logprobs=(0.0,) * len(ids), finish=FinishReason.STOP) for _ in prefixes]

env = gymnasium.make("axpo/VisualZoom-v0").unwrapped
starts = [Start(state=env.begin(env.questions.question(index), seed=index)) for index in range(3)]
policy = Letters()
policy.forget()
print([rollout.episode.stop.value for rollout in roll(policy, env, starts, Sampling(), seed=0)])
"""


def test_a_sampler_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['answered', 'answered', 'answered']", done.stderr
