"""What a user adds joins by one file or folder and one registration: an environment and a tool, each added here.

Methods, metrics, families, lessons and the drawing of calls are added in test_methods, test_metric_records,
test_families, test_lessons and test_rollout_view.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest

import axpo
from axpo.cli import main
from axpo_envs.testing import check_tool, check_tool_env

ENVIRONMENT = '''
"""Questions about a menu."""

import gymnasium

from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec
from axpo_envs.tools import tool


@tool
def price(dish: str) -> str:
    """The price of a dish.

    Args:
        dish: its name.
    """
    return {"soup": "4", "cake": "3"}.get(dish, "unknown")


class Menu(ToolEnv):
    def __init__(self, *, split: str = "train", render_mode: str | None = None) -> None:
        asked = [Question(id=f"{split}-{dish}", prompt=(f"What does {dish} cost?",), answer=cost, hops=1)
                 for dish, cost in (("soup", "4"), ("cake", "3"))]
        spec = ToolEnvSpec(env_id="cafe/Menu-v0", questions=ListQuestions(asked), tools=(price,), reward=ExactMatch())
        super().__init__(spec, render_mode=render_mode)


gymnasium.register("cafe/Menu-v0", entry_point=Menu)
'''
TOOL = '''
"""Counts."""

from axpo_envs.tools import tool


@tool
def count(text: str, letter: str) -> int:
    """Counts a letter in a text.

    Args:
        text: where it is counted.
        letter: what is counted.
    """
    return text.count(letter)
'''


class Waiter:
    def act(self, observation: object, state: object) -> str:
        dish = "soup" if "soup" in state.question.text else "cake"  # type: ignore[attr-defined]
        if not state.turns:  # type: ignore[attr-defined]
            return f'<tool_call>{{"name": "price", "arguments": {{"dish": "{dish}"}}}}</tool_call>'
        return f"<answer>{state.turns[-1].calls[0].result.content[0]}</answer>"  # type: ignore[attr-defined]


def test_an_environment_is_one_folder_and_one_registration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cafe").mkdir()
    (tmp_path / "cafe" / "__init__.py").write_text(ENVIRONMENT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["envs", "cafe"]) == 0
    assert "cafe/Menu-v0" in capsys.readouterr().out
    check_tool_env(lambda: gymnasium.make("cafe/Menu-v0"))
    plan = axpo.EvaluationPlan(questions=2, sampling=axpo.SamplingConfig(questions=2, group_size=2))
    found = axpo.evaluate(Waiter(), gymnasium.make("cafe/Menu-v0").unwrapped, plan)
    assert found.metrics["pass1"].value == found.metrics["tool_success_rate"].value == 1.0


def test_a_tool_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counting.py").write_text(TOOL, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    check_tool(__import__("counting").count, arguments={"text": "banana", "letter": "a"})
    rows = [{"id": str(n), "prompt": "How many?", "answer": "3"} for n in range(2)]
    check_tool_env(lambda: gymnasium.make("axpo/ToolTask-v0", questions=rows, tools=["counting:count"]))
