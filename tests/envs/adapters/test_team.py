"""Teams for PettingZoo: its own tests, who may do what, who reads what, and moments that come back exactly."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pettingzoo", reason="PettingZoo is not installed")

from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from axpo_agents.team import play_team
from axpo_envs import EnvConfigError, Ruling, SnapshotError, Verdict
from axpo_envs.adapters.pettingzoo import LockerMember, TeamEnv, make_lockers, team_env, team_parallel_env
from axpo_envs.examples import call_turn
from axpo_envs.suite.tool_task import ToolTask
from axpo_envs.testing import check_tool_env
from axpo_envs.tools import tool

SMALL: dict[str, Any] = {"image_size": 128, "view_size": 32, "signs": 2}
ANSWER = "<answer>42</answer>"
MEMBERS = {"doer": ["note", "double"], "helper": ["double"], "speaker": ["answer"]}


@tool(initial_state=lambda question: ())
def note(word: str, state: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Notes a word, and tells all that were noted."""
    return ",".join((*state, word)), (*state, word)


@tool
def double(number: int) -> int:
    """Doubles."""
    return 2 * number


def task(**arguments: Any) -> ToolTask:
    given = {"questions": [{"id": "q", "prompt": "6 * 7?", "answer": "42"}], "tools": [note, double], "max_turns": 9}
    return ToolTask(**{**given, **arguments})


def make(**arguments: Any) -> TeamEnv:
    return team_env(task(), MEMBERS, **arguments)


DOUBLE = call_turn("double", {"number": 21})


def quietly(test: Any, *arguments: Any, **options: Any) -> None:
    """PettingZoo's tests warn of what is no array, as the texts that agents read and write are none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(Observation|Action) space for each agent probably should be")
        warnings.filterwarnings("ignore", message="We recommend agents to be named in the format")
        warnings.filterwarnings("ignore", message="Observation is not a NumPy array")
        test(*arguments, **options)


def test_pettingzoos_tests_pass() -> None:
    quietly(api_test, team_env(make_lockers(**SMALL), LOCKERS, render_mode="ansi"), num_cycles=200)
    quietly(api_test, make(), num_cycles=200)
    quietly(seed_test, make, num_cycles=20)
    quietly(seed_test, lambda: team_env(make_lockers(**SMALL), LOCKERS), num_cycles=20)
    quietly(parallel_api_test, team_parallel_env(task(), MEMBERS), num_cycles=200)
    quietly(parallel_seed_test, lambda: team_parallel_env(make_lockers(**SMALL), LOCKERS), num_cycles=20)


LOCKERS = {"looker_0": ["image_zoom_in"], "searcher_0": ["search"], "speaker_0": ["answer"]}


def test_members_may_call_their_own_tools_alone() -> None:
    team = make()
    team.reset(seed=0)
    team.step(call_turn("note", {"word": "hello"}))
    team.step(call_turn("note", {"word": "me too"}))
    read = team.observe("speaker")["text"]
    assert "<tool_response>\nhello\n</tool_response>" in read
    assert "Error: helper may not call note; doer may." in read
    assert dict(team.episode.tool_states) == {"note": ("hello",)}
    team.step(DOUBLE)
    assert "Error: speaker may not call double; doer or helper may." in team.observe("doer")["text"]


def test_who_may_not_answer_is_told_who_does() -> None:
    team = make()
    team.reset(seed=0)
    team.step(ANSWER)
    assert team.episode.stop is None
    assert team.observe("doer")["text"] == "Note: speaker gives the answer.\n"
    assert "[doer] &lt;answer>42&lt;/answer>\nNote: speaker gives the answer." in team.observe("helper")["text"]


def test_everybody_gets_the_reward_at_the_end() -> None:
    team = make()
    team.reset(seed=0)
    team.step("")
    team.step("")
    team.step(ANSWER)
    seen = {}
    for name in team.agent_iter():
        observation, reward, terminated, truncated, info = team.last()
        seen[name] = reward, terminated, truncated, info["stop"], observation["text"]
        team.step(None)
    assert seen == dict.fromkeys(MEMBERS, (1.0, True, False, "answered", ""))
    assert team.agents == []


def test_a_member_reads_what_was_said_since_its_last_turn_without_thoughts_and_tags() -> None:
    team = make()
    team.reset(seed=0)
    opening = team.observe("doer")["text"]
    assert "You are doer, one of a team" in opening
    assert "You may call note, double;" in opening
    assert opening.endswith("6 * 7?\n")
    team.step(f"<think>What now?</think>I double. {DOUBLE}")
    own, others = team.observe("doer")["text"], team.observe("helper")["text"]
    assert own == "<tool_response>\n42\n</tool_response>\n"
    assert others.endswith(f"6 * 7?\n[doer] I double. {DOUBLE.replace('<', '&lt;')}\n{own}")
    assert "What now" not in others
    team.step("Fine.")
    team.step("")
    assert team.observe("doer")["text"] == f"{own}[helper] Fine.\n"
    assert team.observe("speaker")["text"] == ""


def test_in_a_round_of_all_at_once_nobody_knows_of_the_others() -> None:
    team = team_parallel_env(task(), {"speaker": ["answer"], **MEMBERS})
    team.reset(seed=0)
    observations, *_ = team.step({"doer": "One.", "speaker": "Two."})
    assert observations["doer"]["text"] == "[speaker] Two.\n"
    assert observations["speaker"]["text"] == "[doer] One.\n"
    assert observations["helper"]["text"].endswith("[doer] One.\n[speaker] Two.\n")
    # The speaker stands first, and still the others' calls of the round of its answer are executed.
    _, rewards, terminated, truncated, infos = team.step({"speaker": ANSWER, "doer": DOUBLE, "helper": DOUBLE})
    assert len(team.episode.turns) == 3
    assert (set(rewards.values()), set(terminated.values()), set(truncated.values())) == ({1.0}, {True}, {False})
    assert infos["helper"]["terms"] == {"correct": 1.0}
    assert team.agents == []
    with pytest.raises(ResetNeeded):
        team.step({})


def test_without_an_answer_the_rounds_run_out_and_it_is_scored() -> None:
    team = make(max_rounds=1, render_mode="ansi")
    team.reset(seed=0)
    for _ in range(3):
        team.step("Let us think.")
    assert set(team.truncations.values()) == {True}
    assert set(team.terminations.values()) == {False}
    assert team.last()[1] == 0
    assert team.render().splitlines()[-1] == "[no_answer] reward 0"


def test_the_environments_own_gate_is_asked_first() -> None:
    shut = Ruling(verdict=Verdict.DENY, reason="closed today")
    team = team_env(task(gate=lambda request: shut), MEMBERS)
    team.reset(seed=0)
    team.step(DOUBLE)
    assert "Error: closed today." in team.observe("doer")["text"]


words = st.sampled_from(["", "Hm.", DOUBLE, call_turn("note", {"word": "a"}), call_turn("note", {"word": "b"}), ANSWER])


@settings(max_examples=40, deadline=None)
@given(before=st.lists(words, max_size=5), after=st.lists(words, max_size=5), travels=st.booleans())
def test_from_every_moment_the_same_turns_lead_to_the_same(before: list[str], after: list[str], travels: bool) -> None:
    def play(team: TeamEnv, turns: list[str]) -> list[Any]:
        seen = []
        for turn in turns:
            if team.episode.stop is not None:
                break
            team.step(turn)
            texts = [team.observe(name)["text"] for name in team.possible_agents]
            seen.append((team.agent_selection, texts, team.last()[1:], team.episode.digest))
        return seen

    team, other = make(max_rounds=3), make(max_rounds=3)
    team.reset(seed=1)
    play(team, before)
    moment = team.snapshot()
    if travels:
        moment = pickle.loads(pickle.dumps(moment))
    expected = play(team, after)
    for player in (team, other):
        player.restore(moment)
        assert player.snapshot() == moment
        assert play(player, after) == expected


def test_moments_of_a_round_go_from_turns_to_all_at_once_and_others_are_refused() -> None:
    turns, at_once = make(), team_parallel_env(task(), MEMBERS)
    turns.reset(seed=0)
    for _ in range(3):
        turns.step("Hm.")
    assert at_once.restore(turns.snapshot())["doer"]["text"] == "[helper] Hm.\n[speaker] Hm.\n"
    turns.step("Hm.")
    with pytest.raises(SnapshotError, match="between two rounds"):
        at_once.restore(turns.snapshot())
    with pytest.raises(SnapshotError, match="another team"):
        team_env(task(), {"doer": ["note", "double", "answer"]}).restore(turns.snapshot())
    with pytest.raises(SnapshotError, match="expected rules"):
        team_env(task(max_turns=1), MEMBERS).restore(turns.snapshot())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "expected who may do what"),
        ({"doer": ["note", "double"]}, "expected somebody to hold answer"),
        ({"doer": ["note", "answer"]}, "expected somebody to hold double"),
        ({"doer": ["note", "fly"]}, "expected for 'doer' a list of double, note, answer; got fly"),
        ({"doer": "note"}, "got 'note'"),
    ],
)
def test_a_team_that_cannot_work_is_refused(members: Any, message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        team_env(task(), members)


def test_other_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(EnvConfigError, match="max_rounds: expected at least 1"):
        make(max_rounds=0)
    for kind in (team_env, team_parallel_env):
        with pytest.raises(EnvConfigError, match="expected render_mode"):
            kind(task(), MEMBERS, render_mode="human")
    at_once, turns = team_parallel_env(task(), MEMBERS), make()
    at_once.reset(seed=0)
    with pytest.raises(ValueError, match="got one of stranger"):
        at_once.step({"stranger": ""})
    turns.reset(seed=0)
    with pytest.raises(TypeError, match="expected doer to write a text; got int"):
        turns.step(3)


def test_text_agents_play_it_and_only_together_find_the_answer() -> None:
    team = team_env(make_lockers(split="validation", **SMALL), LOCKERS)
    agents = {name: LockerMember(name, split="validation", **SMALL) for name in LOCKERS}

    class Silent:
        def act(self, observation: dict[str, Any], state: Any) -> str:
            return ""

    played = [play_team(team, agents, options={"index": index}) for index in range(10)]
    assert [episode.reward for episode in played] == [1.0] * 10
    assert {len(episode.calls) for episode in played} == {2}
    for name in LOCKERS:
        without = [play_team(team, {**agents, name: Silent()}, options={"index": index}) for index in range(3)]
        assert [episode.reward for episode in without] == [0.0] * 3
    with pytest.raises(ValueError, match="speaker_0 has none"):
        play_team(team, {name: Silent() for name in ("looker_0", "searcher_0")})


def test_the_default_team_shows_the_view_and_crops() -> None:
    team = team_env()
    team.reset(seed=2)
    assert [image.shape for image in team.observe("speaker_0")["images"]] == [(64, 64, 3)]
    team.step(call_turn("image_zoom_in", {"bbox_2d": [0, 0, 300, 300]}))
    images = team.observe("searcher_0")["images"]
    assert [image.shape for image in images] == [(64, 64, 3)] * 2
    assert not np.array_equal(*images)
    assert math.isclose(sum(team.rewards.values()), 0)


def test_the_default_teams_environment_is_sound() -> None:
    check_tool_env(lambda: make_lockers(**SMALL), seeds=(0,))


def test_naming_the_adapter_needs_no_pettingzoo() -> None:
    script = "import sys, axpo_envs.adapters.pettingzoo, axpo_envs.adapters.sb3\n"
    script += "assert not {'pettingzoo', 'stable_baselines3', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
