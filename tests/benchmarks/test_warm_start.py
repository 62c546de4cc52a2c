from __future__ import annotations

import json
from pathlib import Path

import pytest

from axpo.algorithm.types import Group
from axpo.settings.config import ConfigError
from axpo_agents import roll_agent
from axpo_benchmarks.acting import PROBES, code_metrics, search_metrics
from axpo_benchmarks.evidence.families import FAMILIES, PYTHON_REASONING
from axpo_benchmarks.warm_start import WarmStartConfig, run_warm_start
from axpo_envs.suite.multi_hop_search import BriefExpert, MultiHopSearch, SearchStyle
from axpo_envs.suite.python_reasoning import CodingStyle, PythonReasoning, SumExpert


def groups(env: MultiHopSearch | PythonReasoning, agents: list[BriefExpert] | list[SumExpert]) -> list[Group]:
    made = []
    for question in (env.questions.question(index) for index in range(10)):
        rollouts = tuple(roll_agent(agent, env, [env.begin(question, seed=7)])[0] for agent in agents)
        made.append(Group(question=question, rollouts=rollouts))
    return made


def values(metrics: dict) -> dict[str, float | None]:  # type: ignore[type-arg]
    return {name: None if one is None else round(one.value, 6) for name, one in metrics.items()}


def test_search_metrics_tell_finding_from_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    knobs = {"documents": "brief", "corpus_size": 1000, "hops": 2, "kinds": "bridge", "top_k": 1}
    env = MultiHopSearch(**knobs, answers=("currency", "quadrant"))
    expert, early, idle = (BriefExpert(env, style) for style in (
        SearchStyle(), SearchStyle(stop_rate=1.0), SearchStyle(tool_rate=0.0)
    ))  # fmt: skip
    both = values(search_metrics(groups(env, [expert, early, idle]), env))
    assert both == {"found_first_rate": 1.0, "found_last_rate": 0.5, "read_last": 1.0}
    none = values(search_metrics(groups(env, [idle]), env))
    assert none == {"found_first_rate": None, "found_last_rate": None, "read_last": None}


def test_code_metrics_tell_computing_from_reading() -> None:
    env = PythonReasoning(source="written", python="expressions")
    expert, idle = SumExpert(env), SumExpert(env, CodingStyle(tool_rate=0.0))
    assert values(code_metrics(groups(env, [expert, idle]), env)) == {"right_code_rate": 1.0, "read_right_code": 1.0}


def test_a_policy_is_measured_in_its_family_beside_the_expert(tmp_path: Path) -> None:
    out = tmp_path / "start.json"
    config = WarmStartConfig(family="python-reasoning", model="tiny-python-random", questions=4, json=out)
    assert run_warm_start(config) == 0
    record = json.loads(out.read_text())
    assert record["env"] == PYTHON_REASONING.base.env
    assert record["metrics"]["expert_pass1"]["value"] == 1.0
    assert "right_code_rate" in record["metrics"]


def test_an_unknown_family_is_refused() -> None:
    assert set(PROBES) == {family.name for family in FAMILIES}
    with pytest.raises(ConfigError, match="expected some of visual-zoom, multi-hop-search, python-reasoning"):
        run_warm_start(WarmStartConfig(family="desk"))
