"""Fixtures that make small finished runs, so that what reads runs can be tested without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.records.run_log import RunLog
from axpo.run.validation import resolved
from axpo.settings.config import TrainConfig
from axpo.settings.config_file import to_toml
from axpo_agents.types import Completion, Context, FinishReason, Rollout
from axpo_envs.images import ImageRef
from axpo_envs.snapshot import Snapshot
from axpo_envs.tools import ImageZoomIn
from axpo_envs.types import (
    CallOutcome,
    CallRecord,
    Episode,
    EpisodeState,
    Question,
    RewardTerm,
    StopReason,
    ToolCall,
    ToolResult,
    Turn,
)

PREFIX = "<think>I cannot read it: zoom in.</think>\n<tool_call>"
RunMaker = Callable[..., Path]


def picture(shade: int, width: int = 200, height: int = 100) -> ImageRef:
    return ImageRef(np.full((height, width, 3), shade, dtype=np.uint8))


@pytest.fixture
def question() -> Question:
    return Question(id="q-7", prompt=(picture(90), "What is on the <b>red</b> sign?"), answer="7", hops=1)


def zooming(question: Question, box: list[int], answer: str, *, forced: int = 0) -> Rollout:
    """A rollout that zooms into a box and then answers; its second turn quotes a script tag."""
    call = ToolCall(name="image_zoom_in", arguments=f'{{"bbox_2d": {box}, "label": "red"}}')
    crop = picture(200, 64, 64)
    content = ("The crop:", crop)
    record = CallRecord(call=call, outcome=CallOutcome.EXECUTED, result=ToolResult(content=content))
    zoom = f'{PREFIX}{{"name": "image_zoom_in", "arguments": {call.arguments}}}</tool_call>'
    turns = (
        Turn(text=zoom, calls=(record,), observation=("<tool_response>", *content, "</tool_response>")),
        Turn(text=f"<think><script>alert(1)</script></think><answer>{answer}</answer>", answer=answer),
    )
    return rollout(question, turns, answer, forced=(forced, 0))


def guessing(question: Question, answer: str) -> Rollout:
    """A rollout that answers at once."""
    return rollout(question, (Turn(text=f"<answer>{answer}</answer>", answer=answer),), answer, forced=(0,))


def rollout(question: Question, turns: tuple[Turn, ...], answer: str, *, forced: tuple[int, ...]) -> Rollout:
    reward = float(answer == question.answer)
    episode = Episode(
        question=question,
        turns=turns,
        stop=StopReason.ANSWERED,
        reward=reward,
        terms=(RewardTerm(name="correct", value=reward),),
    )
    snapshot = Snapshot(state=EpisodeState(question=question, seed=0), env_id="test")
    completions = tuple(
        Completion(
            context=Context(ids=(1, 2, 3), images=(picture(91, 20, 10),) if number == 0 else ()),
            ids=(4, 5, 6, 7),
            logprobs=(-0.5,) * 4,
            forced=count,
            finish=FinishReason.STOP,
            policy_version=0,
        )
        for number, count in enumerate(forced)
    )
    return Rollout(episode=episode, completions=completions, snapshots=(snapshot,) * len(turns))


@pytest.fixture
def group(question: Question) -> Group:
    """Four rollouts; the first zoomed beside the sign and has two continuations, the second of which recovered."""
    source = zooming(question, [0, 0, 200, 200], "4")
    point = BranchPoint(group=0, rollout=0, turn=0, token=3, confidence=0.25, snapshot=source.snapshots[0])
    continuations = (
        zooming(question, [100, 100, 300, 300], "4", forced=3),
        zooming(question, [500, 250, 750, 500], "7", forced=3),
    )
    rollouts = (source, guessing(question, "7"), guessing(question, "1"), guessing(question, "2"))
    return Group(question=question, rollouts=rollouts, branches=(Branch(point=point, continuations=continuations),))


def evaluation(step: int, pass1: float) -> dict[str, Any]:
    shares = {"pass1": pass1, "pass4": 1.0, "tool_attempt_rate": 0.25, "all_wrong_tool_subgroups": None}
    metrics = {name: {"value": value, "n": 8, "low": 0.1, "high": 0.9} for name, value in shares.items()}
    metrics["all_wrong_tool_subgroups"] |= {"n": 0, "low": None, "high": None}
    return {"step": step, "metrics": metrics, "questions": 4, "rollouts": 8, "tokens": 64, "seconds": 0.5}


@pytest.fixture
def finished_run(group: Group) -> RunMaker:
    """Makes a finished run of two steps without training: `finished_run(config, pass1=0.5)`."""

    def make(config: TrainConfig, *, pass1: float = 0.5) -> Path:
        folder = Path(config.out)
        with RunLog.create(folder, to_toml(resolved(config)), tensorboard=False) as log:
            log.append_evaluation(evaluation(0, 0.25))
            for step in range(1, config.steps + 1):
                log.append_step(
                    {
                        "step": step,
                        "reward_mean": 0.25 * step,
                        "tool_attempt_rate": None,
                        "recovery_rate": 0.5,
                        "rollouts": 10.0,
                        "tokens": 100.0,
                        "seconds_step": 1.5,
                    }
                )
            log.write_rollouts(config.steps, [group], 0, (ImageZoomIn(view_size=64),))
            log.append_evaluation(evaluation(config.steps, pass1))
        return folder

    return make
