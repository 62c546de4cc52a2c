"""Checks of the inspect_ai adapter against the installed library: evaluations with its scripted model, a sandbox."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any, Final

import tiktoken
from inspect_ai import eval as evaluate
from inspect_ai.model import ModelOutput, get_model

from axpo_benchmarks.adapters.toys import raises, signs, sums
from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.adapters.inspect_ai import inspect_sandbox_tool, inspect_task
from axpo_envs.adapters.sessions import RewindFault

_MODEL: Final = "mockllm/model"
_LOGS: Final = tempfile.TemporaryDirectory()  # samples of a log are read when they are asked for


class _Words:
    """In place of an encoding that tiktoken would fetch from the network, to count the scripted model's tokens."""

    def encode(self, text: str, **_: Any) -> list[int]:
        """A number for every word."""
        return list(range(len(text.split())))


tiktoken.get_encoding = lambda _: _Words()
tiktoken.encoding_for_model = lambda _: _Words()


def _run(env: ToolEnv, outputs: list[Any], count: int, **options: Any) -> Any:
    model = get_model(_MODEL, custom_outputs=outputs, memoize=False)
    (log,) = evaluate(
        inspect_task(env, count), model=model, log_dir=_LOGS.name, display="none", max_samples=1, **options
    )
    return log


def _call(a: int) -> Any:
    return ModelOutput.for_tool_call(_MODEL, "add", {"a": a, "b": 2})


def _says(text: str) -> Any:
    return ModelOutput.from_content(_MODEL, text)


def an_evaluation_plays_our_episodes() -> None:
    """One question right with a call, one wrong without: accuracy a half."""
    log = _run(sums(), [_call(0), _says("<answer>2</answer>"), _says("<answer>9</answer>")], 2)
    assert log.status == "success", log.error
    (score,) = log.results.scores
    assert score.metrics["accuracy"].value == 0.5, score
    messages = log.samples[0].messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool", "assistant"], messages
    assert messages[3].text == "2", messages[3]


def calls_in_text_are_read_too() -> None:
    """Models whose API knows no tools write them as the environment reads them."""
    log = _run(sums(), [_says(call_turn("add", {"a": 0, "b": 2})), _says("<answer>2</answer>")], 1)
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    assert "<tool_response>\n2\n</tool_response>" in log.samples[0].messages[3].text


def images_stay_in_question_and_results() -> None:
    """As PNG files in `data:` URLs."""
    call = ModelOutput.for_tool_call(_MODEL, "image_zoom_in", {"label": "sign", "bbox_2d": [0, 0, 500, 500]})
    log = _run(signs(), [call, _says("<answer>3</answer>")], 1)
    assert log.status == "success", log.error
    kinds = [[part.type for part in m.content] for m in log.samples[0].messages if not isinstance(m.content, str)]
    assert sum("image" in kind for kind in kinds) == 2, kinds


def a_fault_is_an_error_of_the_sample_and_no_score() -> None:
    """The sample has no score; with `fail_on_error=False` the others have."""
    log = _run(sums(), [_call(99), _says("<answer>3</answer>")], 2, fail_on_error=False)
    assert [sample.error is not None for sample in log.samples] == [True, False], log.samples
    assert not log.samples[0].scores
    assert log.results.scores[0].metrics["accuracy"].value == 1.0


def _shell(**settings: Any) -> ToolEnv:
    questions = ListQuestions([Question(id="q", prompt=("Do it.",), answer="7")])
    tool = inspect_sandbox_tool("local", **settings)
    return ToolEnv(ToolEnvSpec(env_id="bench/Shell-v0", questions=questions, tools=(tool,), reward=ExactMatch()))


def _said(env: ToolEnv, state: Any, command: str) -> tuple[Any, str]:
    after = env.advance(state, call_turn("bash", {"command": command})).state
    return after, str(after.turns[-1].calls[0].result.content[0])


def a_sandbox_is_a_tool_and_branches_by_replay() -> None:
    """Files of one branch are not those of another."""
    env = _shell(deterministic=True)
    begun = env.begin(env.questions.question(0))
    first, told = _said(env, begun, "echo one > file; cat file")
    assert told == "one\n", told
    left, told = _said(env, first, "echo left >> file; cat file")
    assert told == "one\nleft\n", told
    _, told = _said(env, first, "echo right >> file; cat file; exit 3")
    assert told == "one\nright\n\n[exit code 3]", told
    _, told = _said(env, left, "cat file")
    assert told == "one\nleft\n", told
    env.tools[0].close()  # type: ignore[attr-defined]


def a_sandbox_that_is_not_deterministic_is_not_branched() -> None:
    """What prints the time cannot be had again."""
    for deterministic in (True, False):
        env = _shell(deterministic=deterministic)
        first, _ = _said(env, env.begin(env.questions.question(0)), "date +%N")
        _said(env, first, "echo left")
        with raises(RewindFault):
            _said(env, first, "echo right")
        env.tools[0].close()  # type: ignore[attr-defined]


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    an_evaluation_plays_our_episodes,
    calls_in_text_are_read_too,
    images_stay_in_question_and_results,
    a_fault_is_an_error_of_the_sample_and_no_score,
    a_sandbox_is_a_tool_and_branches_by_replay,
    a_sandbox_that_is_not_deterministic_is_not_branched,
)
"""What is tried, in order."""
