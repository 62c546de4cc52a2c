from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import axpo
from axpo.evaluation.evaluate import EvaluationPlan, evaluate
from axpo.run.display import Silent
from axpo.settings.config import ConfigError, SamplingConfig
from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.transformers_policy import load_policy
from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec
from axpo_envs.errors import InfrastructureFault

SAMPLING = SamplingConfig(questions=2, group_size=4)


@pytest.fixture(autouse=True)
def toy_env(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


def env(count: int) -> ToolEnv:
    """Question n has the answer n."""
    questions = ListQuestions(Question(id=f"q{n}", prompt=(f"{n}?",), answer=str(n)) for n in range(count))
    return ToolEnv(ToolEnvSpec(env_id="numbers", questions=questions, tools=(), reward=ExactMatch()))


def answers_even_numbers(text: str, rng: Any) -> str:
    number = int(text.partition("?")[0])
    return f"<answer>{number if number % 2 == 0 else 'no idea'}</answer>"


class TestEvaluate:
    def test_measures_the_first_questions_in_their_order(self, toy):
        policy = toy.Policy(answers_even_numbers)
        evaluation = evaluate(policy, env(9), EvaluationPlan(questions=5, sampling=SAMPLING))
        asked = [toy.decode(prefix.sequence.ids) for call in policy.calls for prefix in call]
        assert asked == [f"{n}?" for n in range(5) for _ in range(4)]
        assert [len(call) for call in policy.calls] == [8, 8, 4]
        assert evaluation.metrics["pass1"].value == evaluation.metrics["pass4"].value == 3 / 5
        assert evaluation.metrics["pass1"].n == 5
        assert evaluation.metrics["pass1"].low < 3 / 5 < evaluation.metrics["pass1"].high
        assert evaluation.metrics["tool_pass1"] is None
        assert (evaluation.questions, evaluation.rollouts) == (5, 20)
        assert evaluation.tokens == sum(len(toy.encode(answers_even_numbers(f"{n}?", None))) + 1 for n in range(5)) * 4

    def test_asks_what_there_is(self, toy):
        evaluation = evaluate(
            toy.Policy(answers_even_numbers), env(3), EvaluationPlan(questions=100, sampling=SAMPLING)
        )
        assert evaluation.questions == 3

    def test_a_threshold_that_every_reward_reaches_is_told(self, toy, caplog):
        plan = EvaluationPlan(questions=2, sampling=SAMPLING, success_threshold=0.0)
        evaluation = evaluate(toy.Policy(answers_even_numbers), env(2), plan)
        assert evaluation.metrics["pass1"].value == 1.0
        assert "a reward of 0 counts as a success" in caplog.text

    def test_pass_at_4_needs_four_samples(self, toy):
        plan = EvaluationPlan(questions=2, sampling=SamplingConfig(group_size=2))
        assert "pass4" not in evaluate(toy.Policy(answers_even_numbers), env(2), plan).metrics

    def test_is_a_function_of_its_seed(self, toy):
        def guess(text: str, rng: Any) -> str:
            return f"<answer>{rng.randint(0, 3)}</answer>"

        def pass1(seed: int) -> float:
            plan = EvaluationPlan(questions=8, sampling=SAMPLING, seed=seed)
            return evaluate(toy.Policy(guess), env(8), plan).metrics["pass1"].value

        assert pass1(0) == pass1(0)
        assert len({pass1(seed) for seed in range(5)}) > 1

    @pytest.mark.parametrize("at_a_time", [1, 3, 8])
    def test_does_not_depend_on_how_many_questions_are_sampled_at_a_time(self, toy_env, at_a_time):
        world = toy_env.ChecksumEnv()
        results = []
        for questions in (4, at_a_time):
            sampling = SamplingConfig(questions=questions, group_size=3, max_turn_tokens=10)
            policy = load_policy("tiny-random")
            record = evaluate(policy, world, EvaluationPlan(questions=8, sampling=sampling)).as_record()
            results.append({name: value for name, value in record.items() if name != "seconds"})
        assert results[0] == results[1]

    def test_prompts_that_leave_no_room_are_counted_as_wrong_and_refused_if_all_do(self, toy, caplog):
        texts = ["0?", "2" * 40 + "?", "4?"]
        questions = ListQuestions(Question(id=t, prompt=(t,), answer=t[:-1]) for t in texts)
        world = ToolEnv(ToolEnvSpec(env_id="numbers", questions=questions, tools=(), reward=ExactMatch()))
        plan = EvaluationPlan(sampling=SamplingConfig(group_size=2, max_turn_tokens=30, max_episode_tokens=35))
        evaluation = evaluate(toy.Policy(answers_even_numbers), world, plan)
        assert evaluation.as_record()["prompts_too_long"] == 1
        assert evaluation.metrics["pass1"].value == pytest.approx(2 / 3)
        assert "1 of 3 questions leave no room" in caplog.text
        short = EvaluationPlan(sampling=SamplingConfig(group_size=2, max_turn_tokens=2, max_episode_tokens=2))
        with pytest.raises(ConfigError, match="3 of 3 questions leave no room"):
            evaluate(toy.Policy(answers_even_numbers), world, short)

    def test_lost_episodes_are_counted_by_whether_they_acted(self, toy):
        class Judge:
            def __call__(self, question: Any, answer: Any, state: Any) -> Any:
                if answer == "4":
                    raise InfrastructureFault("the judge is unreachable")
                return ExactMatch()(question, answer, state)

        world = ToolEnv(ToolEnvSpec(env_id="numbers", questions=env(5).questions, tools=(), reward=Judge()))
        sampling = SamplingConfig(group_size=2, fault_retries=1, fault_wait_s=0)
        record = evaluate(toy.Policy(answers_even_numbers), world, EvaluationPlan(sampling=sampling)).as_record()
        assert (record["questions"], record["dropped_rollouts"], record["dropped_tool_rollouts"]) == (4, 2, 0)

    def test_tells_how_far_it_is(self, toy):
        shares: list[float] = []
        plan = EvaluationPlan(questions=5, sampling=SAMPLING)
        evaluate(toy.Policy(answers_even_numbers), env(5), plan, progress=shares.append)
        assert shares == [2 / 5, 4 / 5, 1.0]

    def test_record_holds_every_metric_in_one_form(self, toy):
        record = evaluate(toy.Policy(answers_even_numbers), env(2), EvaluationPlan(sampling=SAMPLING)).as_record()
        assert all(set(metric) == {"value", "n", "low", "high"} for metric in record["metrics"].values())
        assert record["metrics"]["tool_pass1"] == {"value": None, "n": 0, "low": None, "high": None}
        json.dumps(record, allow_nan=False)


class TestCheckpoint:
    def test_a_run_stands_for_its_newest_checkpoint_and_brings_its_environment(self, toy_env, tmp_path):
        log = {"checkpoint_every": 1, "eval_questions": 3}
        config = toy_env.toy_config(tmp_path / "run", steps=2, env_args=("size=5",), log=log)
        run = axpo.train(config, display=Silent())
        settings = axpo.EvalConfig(checkpoint=str(run.folder), questions=3, samples=4, at_a_time=4, max_turn_tokens=12)
        located = axpo.locate_checkpoint(settings, warn=pytest.fail)
        assert located.checkpoint == str(run.checkpoint)
        assert (located.env, located.env_args) == (toy_env.ENV_ID, ("size=5",))
        evaluation = axpo.evaluate_checkpoint(located)
        assert evaluation.as_record()["metrics"] == run.evaluations[-1]["metrics"]
        given = axpo.EvalConfig(checkpoint=str(run.checkpoint), env_args=("size=3", "pictures=false"))
        assert axpo.locate_checkpoint(given, warn=pytest.fail).env_args == ("size=3", "pictures=false")
        other = axpo.EvalConfig(checkpoint=str(run.folder), env="axpo/VisualZoom-v0")
        assert axpo.locate_checkpoint(other, warn=pytest.fail).env_args == ()

    def test_a_policy_behind_a_server_is_evaluated_as_one_here(self, toy_env):
        settings = {"env": toy_env.ENV_ID, "questions": 2, "samples": 4, "max_turn_tokens": 8}
        with CompletionsServer(load_policy("tiny")) as server:
            remote = axpo.EvalConfig(checkpoint=server.url, tokenizer="tiny", **settings)
            evaluation = axpo.evaluate_checkpoint(axpo.locate_checkpoint(remote, warn=pytest.fail))
        local = axpo.evaluate_checkpoint(axpo.EvalConfig(checkpoint="tiny", **settings))
        counts = [{name: metric["n"] for name, metric in e.as_record()["metrics"].items()} for e in (evaluation, local)]
        assert counts[0]["pass1"] == counts[1]["pass1"] == 2

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            ({"checkpoint": "tiny-random"}, "env: tiny-random is no run's checkpoint, so it takes --env"),
            ({"checkpoint": "tiny-random", "questions": 0}, "questions: expected greater than or equal to 1; got 0"),
            (
                {"checkpoint": "http://host/v1", "env": "axpo/VisualZoom-v0"},
                "tokenizer: expected the checkpoint that the",
            ),
            ({"checkpoint": "http://host/v1", "tokenizer": "tiny"}, "env: a server knows no environment"),
            (
                {"checkpoint": "tiny", "tokenizer": "tiny"},
                "tokenizer: expected none without a server's address; got tiny",
            ),
            ({"checkpoint": "./nowhere"}, "model: there is no folder nowhere"),
        ],
    )
    def test_says_what_is_missing(self, settings, problem):
        with pytest.raises(ConfigError, match=problem):
            axpo.locate_checkpoint(axpo.EvalConfig(**settings), warn=pytest.fail)
