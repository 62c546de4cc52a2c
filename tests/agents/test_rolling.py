from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from axpo_agents.errors import NonFiniteError
from axpo_agents.policy import Prefix, Sampled
from axpo_agents.rolling import Lost, Start, roll, roll_agent
from axpo_agents.types import FinishReason, Rollout, Sampling
from axpo_envs.backends.search import Document, Hit
from axpo_envs.env import ToolEnv, ToolEnvSpec
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.web import Retries
from axpo_envs.questions.sources import ListQuestions
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.tools import Effects, tool
from axpo_envs.tools.search import Search
from axpo_envs.types import EpisodeState, Question, RewardTerm, StopReason

SAMPLING = Sampling(max_turn_tokens=200, max_episode_tokens=1000)


@tool
def look(at: str) -> str:
    """Looks at something."""
    if at == "broken":
        raise InfrastructureFault("the camera is unreachable")
    return f"seen {at}"


def call(at: str) -> str:
    return f'<tool_call>{{"name": "look", "arguments": {{"at": "{at}"}}}}</tool_call>'


def make_env(**changes: Any) -> ToolEnv:
    questions = ListQuestions([Question(id=f"q{i}", prompt=(f"Question {i}?",), answer=str(i)) for i in range(8)])
    rules = ToolEnvSpec(env_id="test", questions=questions, tools=(look,), reward=ExactMatch(), max_turns=2)
    return ToolEnv(replace(rules, **changes))


def starts_of(env: ToolEnv, count: int) -> list[Start]:
    return [Start(state=env.begin(env.questions.question(number))) for number in range(count)]


def looking(text: str, rng: Any) -> str:
    """Answers odd questions at once; looks first at even ones."""
    number = int(text[len("Question ")])
    if number % 2 == 0 and "seen" not in text:
        return f"<think>t</think>{call(str(number))}"
    return f"<answer>{number}</answer>"


def finished(outcomes: Sequence[Rollout | Lost]) -> list[Rollout]:
    assert all(isinstance(outcome, Rollout) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Rollout)]


def test_all_episodes_advance_together_and_end_on_their_own(toy):
    env, policy = make_env(), toy.Policy(looking, version=5)
    rollouts = finished(roll(policy, env, starts_of(env, 4), SAMPLING, seed=0))
    assert [rollout.episode.question.id for rollout in rollouts] == ["q0", "q1", "q2", "q3"]
    assert [rollout.reward for rollout in rollouts] == [1.0] * 4
    assert [len(rollout.completions) for rollout in rollouts] == [2, 1, 2, 1]
    assert [len(prefixes) for prefixes in policy.calls] == [4, 2]  # one call of the policy per round
    assert {turn.policy_version for rollout in rollouts for turn in rollout} == {5}


def test_completions_are_complete_and_snapshots_lie_before_each_turn(toy):
    env, policy = make_env(), toy.Policy(looking)
    (rollout,) = finished(roll(policy, env, starts_of(env, 1), SAMPLING, seed=0))
    first, second = rollout.completions
    assert toy.decode(first.context.ids) == "Question 0?"
    assert toy.decode(first.ids) == f"<think>t</think>{call('0')}<end>"
    assert first.thinking == (0, 3)
    assert first.call == (3, len(first.ids) - 1)
    assert first.cut == 4
    assert (first.finish, first.forced) == (FinishReason.STOP, 0)
    assert toy.decode(second.context.ids) == "\nseen 0\n"
    assert (second.call, second.cut) == (None, None)
    assert [len(snapshot.state.turns) for snapshot in rollout.snapshots] == [0, 1]
    assert [turn.text for turn in rollout.episode.turns] == [
        f"<think>t</think>{call('0')}",
        "<answer>0</answer>",
    ]
    # What was recorded is what the policy itself says of the whole sequence.
    (scored,) = policy.logprobs([rollout.sequence()])
    assert [*first.logprobs, *second.logprobs] == pytest.approx(scored.tolist())


def test_a_continuation_repeats_its_prefix_and_samples_the_rest(toy):
    env = make_env()
    (source,) = finished(roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0))
    other = toy.Policy(
        lambda text, rng: "<answer>0</answer>" if "seen" in text else call("elsewhere").removeprefix("<tool_call>")
    )
    start = Start.within(source, turn=0, token=4)
    (continuation,) = finished(roll(other, env, [start], SAMPLING, seed=1))
    first, second = continuation.completions
    assert toy.decode(first.ids) == f"<think>t</think>{call('elsewhere')}<end>"
    assert first.forced == 4
    assert first.ids[:4] == source.completions[0].ids[:4]
    assert first.logprobs[:4] == source.completions[0].logprobs[:4]
    assert first.context is source.completions[0].context
    assert first.cut == 4
    assert first.call == (3, len(first.ids) - 1)
    assert second.forced == 0
    assert toy.decode(second.context.ids) == "\nseen elsewhere\n"
    assert other.calls[0][0].forced == source.completions[0].ids[:4]
    (scored,) = other.logprobs([continuation.sequence()])
    assert [*first.logprobs, *second.logprobs] == pytest.approx(scored.tolist())


def test_a_continuation_of_a_later_turn_keeps_the_turns_before_it(toy):
    env = make_env()
    (source,) = finished(roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0))
    start = Start.within(source, turn=1, token=1)
    (continuation,) = finished(roll(toy.Policy(lambda text, rng: "9</answer>"), env, [start], SAMPLING, seed=1))
    assert continuation.completions[0] is source.completions[0]
    assert continuation.snapshots == source.snapshots
    assert continuation.episode.turns[0] is source.episode.turns[0]
    assert (continuation.episode.turns[1].text, continuation.reward) == ("<answer>9</answer>", 0.0)
    assert continuation.completions[1].context is source.completions[1].context


def test_continuing_the_same_way_gives_the_same_episode(toy):
    env, policy = make_env(), toy.Policy(looking)
    (source,) = finished(roll(policy, env, starts_of(env, 1), SAMPLING, seed=0))
    for turn, token in ((0, 0), (1, 0)):
        start = Start.within(source, turn=turn, token=token)
        assert finished(roll(policy, env, [start], SAMPLING, seed=9))[0].completions == source.completions
        encoded_anew = replace(start, context=None)
        assert finished(roll(policy, env, [encoded_anew], SAMPLING, seed=9))[0].completions == source.completions


def test_results_are_a_function_of_the_seed_and_rounds_differ(toy):
    env = make_env()

    def script(text: str, rng: Any) -> str:
        draw = "".join(rng.choice("0123456789") for _ in range(9))
        return call(draw) if text.count("seen") < 2 else f"<answer>{draw}</answer>"

    def texts(seed: int) -> list[str]:
        rollouts = finished(roll(toy.Policy(script), env, starts_of(env, 2), SAMPLING, seed=seed))
        return [turn.text for rollout in rollouts for turn in rollout.episode.turns]

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)
    digits = ["".join(filter(str.isdigit, text)) for text in texts(3)]
    assert len(set(digits)) == 6


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"max_turn_tokens": 6}, 6),
        ({"max_episode_tokens": len("Question 0?") + 5}, 5),
        ({"max_episode_tokens": len("Question 0?")}, 0),  # no room for a single token
        ({"max_episode_tokens": 3}, 0),
    ],
)
def test_a_turn_that_exceeds_a_limit_is_cut_off_and_not_executed(toy, limits, kept):
    env, policy = make_env(), toy.Policy(looking)
    (rollout,) = finished(roll(policy, env, starts_of(env, 1), replace(SAMPLING, **limits), seed=0))
    (turn,) = rollout.completions
    assert (len(turn.ids), len(turn.logprobs), turn.finish) == (kept, kept, FinishReason.LENGTH)
    assert rollout.episode.stop is StopReason.MAX_TOKENS
    assert rollout.reward == 0
    assert len(policy.calls) == (kept > 0)


def test_forced_tokens_count_towards_the_limits(toy):
    env = make_env()
    (source,) = finished(roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0))
    start = Start.within(source, turn=0, token=4)
    for limit, length in ((6, 6), (4, 4), (2, 4)):
        sampling = replace(SAMPLING, max_turn_tokens=limit)
        (rollout,) = finished(roll(toy.Policy(looking), env, [start], sampling, seed=0))
        assert (len(rollout.completions[0].ids), rollout.completions[0].forced) == (length, 4)
        assert rollout.episode.stop is StopReason.MAX_TOKENS


def test_a_turn_cut_off_by_the_policy_itself_is_not_executed(toy):
    class Short(toy.Policy):
        def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
            return [
                replace(sampled, finish=FinishReason.LENGTH)
                for sampled in super().sample(prefixes, sampling, seed=seed)
            ]

    env = make_env()
    (rollout,) = finished(roll(Short(looking), env, starts_of(env, 1), SAMPLING, seed=0))
    assert rollout.episode.stop is StopReason.MAX_TOKENS


AT_ONCE = Retries(attempts=2, first_wait_s=0.0)


def test_a_tool_fault_takes_its_episode_only(toy):
    env = make_env()
    starts = starts_of(env, 3)
    policy = toy.Policy(lambda text, rng: call("broken") if "Question 1" in text else "<answer>2</answer>")
    before, lost, after = roll(policy, env, starts, SAMPLING, seed=0, retries=AT_ONCE)
    assert isinstance(lost, Lost)
    assert lost.used_tool
    assert lost.start is starts[1]
    assert "camera" in str(lost.fault)
    assert [rollout.reward for rollout in finished([before, after])] == [0.0, 1.0]


def test_an_episode_lost_late_is_lost_from_its_start(toy):
    env = make_env()
    (start,) = starts_of(env, 1)
    policy = toy.Policy(lambda text, rng: call("broken" if "seen" in text else "here"))
    (lost,) = roll(policy, env, [start], SAMPLING, seed=0, retries=AT_ONCE)
    assert isinstance(lost, Lost)
    assert lost.start is start


class Flaky:
    """A tool whose first calls meet a fault."""

    def __init__(self, faults: int, **settings: Any) -> None:
        self.calls: list[str] = []

        @tool(name="look", **settings)
        def look(at: str) -> str:
            """Looks at something."""
            self.calls.append(at)
            if len(self.calls) <= faults:
                raise InfrastructureFault("the camera is unreachable")
            return f"seen {at}"

        self.look = look


def test_a_faulty_turn_is_executed_again_after_growing_waits(toy):
    waits: list[float] = []
    flaky = Flaky(3)
    env = make_env(tools=(flaky.look,))
    retries = Retries(attempts=4, first_wait_s=1.0, sleep=waits.append, jitter=lambda: 1.0)
    (rollout,) = finished(roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0, retries=retries))
    assert rollout.reward == 1.0
    assert flaky.calls == ["0"] * 4
    assert waits == [1.0, 2.0, 4.0]


def test_a_call_with_external_effects_is_never_executed_twice(toy):
    flaky = Flaky(1, effects=Effects.EXTERNAL)
    env = make_env(tools=(flaky.look,))
    (lost,) = roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0, retries=AT_ONCE)
    assert isinstance(lost, Lost)
    assert flaky.calls == ["0"]


class FlakyWeb:
    """A live search service whose first answer does not come."""

    fingerprint = "web"
    effects = Effects.EXTERNAL
    opens = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    def check(self) -> None: ...

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        self.asked.append(query)
        if len(self.asked) == 1:
            raise InfrastructureFault("the service is unreachable")
        return (Hit(document=Document(id="1", title="Oslo", text="snow"), score=1.0),)

    def open(self, id: str) -> None: ...


def test_a_search_of_a_live_service_is_asked_again(toy):
    web = FlakyWeb()
    env = make_env(tools=(Search(web),))

    def searching(text: str, rng: Any) -> str:
        if "Oslo" in text:
            return "<answer>1</answer>"
        return '<tool_call>{"name": "search", "arguments": {"query": "weather"}}</tool_call>'

    (rollout,) = finished(roll(toy.Policy(searching), env, starts_of(env, 1), SAMPLING, seed=0, retries=AT_ONCE))
    assert rollout.used_tool
    assert "snow" in str(rollout.episode.turns[0].observation)
    assert web.asked == ["weather"] * 2


def test_a_fault_of_the_reward_is_no_acting(toy):
    class Judge:
        def __call__(self, question: Question, answer: str | None, state: EpisodeState) -> Any:
            raise InfrastructureFault("the judge is unreachable")

    env = make_env(reward=Judge())
    direct = toy.Policy(lambda text, rng: "<answer>0</answer>")
    after_call = toy.Policy(looking)
    outcomes = [roll(p, env, starts_of(env, 1), SAMPLING, seed=0, retries=AT_ONCE)[0] for p in (direct, after_call)]
    assert [isinstance(outcome, Lost) and outcome.used_tool for outcome in outcomes] == [False, True]


def test_a_fault_of_the_policy_is_tried_again_from_where_the_episodes_are(toy):
    class Flickering(toy.Policy):
        faults = 0

        def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
            if len(self.calls) == 1 and not self.faults:
                self.faults = 1
                raise InfrastructureFault("the server is gone")
            return super().sample(prefixes, sampling, seed=seed)

    env = make_env()
    policy = Flickering(looking)
    finished(roll(policy, env, starts_of(env, 4), SAMPLING, seed=0, retries=AT_ONCE))
    assert [len(prefixes) for prefixes in policy.calls] == [4, 2]


def test_a_turns_seed_belongs_to_its_episode_and_its_number(toy):
    env, policy = make_env(), toy.Policy(looking)
    starts = [replace(start, seed=number) for number, start in enumerate(starts_of(env, 4))]
    source = finished(roll(policy, env, starts, SAMPLING, seed=0))[2]
    seeds = [[prefix.seed for prefix in prefixes] for prefixes in policy.calls]
    assert len({seed for each in seeds for seed in each}) == 6
    policy.calls.clear()
    roll(policy, env, starts[2:3], SAMPLING, seed=0)
    assert [prefix.seed for (prefix,) in policy.calls] == [seeds[0][2], seeds[1][1]]
    policy.calls.clear()
    roll(policy, env, [replace(Start.within(source, turn=1, token=0), seed=2)], SAMPLING, seed=0)
    assert [prefix.seed for (prefix,) in policy.calls] == [seeds[1][1]]
    policy.calls.clear()
    roll(policy, env, starts[2:3], SAMPLING, seed=1)
    assert policy.calls[0][0].seed != seeds[0][2]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rewards_and_logprobs_that_are_not_finite_stop_with_their_question(toy, value):
    class Unsound(toy.Policy):
        def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
            turns = super().sample(prefixes, sampling, seed=seed)
            return [*turns[:-1], replace(turns[-1], logprobs=(0.0, value, *turns[-1].logprobs[2:]))]

    env = make_env()
    with pytest.raises(NonFiniteError, match=r"got (nan|inf) for token 1 of turn 1 of question 'q1'"):
        roll(Unsound(looking), env, starts_of(env, 2), SAMPLING, seed=0)

    class TooMuch:
        def __call__(self, question: Question, answer: str | None, state: EpisodeState) -> Any:
            return (RewardTerm(name="huge", value=1.7e308),) * 2

    huge = make_env(reward=TooMuch())
    with pytest.raises(NonFiniteError, match="finite reward; got inf for question 'q0'"):
        roll(toy.Policy(looking), huge, starts_of(huge, 1), SAMPLING, seed=0)


def test_a_fault_of_the_policy_takes_the_episodes_that_were_being_sampled(toy):
    class Unreachable(toy.Policy):
        def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
            if self.calls:
                raise InfrastructureFault("the server is gone")
            return super().sample(prefixes, sampling, seed=seed)

    env = make_env()
    outcomes = roll(Unreachable(looking), env, starts_of(env, 4), SAMPLING, seed=0, retries=AT_ONCE)
    assert [isinstance(outcome, Lost) for outcome in outcomes] == [True, False, True, False]


def test_our_own_errors_are_not_swallowed(toy):
    def script(text: str, rng: Any) -> str:
        raise ZeroDivisionError("a bug")

    env = make_env()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        roll(toy.Policy(script), env, starts_of(env, 2), SAMPLING, seed=0)


def meeting(barrier: threading.Barrier, **settings: Any) -> Callable[..., Any]:
    @tool(name="look", **settings)
    def wait(at: str) -> str:
        """Waits until all are here."""
        barrier.wait(timeout=20)
        return f"seen {at}"

    return wait


@pytest.mark.parametrize("settings", [{}, {"effects": Effects.EXTERNAL}])
def test_tools_that_keep_others_waiting_are_run_side_by_side(toy, settings):
    env = make_env(tools=(meeting(threading.Barrier(8), **settings),))
    starts = [Start(state=env.begin(env.questions.question(0))) for _ in range(8)]
    rollouts = finished(roll(toy.Policy(looking), env, starts, SAMPLING, seed=0))
    assert [rollout.reward for rollout in rollouts] == [1.0] * 8


def test_tools_with_a_time_limit_are_run_side_by_side(toy, tmp_path):
    @tool(name="look", timeout_s=30.0)
    def wait(at: str) -> str:
        """Waits until all are here."""
        (tmp_path / str(os.getpid())).touch()
        while len(list(tmp_path.iterdir())) < 4:
            time.sleep(0.001)
        return f"seen {at}"

    env = make_env(tools=(wait,))
    starts = [Start(state=env.begin(env.questions.question(0))) for _ in range(4)]
    rollouts = finished(roll(toy.Policy(looking), env, starts, SAMPLING, seed=0))
    assert [rollout.reward for rollout in rollouts] == [1.0] * 4


def test_nothing_to_roll_is_nothing(toy):
    assert roll(toy.Policy(looking), make_env(), [], SAMPLING, seed=0) == []


def test_an_ended_episode_is_refused(toy):
    env = make_env()
    (rollout,) = finished(roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0))
    ended = env.advance(rollout.snapshots[0].state, "<answer>1</answer>").state
    start = Start(state=ended, completions=rollout.completions[:1], snapshots=rollout.snapshots[:1])
    with pytest.raises(ValueError, match="that of question 'q0' ended"):
        roll(toy.Policy(looking), env, [start], SAMPLING, seed=0)


def test_a_start_must_be_whole(toy):
    env = make_env()
    (rollout,) = finished(roll(toy.Policy(looking), env, starts_of(env, 1), SAMPLING, seed=0))
    with pytest.raises(ValueError, match="for each of 1 turns; got 0 and 0"):
        Start(state=rollout.snapshots[1].state)
    with pytest.raises(ValueError, match="each of 2 forced tokens; got 1"):
        Start(state=rollout.snapshots[0].state, forced=(1, 2), forced_logprobs=(0.0,))


class Parrot:
    """Looks once, then answers with the question's number; remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
        self.seen.append(observation)
        return f"<answer>{state.question.answer}</answer>" if state.turns else call("sea")


def test_a_text_agent_sees_what_gymnasium_shows_and_leaves_no_tokens():
    env = make_env(instructions="Be brief.")
    agent = Parrot()
    states = [env.begin(env.questions.question(number)) for number in range(2)]
    rollouts = roll_agent(agent, env, states)
    assert [rollout.reward for rollout in rollouts] == [1.0, 1.0]
    assert [rollout.completions for rollout in rollouts] == [(), ()]
    assert [snapshot.state for snapshot in rollouts[0].snapshots] == [states[0], rollouts[0].snapshots[1].state]

    # Both episodes' first turns come before their second ones.
    for number in range(2):
        opening, _ = env.reset(options={"index": number})
        answer, *_ = env.step(call("sea"))
        assert agent.seen[number::2] == [opening, answer]


def test_the_tools_of_a_text_agents_episodes_run_side_by_side():
    env = make_env(tools=(meeting(threading.Barrier(4)),))
    rollouts = roll_agent(Parrot(), env, [env.begin(env.questions.question(number)) for number in range(4)])
    assert [rollout.reward for rollout in rollouts] == [1.0] * 4


def test_two_hundred_async_calls_wait_at_once():
    here: list[str] = []
    all_here = asyncio.Event()

    @tool(name="look")
    async def wait(at: str) -> str:
        """Waits until all are here."""
        here.append(at)
        if len(here) == 200:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), timeout=20)
        return f"seen {at}"

    env = make_env(tools=(wait,))
    rollouts = roll_agent(Parrot(), env, [env.begin(env.questions.question(0))] * 200)
    assert [rollout.reward for rollout in rollouts] == [1.0] * 200


def test_a_text_agents_infrastructure_faults_are_the_callers():
    class Breaker:
        def act(self, observation: dict[str, Any], state: EpisodeState) -> str:
            return call("broken")

    env = make_env()
    with pytest.raises(InfrastructureFault, match="camera"):
        roll_agent(Breaker(), env, [env.begin(env.questions.question(0))])
