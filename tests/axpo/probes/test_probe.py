from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axpo.checkpoint_evaluation import locate_checkpoint
from axpo.cli import main
from axpo.evaluation.evaluate import EvaluationPlan, evaluate, sample_held_out
from axpo.probes import ProbeConfig, ProbeName, ProbeResult, Sources, Subject, probe, probe_checkpoint, without_tools
from axpo.report._plane import PlanePoint, write_plane
from axpo.settings._evaluation import EvalConfig
from axpo.settings.config import ConfigError, SamplingConfig
from axpo_agents.policy import Prefix, Sampled
from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.transformers_policy import load_policy
from axpo_agents.types import FinishReason, Sampling
from axpo_envs import ExactMatch, InfrastructureFault, ListQuestions, Question, ToolEnv, ToolEnvSpec
from axpo_envs.tools import tool
from axpo_envs.types import ToolCall

SAMPLING = SamplingConfig(
    questions=2, group_size=3, max_turn_tokens=200, max_episode_tokens=1000, fault_retries=0, fault_wait_s=0.0
)
PLAN = EvaluationPlan(questions=4, sampling=SAMPLING)
CONFIG = ProbeConfig(resamples=4)
THINK = "<think>t</think>\n"
ALL_WRONG = "<answer>bad</answer>"
RIGHT = "<answer>good</answer>"


def call(at: str, name: str = "look") -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {{"at": "{at}"}}}}</tool_call>'


class Scripted:
    """Four questions: it fails by acting, succeeds by acting, fails without, succeeds without.

    Behind an opened call, the first question's places are drawn in turn: two spellings of the good one, two others.
    """

    def __init__(self, toy: Any, *, obeys: bool = True) -> None:
        self.toy = toy
        self.obeys = obeys
        self.version = 0
        self.places = itertools.cycle(["good", " GOOD", "bad", "far"])
        self.asked: list[str] = []
        basis = toy.Policy(self.write)
        for name in ("encode_prompt", "encode_observation", "decode_turn", "find_spans"):
            setattr(self, name, getattr(basis, name))

    def encode_call(self, call: ToolCall) -> list[int]:
        return list(self.toy.encode(f'<tool_call>{{"name": "{call.name}"}}</tool_call>'))

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        may_call = not (self.obeys and sampling.forbidden)
        if sampling.forbidden:
            assert sampling.forbidden == self.toy.encode("<tool_call>")
        texts = [self.toy.decode(prefix.sequence.ids + prefix.forced) for prefix in prefixes]
        self.asked += texts
        turns = [self.toy.encode(self.write(text, random.Random(0), may_call=may_call) + "<end>") for text in texts]
        return [Sampled(ids=ids, logprobs=(-1.0,) * len(ids), finish=FinishReason.STOP) for ids in turns]

    def write(self, text: str, _rng: random.Random, *, may_call: bool = True) -> str:
        number = int(text.partition("?")[0])
        if "</tool_call>" in text:
            return RIGHT if "seen good" in text else ALL_WRONG
        if text.endswith("<tool_call>"):
            place = next(self.places) if number == 0 else "good"
            return call(place, "look" if number < 3 else "see").removeprefix("<tool_call>")
        opened = "" if THINK in text else THINK
        if number < 2 and may_call:
            return opened + call("bad" if number == 0 else "good")
        return opened + (RIGHT if number in (0, 3) else ALL_WRONG)


def world(*broken: str, tools: bool = True) -> ToolEnv:
    @tool
    def look(at: str) -> str:
        """Looks at something."""
        if at in broken:
            raise InfrastructureFault(f"{at} is out of reach")
        return f"seen {at.strip().lower()}"

    questions = ListQuestions([Question(id=f"q{n}", prompt=(f"{n}?",), answer="good") for n in range(4)])
    spec = ToolEnvSpec(
        env_id="probed", questions=questions, tools=(look,) if tools else (), reward=ExactMatch(), max_turns=1
    )
    return ToolEnv(spec)


def values(result: ProbeResult) -> dict[str, float | None]:
    return {name: None if found is None else found.value for name, found in result.metrics.items()}


@pytest.fixture
def scripted(toy: Any) -> Scripted:
    return Scripted(toy)


@pytest.fixture(scope="module")
def toy_env() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1]))
        yield __import__("toy_env")


def test_the_plane_is_that_of_the_rollouts_as_they_are(scripted: Scripted) -> None:
    found = values(probe(scripted, world(), PLAN, replace(CONFIG, probes=())))
    assert found == {"pass1": 0.5, "tool_attempt_rate": 0.5, "tool_pass1": 0.5, "no_tool_pass1": 0.5}


def test_calls_are_resampled_from_one_thought_per_question(scripted: Scripted) -> None:
    result = probe(scripted, world(), PLAN, replace(CONFIG, probes=(ProbeName.DIVERSITY,)))
    found = values(result)
    # Three clusters of 2, 1 and 1 calls, and one of 4; two and four of four continuations are right.
    spread = 0.5 * math.log(2) + 0.5 * math.log(4)
    assert found["call_diversity"] == 2.0
    assert found["call_entropy"] == pytest.approx(spread / 2)
    assert found["one_cluster_prefixes"] == 0.5
    assert found["resampled_pass1"] == 6 / 8
    assert found["recovered_prefixes"] == 1.0
    assert result.questions[0]["diversity"] == {
        "source": 0, "resamples": 4, "clusters": 3, "entropy": pytest.approx(spread), "right": 2
    }  # fmt: skip
    assert result.questions[2] == {"question": "q2"}
    assert (result.rollouts, result.resampled, result.dropped) == (12, 8, 0)
    assert scripted.asked.count(f"0?{THINK}<tool_call>") == 4


def test_only_failed_thoughts_are_resampled_on_demand(scripted: Scripted) -> None:
    config = replace(CONFIG, probes=(ProbeName.DIVERSITY,), sources=Sources.FAILED)
    result = probe(scripted, world(), PLAN, config)
    assert [("diversity" in question) for question in result.questions] == [True, False, False, False]
    assert result.metrics["call_diversity"].as_dict() == {"value": 3.0, "n": 1, "low": None, "high": None}


def test_a_rollout_without_calls_is_its_own_pair(scripted: Scripted) -> None:
    result = probe(scripted, world(), PLAN, replace(CONFIG, probes=(ProbeName.TOOLS,)))
    found = values(result)
    assert found["with_tools_pass1"] == found["without_tools_pass1"] == 0.5
    assert (found["tool_gain"], found["tool_harm"], found["tool_effect"]) == (0.25, 0.25, 0.0)
    counted = {
        question["question"]: (question["tools"]["gained"], question["tools"]["harmed"])
        for question in result.questions
    }
    assert counted == {"q0": (0, 3), "q1": (3, 0), "q2": (0, 0), "q3": (0, 0)}
    assert (result.resampled, result.undecided) == (6, {"tools": 0})
    # Only what called is asked again, behind its own thinking.
    assert scripted.asked[-6:] == [f"0?{THINK}"] * 3 + [f"1?{THINK}"] * 3


def test_rollouts_that_cannot_be_kept_from_calling_are_left_out(toy: Any) -> None:
    result = probe(Scripted(toy, obeys=False), world(), PLAN, replace(CONFIG, probes=(ProbeName.TOOLS,), attempts=3))
    assert result.undecided == {"tools": 6}
    assert result.resampled == 18
    assert [("tools" in question) for question in result.questions] == [False, False, True, True]
    assert result.metrics["tool_gain"].as_dict()["n"] == 6


def test_a_call_is_forced_behind_the_thinking(scripted: Scripted) -> None:
    result = probe(scripted, world(), PLAN, replace(CONFIG, probes=(ProbeName.FORCED,)))
    found = values(result)
    # q2 would have succeeded by acting; q3 calls an unknown tool, sees nothing good and answers wrong.
    assert found["forced_pass1"] == 0.5
    assert (found["forced_idle_pass1"], found["idle_pass1"]) == (0.5, 0.5)
    assert (found["could_have_acted"], found["could_have_retried"]) == (0.25, 0.0)
    assert (found["forced_recovery"], found["unforced_recovery"]) == (1.0, 0.0)
    assert found["forced_call_valid_rate"] == 0.5
    assert result.questions[2]["forced"]["recovered_forced"] == 3
    forced = [text for text in scripted.asked if text.endswith("<tool_call>")]
    assert sorted(forced) == [f"2?{THINK}<tool_call>"] * 3 + [f"3?{THINK}<tool_call>"] * 3


def test_thinking_without_an_end_cannot_be_followed_by_a_call(toy: Any) -> None:
    class Endless(Scripted):
        def write(self, text: str, rng: random.Random, *, may_call: bool = True) -> str:
            return "<think>on and on"

    result = probe(Endless(toy), world(), PLAN, replace(CONFIG, probes=(ProbeName.FORCED,)))
    assert result.undecided == {"forced": 12}
    assert result.metrics["forced_idle_pass1"] is None
    assert result.as_record()["metrics"]["could_have_acted"] == {"value": None, "n": 0, "low": None, "high": None}


def test_forcing_needs_tools_and_a_policy_that_writes_calls(toy: Any, scripted: Scripted) -> None:
    config = replace(CONFIG, probes=(ProbeName.FORCED,))
    with pytest.raises(ConfigError, match="needs an environment with tools"):
        probe(scripted, world(tools=False), PLAN, config)
    with pytest.raises(ConfigError, match="needs a policy with encode_call; ToyPolicy has none"):
        probe(toy.Policy(lambda text, rng: THINK + ALL_WRONG), world(), PLAN, config)


def test_episodes_that_faults_took_are_counted_and_scored_nowhere(scripted: Scripted) -> None:
    result = probe(scripted, world("far", " GOOD"), PLAN, replace(CONFIG, probes=(ProbeName.DIVERSITY,)))
    assert result.dropped == 2
    assert result.questions[0]["diversity"]["resamples"] == 2
    assert result.metrics["resampled_pass1"].value == 5 / 6


def test_probes_of_a_model_depend_on_the_seed_and_not_on_how_many_are_sampled_together(toy_env: Any) -> None:
    policy, env = load_policy("tiny-random"), toy_env.ChecksumEnv()

    def found(seed: int, at_a_time: int) -> dict[str, Any]:
        sampling = SamplingConfig(questions=at_a_time, group_size=4, max_turn_tokens=10)
        plan = EvaluationPlan(questions=6, sampling=sampling, seed=seed)
        record = probe(policy, env, plan, ProbeConfig(resamples=2)).as_record()
        return {name: value for name, value in record.items() if name != "seconds"}

    once = found(0, 6)
    assert once == found(0, 2)
    assert once != found(1, 6)
    assert once["metrics"]["call_diversity"]["n"] > 0
    assert 0 < once["metrics"]["tool_attempt_rate"]["value"] < 1


def test_pairs_of_a_model_share_every_token_before_the_call_and_hold_none_that_opens_one(toy_env: Any) -> None:
    policy, env = load_policy("tiny-random"), toy_env.ChecksumEnv()
    plan = EvaluationPlan(questions=8, sampling=SamplingConfig(questions=8, group_size=4, max_turn_tokens=12))
    groups = sample_held_out(policy, env, plan).groups
    assert evaluate(policy, env, plan).metrics["pass1"].n == len(groups)
    grown: list[Any] = []

    class Watched(Subject):
        def grow(self, starts: Any, *, forbidden: tuple[int, ...] = ()) -> list[Any]:
            ended = Subject.grow(self, starts, forbidden=forbidden)
            grown.extend(zip(starts, ended, strict=True))
            return ended

    subject = Watched(policy=policy, env=env, groups=groups, plan=plan, config=ProbeConfig())
    finding = without_tools(subject)
    acting = [rollout for group in groups for rollout in group.rollouts if rollout.used_tool]
    assert len(grown) >= len(acting) > 0
    assert finding.undecided == 0
    tag = policy.tokenizer.convert_tokens_to_ids("<tool_call>")
    for rollout, (start, ended) in zip(acting, grown, strict=False):
        cut = rollout.completions[0].call.start
        assert start.forced == rollout.completions[0].ids[:cut] == ended.completions[0].ids[:cut]
        assert tag not in ended.completions[0].ids[cut:]


def test_a_policy_behind_a_server_is_probed_as_one_here(toy_env: Any) -> None:
    settings = EvalConfig(checkpoint="tiny", env=toy_env.ENV_ID, questions=1, samples=2, max_turn_tokens=8)
    with CompletionsServer(load_policy("tiny")) as server:
        remote = replace(settings, checkpoint=server.url, tokenizer="tiny")
        served = probe_checkpoint(locate_checkpoint(remote, warn=pytest.fail), ProbeConfig(resamples=2))
    here = probe_checkpoint(settings, ProbeConfig(resamples=2))
    assert served.rollouts == here.rollouts == 2
    assert list(served.metrics) == list(here.metrics)


def test_the_command_probes_checkpoints_and_draws_them(capsys: Any, tmp_path: Path) -> None:
    results, picture = tmp_path / "probe.json", tmp_path / "plane.svg"
    code = main([
        "probe", "tiny", "--also", "tiny-random", "--env", "axpo/VisualZoom-v0", "--questions", "2", "--samples", "2",
        "--resamples", "2", "--max-turn-tokens", "40", "--json", str(results), "--plane", str(picture),
    ])  # fmt: skip
    assert code == 0
    record = json.loads(results.read_text())
    assert set(record["metrics"]["tool_gain"]) == {"value", "n", "low", "high"}
    assert record["metrics"]["tool_attempt_rate"]["n"] == 4
    assert [other["checkpoint"] for other in record["also"]] == ["tiny-random"]
    assert record["probes"]["resamples"] == 2
    assert "call_diversity" in capsys.readouterr().out
    assert picture.read_text().startswith("<svg")


def test_unusable_arguments_are_told_before_any_work(capsys: Any, tmp_path: Path) -> None:
    assert main(["probe", "tiny", "--env", "axpo/VisualZoom-v0", "--plane", str(tmp_path / "plane.pdf")]) == 2
    assert "expected a .svg or .png file" in capsys.readouterr().err
    assert main(["probe", str(tmp_path), "--every-checkpoint"]) == 2
    assert "expected the folder of a training run with checkpoints" in capsys.readouterr().err
    assert main(["probe", "tiny", "--env", "axpo/VisualZoom-v0", "--overlap", "2"]) == 2
    assert "overlap" in capsys.readouterr().err


def test_the_picture_is_the_same_for_the_same_points(tmp_path: Path) -> None:
    known = {"value": 0.5, "low": 0.4, "high": 0.6}
    lone, unknown = {"value": 0.5, "low": None, "high": None}, {"value": None, "low": None, "high": None}
    points = [PlanePoint(label="a", across=known, up=lone), PlanePoint(label="b", across=known, up=unknown)]
    for name in ("one.svg", "two.svg", "three.png"):
        write_plane(points, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "three.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        write_plane(points, tmp_path / "four.pdf")
