"""An evaluation on disk: rollouts come back as they were, half a line does not count, another evaluation is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from axpo.records._checked_json import DamagedFileError
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import (
    AskedQuestion,
    BenchmarkProvenance,
    EvaluatedRollout,
    Judged,
    MadeCall,
    Provenance,
    SaidTurn,
    said_turns,
)
from axpo.settings.config import ConfigError
from axpo_envs.types import (
    CallOutcome,
    CallRecord,
    Episode,
    Question,
    StopReason,
    ToolCall,
    ToolResult,
    ToolStatus,
    Turn,
)

ASKED = BenchmarkProvenance(
    slice="full",
    questions=2,
    fingerprint="f",
    differences=("expected 191 questions; got 2",),
    scorer="s",
    judge=None,
    prompts={"tools": "p", "no_tools": "q"},
    tools={"tools": ("image_zoom_in",), "no_tools": ()},
    sites=("huggingface.co",),
)
PROVENANCE = Provenance(
    axpo="0.1.0",
    model="tiny",
    revision=None,
    protocol={"preset": "paper", "temperature": 0.7, "sites": ["a"]},
    benchmarks={"v-star": ASKED},
)
CALL = MadeCall(
    name="image_zoom_in",
    arguments='{"bbox_2d": [0, 0, 1, 1]}',
    outcome=CallOutcome.EXECUTED,
    status=ToolStatus.OK,
    said="zoomed 語",
    images=1,
    seconds=0.5,
)


def rollout(question: str = "a", sample: int = 0, outcome: str = "right") -> EvaluatedRollout:
    return EvaluatedRollout(
        question=question,
        sample=sample,
        stop=StopReason.ANSWERED,
        turns=(SaidTurn(text="<tool_call>", calls=(CALL,)), SaidTurn(text="<answer>B</answer>")),
        judged=Judged(outcome=outcome, reason="said B", score=float(outcome == "right"), cut=False),
        written=7,
        read=20,
        reread=12,
        seconds=1.5,
    )


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    folder = EvaluationFolder(tmp_path / "eval")
    folder.begin(PROVENANCE)
    return folder


def test_what_was_written_comes_back(folder: EvaluationFolder) -> None:
    question = AskedQuestion(
        id="a",
        part="direct_attributes",
        cluster="a",
        kinds={"category": "direct_attributes"},
        text="Which?\n(A) x",
        images=1,
        answer="B",
        options=("x", "y"),
        extra={"category": "direct_attributes", "golds": ["1", "2"]},
    )
    folder.write_questions("v-star", (question,))
    for sample in (1, 0):
        folder.add("v-star", "tools", rollout(sample=sample))
    again = EvaluationFolder(folder.path)
    assert again.provenance() == PROVENANCE
    assert again.questions("v-star") == (question,)
    assert question.question.extra["golds"] == ("1", "2")
    assert again.rollouts("v-star", "tools") == (rollout(sample=0), rollout(sample=1))
    assert again.rollouts("v-star", "no_tools") == ()
    assert list(again) == [("v-star", "tools"), ("v-star", "no_tools")]
    assert (rollout().used_tool, rollout().calls, CALL.valid, CALL.succeeded) == (True, (CALL,), True, True)


def test_half_a_line_does_not_count_and_writing_goes_on_behind_the_last_whole_one(folder: EvaluationFolder) -> None:
    folder.add("v-star", "tools", rollout(sample=0))
    file = folder.path / "v-star" / "tools" / "rollouts.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: len(whole) // 2])
    again = EvaluationFolder(folder.path)
    assert again.rollouts("v-star", "tools") == (rollout(sample=0),)
    again.add("v-star", "tools", rollout(sample=1))
    assert [one.sample for one in again.rollouts("v-star", "tools")] == [0, 1]


def test_a_changed_line_and_a_rollout_that_is_there_twice_are_found(folder: EvaluationFolder) -> None:
    folder.add("v-star", "tools", rollout())
    file = folder.path / "v-star" / "tools" / "rollouts.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"right"', b'"wrong"'))
    with pytest.raises(DamagedFileError, match="line 1: its chain does not match"):
        folder.rollouts("v-star", "tools")
    file.write_bytes(whole)
    folder.add("v-star", "tools", rollout(outcome="wrong"))
    with pytest.raises(DamagedFileError, match="line 2: rollout 0 of 'a' twice"):
        folder.rollouts("v-star", "tools")


def test_it_goes_on_under_the_same_settings_alone(folder: EvaluationFolder) -> None:
    folder.begin(replace(PROVENANCE, axpo="0.2.0"))
    other = replace(PROVENANCE, protocol={**PROVENANCE.protocol, "temperature": 1.0})
    with pytest.raises(ConfigError, match=r"holds another evaluation.*\n  protocol.temperature: it has 0.7; got 1.0"):
        folder.begin(other)


def test_another_scorers_verdicts_replace_the_rollouts_as_a_whole(folder: EvaluationFolder) -> None:
    folder.add("v-star", "tools", rollout(sample=0))
    judged = tuple(rollout(sample=sample, outcome="wrong") for sample in (0, 1))
    folder.replace_rollouts("v-star", "tools", judged)
    folder.add("v-star", "tools", rollout(sample=2))
    assert folder.rollouts("v-star", "tools") == (*judged, rollout(sample=2))


def test_other_folders_and_lines_are_refused_with_their_place(folder: EvaluationFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected the folder of an evaluation, with evaluation\.json"):
        EvaluationFolder(tmp_path).provenance()
    (folder.path / "v-star").mkdir()
    (folder.path / "v-star" / "questions.jsonl").write_text('{"id": 3}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"questions\.jsonl, line 1: id: "):
        folder.questions("v-star")


def test_an_episodes_turns_are_kept_as_text() -> None:
    call = CallRecord(
        call=ToolCall(name="x", arguments="{}"),
        outcome=CallOutcome.EXECUTED,
        result=ToolResult(content=("a", "b"), seconds=2.0),
    )
    episode = Episode(
        question=Question(id="q", prompt=("?",), answer="1"),
        turns=(Turn(text="\ud800", calls=(call,)), Turn(text="1")),
        stop=StopReason.ANSWERED,
        reward=1.0,
        terms=(),
    )
    first, last = said_turns(episode)
    assert (first.text, first.calls[0].said, first.calls[0].seconds, last.calls) == ("\ufffd", "ab", 2.0, ())
