"""N episodes of one environment behind Gymnasium's vector interface: as N environments, concurrent, rewindable."""

from __future__ import annotations

import math
import threading
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, InfrastructureFault, Snapshot, SnapshotError
from axpo_envs.examples import call_turn
from axpo_envs.suite.tool_task import ToolTask
from axpo_envs.suite.visual_zoom import VisualZoom
from axpo_envs.tools import tool
from axpo_envs.vector import EpisodeVector, episode_vector

BARRIER = threading.Barrier(8)
QUESTIONS = [{"id": str(number), "prompt": f"{number}?", "answer": str(number)} for number in range(9)]


@tool
def meet() -> str:
    """Waits for seven others."""
    BARRIER.wait(timeout=20)
    return "met"


@tool(initial_state=lambda question: ())
def note(word: str, state: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Notes a word, and tells all that were noted."""
    return ",".join((*state, word)), (*state, word)


@tool
def fetch(works: bool) -> str:
    """Fetches."""
    if not works:
        raise InfrastructureFault("the server is gone")
    return "here it is"


ZOOM = call_turn("image_zoom_in", {"bbox_2d": [0, 0, 500, 500]})
TURNS = (ZOOM, "<answer>3</answer>", "nothing", call_turn("image_zoom_in", {"bbox_2d": [9, 9, 9, 9]}))


def small() -> VisualZoom:
    return VisualZoom(image_size=80, view_size=40, signs=1, max_turns=2)


def task(**arguments: Any) -> ToolTask:
    return ToolTask(questions=QUESTIONS, tools=[meet, note, fetch], **arguments)


def comparable(value: Any) -> Any:
    """Nested lists and dictionaries with arrays as lists, so that == compares them whole."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, [comparable(one) for one in value] if value.dtype == object else value.tolist()
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [comparable(one) for one in value]
    return value


@settings(max_examples=12, deadline=None)
@given(
    mode=st.sampled_from([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]),
    rounds=st.lists(st.lists(st.sampled_from(TURNS), min_size=3, max_size=3), max_size=6),
)
def test_it_gives_what_gymnasiums_vector_of_as_many_environments_gives(
    mode: AutoresetMode, rounds: list[list[str]]
) -> None:
    ours = EpisodeVector(small(), 3, autoreset_mode=mode)
    theirs = SyncVectorEnv([small] * 3, autoreset_mode=mode)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    assert comparable(ours.reset(seed=5)) == comparable(theirs.reset(seed=5))
    for turns in rounds:
        moment = ours.step(turns)
        assert comparable(moment) == comparable(theirs.step(turns))
        assert moment[0] in ours.observation_space


def test_without_autoreset_ended_episodes_are_begun_by_a_mask() -> None:
    vector = EpisodeVector(task(), 2, autoreset_mode=AutoresetMode.DISABLED)
    vector.reset(seed=0)
    *_, terminated, truncated, _ = vector.step(["<answer>1</answer>", call_turn("note", {"word": "a"})])
    assert (terminated.tolist(), truncated.tolist()) == ([True, False], [False, False])
    with pytest.raises(ResetNeeded):
        vector.step(["", ""])
    vector.reset(options={"reset_mask": np.array([True, False]), "index": 4})
    observation, *_ = vector.step([call_turn("note", {"word": "b"})] * 2)
    assert observation["text"] == ("<tool_response>\nb\n</tool_response>", "<tool_response>\na,b\n</tool_response>")
    assert vector.envs[0].state.question.id == "4"


def test_episodes_that_wait_wait_together() -> None:
    # Each call waits for the seven others: one after the other they would never come back.
    vector = EpisodeVector(task(), 8)
    vector.reset(seed=0)
    observation, *_ = vector.step([call_turn("meet", {})] * 8)
    assert all("met" in text for text in observation["text"])
    vector.close()


def test_a_fault_ends_its_episode_alone_and_another_begins() -> None:
    vector = EpisodeVector(task(), 2)
    vector.reset(seed=0)
    works, fails = call_turn("fetch", {"works": True}), call_turn("fetch", {"works": False})
    observation, rewards, terminated, truncated, info = vector.step([works, fails])
    assert "here it is" in observation["text"][0]
    assert (rewards[0], math.isnan(rewards[1])) == (0.0, True)
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [False, True])
    assert info["fault"][1] == "the server is gone"
    observation, rewards, *_ = vector.step([works, works])
    assert observation["text"][1].endswith("?")
    assert rewards.tolist() == [0, 0]


def test_the_environment_itself_is_left_alone() -> None:
    env = task()
    env.reset(seed=3)
    state = env.state
    vector = EpisodeVector(env, 2)
    vector.reset(seed=0)
    vector.step(["", ""])
    vector.close()
    assert (env.state, env.truncates_faults) == (state, None)
    assert env.step(call_turn("note", {"word": "x"}))[0]["text"] == "<tool_response>\nx\n</tool_response>"


words = st.lists(st.sampled_from("abc"), min_size=3, max_size=3)


@settings(max_examples=20, deadline=None)
@given(before=st.lists(words, max_size=1), after=words, order=st.permutations(range(3)), travels=st.booleans())
def test_every_episode_goes_on_from_whichever_moment_it_is_given(
    before: list[list[str]], after: list[str], order: list[int], travels: bool
) -> None:
    def turns(chosen: list[str]) -> list[str]:
        return [call_turn("note", {"word": word}) for word in chosen]

    vector = EpisodeVector(task(), 3)
    observation, _ = vector.reset(seed=1)
    for chosen in before:
        observation, *_ = vector.step(turns(chosen))
    moments = vector.snapshots()
    expected = vector.step(turns(after))[0]["text"]
    if travels:
        moments = tuple(Snapshot.from_bytes(moment.to_bytes()) for moment in moments)
    # Episode i goes on where episode order[i] was, with that one's turns.
    restored = vector.restore([moments[number] for number in order])
    assert restored["text"] == tuple(observation["text"][number] for number in order)
    again = vector.step(turns([after[number] for number in order]))[0]["text"]
    assert again == tuple(expected[number] for number in order)


def test_a_restored_episode_is_not_begun_anew_by_the_next_step() -> None:
    vector = EpisodeVector(task(), 2)
    vector.reset(seed=0)
    moments = vector.snapshots()
    vector.step(["<answer>1</answer>"] * 2)
    vector.restore({0: moments[0]})
    *_, terminated, _, _ = vector.step(["<answer>1</answer>"] * 2)
    assert terminated.tolist() == [True, False]


def test_a_foreign_moment_is_refused_and_every_episode_stays() -> None:
    vector = EpisodeVector(task(), 2)
    vector.reset(seed=0)
    other = small()
    other.reset(seed=0)
    before = vector.snapshots()
    with pytest.raises(SnapshotError):
        vector.restore([vector.snapshots()[1], other.snapshot()])
    assert vector.snapshots() == before
    with pytest.raises(ValueError, match="expected 2 snapshots; got 1"):
        vector.restore(before[:1])
    with pytest.raises(IndexError, match="from 0 to 1; got 2"):
        vector.restore({2: before[0]})


def test_what_does_not_fit_the_number_of_episodes_is_refused() -> None:
    vector = episode_vector("axpo/ToolTask-v0", 2, questions=QUESTIONS, autoreset_mode="SameStep")
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    with pytest.raises(ValueError, match="expected 2 seeds; got 3"):
        vector.reset(seed=[1, 2, 3])
    vector.reset(seed=[1, None])
    with pytest.raises(ValueError, match="expected 2 actions; got 1"):
        vector.step([""])
    with pytest.raises(TypeError, match="bool array of shape"):
        vector.reset(options={"reset_mask": [True, False]})
    with pytest.raises(ValueError, match="at least one episode"):
        vector.reset(options={"reset_mask": np.array([False, False])})
    with pytest.raises(ValueError, match="expected 2 values"):
        vector.set_attr("truncates_faults", [True])
    with pytest.raises(EnvConfigError, match="num_envs: expected at least 1"):
        EpisodeVector(task(), 0)
    with pytest.raises(TypeError, match="expected a ToolEnv; got CartPoleEnv"):
        episode_vector("CartPole-v1", 2)


def test_gymnasiums_vector_wrappers_take_it() -> None:
    vector = gymnasium.wrappers.vector.RecordEpisodeStatistics(EpisodeVector(task(render_mode="ansi"), 2))
    vector.reset(seed=0)
    *_, info = vector.step(["<answer>1</answer>", call_turn("note", {"word": "a"})])
    assert info["episode"]["l"].tolist() == [1, 0]
    assert [text.startswith("[question") for text in vector.render()] == [True, True]
    assert vector.unwrapped.get_attr("render_mode") == ("ansi", "ansi")
    assert [len(moment.state.turns) for moment in vector.unwrapped.call("snapshot")] == [1, 1]
    vector.close()
