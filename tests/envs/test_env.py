import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from axpo_envs import (
    AnswerFormat,
    CallOutcome,
    CallRecord,
    CallRequest,
    EnvConfigError,
    Episode,
    EpisodeState,
    ImageRef,
    InfrastructureFault,
    Observation,
    Question,
    RewardFault,
    Ruling,
    SnapshotError,
    StopReason,
    ToolEnv,
    ToolFault,
    ToolStatus,
    Verdict,
)
from axpo_envs.examples import BAD_TURNS, call_turn
from axpo_envs.tools import tool

MakeEnv = Callable[..., ToolEnv]
ADD = call_turn("add", {"a": 2, "b": 3})
COUNT = call_turn("count", {"step": 2})
CROP = call_turn("crop", {"size": 2})
ANSWER = "<answer>5</answer>"


def test_reset_shows_instructions_question_and_images(make_env: MakeEnv) -> None:
    env = make_env(view=lambda image: ImageRef(image.pixels[:1, :1].copy()))
    observation, info = env.reset(seed=0, options={"index": 1})
    assert observation["text"] == "Use the tools.\n\nHow wide? 🙂"
    assert [image.shape for image in observation["images"]] == [(1, 1, 3), (1, 1, 3)]
    assert info == {"question": "größe", "turns": 0}
    assert [image.height for image in env.state.question.images] == [3, 5]


def test_without_instructions_the_question_stands_alone(make_env: MakeEnv) -> None:
    observation, _ = make_env(instructions="").reset(options={"index": 2})
    assert observation == Observation(text="Say yes.", images=())


def test_a_tool_result_is_shown_in_its_tags(env: ToolEnv) -> None:
    observation, reward, terminated, truncated, _ = env.step(f"<think>Add.</think>{ADD}")
    assert observation == Observation(text="<tool_response>\n5\n</tool_response>", images=())
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.state.turns[-1].observation == ("5",)


def test_several_results_each_have_tags_of_their_own(env: ToolEnv) -> None:
    observation, *_ = env.step(ADD + CROP + COUNT)
    texts = ("5", "", "2")
    assert observation["text"] == "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)
    assert [image.shape for image in observation["images"]] == [(2, 2, 3)]


def test_an_answer_beside_a_call_is_ignored_and_the_policy_is_told(env: ToolEnv) -> None:
    observation, _, terminated, *_ = env.step(ADD + ANSWER)
    assert not terminated
    assert observation["text"].startswith("<tool_response>\n5\nNote: the answer was ignored because")
    assert env.state.turns[-1].answer is None


@pytest.mark.parametrize(("answer", "reward"), [("5", 1.0), ("4", 0.0)])
def test_an_answer_terminates_and_is_scored(env: ToolEnv, answer: str, reward: float) -> None:
    env.step(ADD)
    observation, got, terminated, truncated, info = env.step(f"So <answer>{answer}</answer>")
    assert observation == Observation(text="", images=())
    assert (got, terminated, truncated) == (reward, True, False)
    assert info == {"question": "sum", "turns": 2, "stop": "answered", "answer": answer, "terms": {"correct": reward}}
    assert env.state.stop is StopReason.ANSWERED
    assert env.state.turns[-1].answer == answer


def test_neither_call_nor_answer_terminates_without_reward(env: ToolEnv) -> None:
    _, reward, terminated, truncated, _ = env.step("I do not know.")
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert env.state.stop is StopReason.NO_ANSWER
    assert [(term.name, term.value) for term in env.state.terms] == [("correct", 0.0)]


def test_after_max_turns_of_calls_one_turn_remains_to_answer(make_env: MakeEnv) -> None:
    env = make_env(max_turns=2)
    env.reset(options={"index": 0})
    env.step(ADD)
    env.step("<tool_call>broken")
    _, reward, terminated, truncated, _ = env.step(ANSWER)
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_a_call_after_max_turns_is_recorded_not_executed_and_truncates(make_env: MakeEnv) -> None:
    env = make_env(max_turns=1)
    env.reset(options={"index": 0})
    env.step(COUNT)
    observation, reward, terminated, truncated, _ = env.step(COUNT + ANSWER + "<tool_call>x</tool_call>")
    assert observation == Observation(text="", images=())
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert env.state.stop is StopReason.MAX_TURNS
    assert env.state.tool_states == (("count", 2),)
    denied, malformed = env.state.turns[-1].calls
    assert (denied.outcome, denied.result.status) == (CallOutcome.OVER_LIMIT, ToolStatus.DENIED)
    assert malformed.outcome is CallOutcome.MALFORMED
    assert env.state.turns[-1].answer is None


def test_without_tool_turns_the_first_call_truncates(make_env: MakeEnv) -> None:
    env = make_env(max_turns=0)
    env.reset(options={"index": 0})
    assert env.step(ADD)[3]


def test_calls_beyond_the_limit_of_a_turn_are_denied(make_env: MakeEnv) -> None:
    env = make_env(max_calls_per_turn=1)
    env.reset(options={"index": 0})
    env.step(COUNT + COUNT)
    assert [record.outcome for record in env.state.turns[0].calls] == [CallOutcome.EXECUTED, CallOutcome.OVER_LIMIT]
    assert env.state.tool_states == (("count", 2),)


@pytest.mark.parametrize(
    ("text", "outcomes"),
    [
        ('<tool_call>{"name": "count", "argu', [CallOutcome.UNCLOSED]),
        (COUNT + " and then", [CallOutcome.OVER_LIMIT]),
        (ANSWER + " because", []),
    ],
)
def test_a_turn_cut_off_is_recorded_not_executed_and_truncates(
    env: ToolEnv, text: str, outcomes: list[CallOutcome]
) -> None:
    before = env.state
    transition = env.advance(before, text, cut_off=True)
    assert (transition.terminated, transition.truncated, transition.reward) == (False, True, 0.0)
    assert transition.state.stop is StopReason.MAX_TOKENS
    assert transition.state.tool_states == before.tool_states
    assert [record.outcome for record in transition.state.turns[-1].calls] == outcomes
    assert Episode.from_state(transition.state).used_tool == bool(outcomes)
    assert transition.state.turns[-1].answer is None


def test_the_answer_format_is_the_environments(make_env: MakeEnv) -> None:
    env = make_env(answers=AnswerFormat.TAG)
    env.reset(options={"index": 0})
    env.step("\\boxed{5}")
    assert env.state.stop is StopReason.NO_ANSWER


def test_advance_changes_nothing_and_serves_many_threads(make_env: MakeEnv) -> None:
    env = make_env()
    state = env.begin(env.questions.question(0), seed=1)
    expected = [env.advance(state, text).state.digest for text in (ADD, COUNT, CROP, ANSWER)]
    failures: list[Any] = []

    def work() -> None:
        for _ in range(30):
            got = [env.advance(state, text).state.digest for text in (ADD, COUNT, CROP, ANSWER)]
            if got != expected:
                failures.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert state.turns == ()
    with pytest.raises(ResetNeeded):
        _ = env.state


def test_using_an_episode_that_is_not_running_says_what_is_needed(make_env: MakeEnv) -> None:
    env = make_env()
    for use in (lambda: env.step(ANSWER), env.snapshot, lambda: env.state):
        with pytest.raises(ResetNeeded, match="expected reset"):
            use()
    env.reset(options={"index": 0})
    env.step(ANSWER)
    with pytest.raises(ResetNeeded, match=r"'sum' has ended \(answered\)"):
        env.step(ANSWER)


def test_an_action_that_is_no_text_is_a_mistake_of_the_caller(env: ToolEnv) -> None:
    with pytest.raises(TypeError, match="expected an assistant turn as str; got int"):
        env.step(3)  # type: ignore[arg-type]


def test_a_failing_tool_or_reward_stops_everything_and_leaves_the_episode_as_it_was(make_env: MakeEnv) -> None:
    @tool
    def fail(kind: str) -> str:
        """Fails."""
        raise {"bug": ZeroDivisionError, "down": InfrastructureFault}[kind]("oops")

    def broken(question: Question, answer: str | None, state: EpisodeState) -> Any:
        raise KeyError("judge")

    env = make_env(tools=(fail,), reward=broken)
    env.reset(options={"index": 0})
    before = env.state
    for text, error in (
        (call_turn("fail", {"kind": "bug"}), ToolFault),
        (call_turn("fail", {"kind": "down"}), InfrastructureFault),
        (ANSWER, RewardFault),
    ):
        with pytest.raises(error):
            env.step(text)
        assert env.state is before


def test_equal_seeds_draw_equal_questions_and_seeds(make_env: MakeEnv) -> None:
    env = make_env()
    drawn = []
    for _ in range(2):
        env.reset(seed=7)
        episodes = [(env.state.question.id, env.state.seed)]
        for _ in range(20):
            env.reset()
            episodes.append((env.state.question.id, env.state.seed))
        drawn.append(episodes)
    assert drawn[0] == drawn[1]
    assert {question for question, _ in drawn[0]} == {"sum", "größe", "plain"}
    assert len({seed for _, seed in drawn[0]}) == 21


def test_choosing_a_question_leaves_the_draws_as_they_were(make_env: MakeEnv) -> None:
    env = make_env()
    env.reset(seed=3)
    env.reset()
    expected = (env.state.question.id, env.state.seed)
    env.reset(seed=3, options={"index": 1})
    assert env.state.question.id == "größe"
    env.reset()
    assert (env.state.question.id, env.state.seed) == expected


def test_a_question_of_ones_own_is_adopted(make_env: MakeEnv) -> None:
    env = make_env()
    env.reset(options={"question": Question(id="mine", prompt=("2 + 2?",), answer="4")})
    snapshot = env.snapshot()
    assert env.step("<answer>4</answer>")[1] == 1.0
    env.restore(snapshot)
    assert env.state.question.source == env.questions.fingerprint


def test_unusable_reset_options_are_refused(make_env: MakeEnv) -> None:
    env = make_env()
    with pytest.raises(IndexError, match="from 0 to 2; got 3"):
        env.reset(options={"index": 3})
    with pytest.raises(ValueError, match=r"'index' or 'question'; got \['number'\]"):
        env.reset(options={"number": 3})
    with pytest.raises(TypeError, match="to be a Question; got 'x'"):
        env.reset(options={"question": "x"})
    foreign = Question(id="f", prompt=("?",), answer="", source="elsewhere")
    with pytest.raises(ValueError, match=r"question 'f': expected source 'list:.*'; got 'elsewhere'"):
        env.reset(options={"question": foreign})


def test_an_infinite_source_is_drawn_from(make_env: MakeEnv) -> None:
    class Numbers:
        fingerprint = "numbers"
        size = None

        def question(self, index: int) -> Question:
            return Question(id=str(index), prompt=(f"{index} + 1?",), answer=str(index + 1), source="numbers")

    env = make_env(questions=Numbers())
    indices = set()
    for _ in range(20):
        env.reset()
        indices.add(int(env.state.question.id))
    assert len(indices) == 20
    assert all(0 <= index < 2**48 for index in indices)


@pytest.mark.parametrize("text", BAD_TURNS)
def test_no_text_raises(env: ToolEnv, text: str) -> None:
    observation, *_ = env.step(text)
    assert observation in env.observation_space


def test_gymnasiums_checker_has_nothing_to_say(make_env: MakeEnv) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make_env(), skip_render_check=True)


def test_writing_into_an_observation_changes_no_image(env: ToolEnv) -> None:
    observation, _ = env.reset(options={"index": 0})
    observation["images"][0][:] = 77
    assert not np.any(env.state.question.images[0].pixels == 77)


def test_the_transcript_tells_what_happened(make_env: MakeEnv) -> None:
    env = make_env(render_mode="ansi")
    env.reset(options={"index": 0})
    env.step(CROP)
    env.step(ANSWER)
    assert env.render() == (
        f"[question sum] What is 2 + 3?[image 5x4]\n[assistant] {CROP}\n"
        f"[tools] <tool_response>\n[image 2x2]\n</tool_response>\n[assistant] {ANSWER}\n[answered] reward 1"
    )
    assert make_env().render() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_turns": -1}, "max_turns >= 0; got -1"),
        ({"max_calls_per_turn": 0}, "max_calls_per_turn >= 1; got 0"),
        ({"render_mode": "video"}, "render_mode None, 'ansi', 'rgb_array' or 'human'; got 'video'"),
        ({"tools": (print,)}, "expected tools"),
    ],
)
def test_unusable_settings_are_refused_at_once(make_env: MakeEnv, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        make_env(**changes)


def test_a_snapshot_may_be_checked_without_restoring_it(env: ToolEnv, make_env: MakeEnv) -> None:
    before = env.state
    env.check(make_env().snapshot_of(before))
    with pytest.raises(SnapshotError, match="cannot go on with question 'sum' in test/Arithmetic-v0: expected rules"):
        env.check(make_env(max_turns=1).snapshot_of(before))
    assert env.state is before


def test_a_gate_withholds_calls_and_an_audit_hears_of_all_of_them(make_env: MakeEnv) -> None:
    told: list[tuple[str, CallOutcome]] = []

    def only_count(request: CallRequest) -> Ruling:
        allowed = request.tool.name == "count" and len(request.state.turns) < 1
        return Ruling(verdict=Verdict.ALLOW if allowed else Verdict.DENY, reason="not now")

    def audit(state: EpisodeState, record: CallRecord) -> None:
        told.append((record.call.name, record.outcome))

    env = make_env(gate=only_count, audit=audit, max_turns=2)
    env.reset(options={"index": 0})
    count, add = call_turn("count", {"step": 2}), call_turn("add", {"a": 1})
    observation, *_ = env.step(count + add)
    assert observation["text"] == (
        "<tool_response>\n2\n</tool_response>\n<tool_response>\nError: not now.\n</tool_response>"
    )
    env.step(count)
    env.step(count)
    assert env.state.tool_states == (("count", 2),)
    assert told == [
        ("count", CallOutcome.EXECUTED),
        ("add", CallOutcome.WITHHELD),
        ("count", CallOutcome.WITHHELD),
        ("count", CallOutcome.OVER_LIMIT),
    ]
    # Rules are the same behind another gate.
    make_env(max_turns=2).restore(env.snapshot())


@pytest.mark.parametrize(
    ("initial_state", "message"),
    [
        (lambda question: [question.id], "initial state of tool 'keep': it is a list, which is mutable"),
        (lambda question: 1 / 0, r"tool 'keep' raised ZeroDivisionError: .* initial state \(question 'sum'\)"),
    ],
)
def test_a_tool_that_cannot_begin_is_at_fault(make_env: MakeEnv, initial_state: Any, message: str) -> None:
    @tool(initial_state=initial_state)
    def keep(state: Any) -> Any:
        """Keeps."""
        return "", state

    with pytest.raises(ToolFault, match=message):
        make_env(tools=(keep,)).reset(options={"index": 0})


def test_a_transcript_can_be_written_whatever_the_policy_said(make_env: MakeEnv) -> None:
    env = make_env(render_mode="ansi")
    env.reset(options={"index": 0})
    env.step("<answer>half \ud83d</answer>")
    assert "half \ufffd" in env.render().encode().decode()
