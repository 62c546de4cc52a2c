import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import pytest

from axpo_envs import ToolEnv, register_envs
from axpo_envs._registration import ENTRY_POINTS


def test_importing_registers_the_suite_and_doing_so_again_changes_nothing() -> None:
    specs = {env_id: gymnasium.spec(env_id) for env_id in ENTRY_POINTS}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register_envs()
    assert all(gymnasium.spec(env_id) is spec for env_id, spec in specs.items())


NEEDED: dict[str, dict[str, Any]] = {
    "axpo/Agentic-v0": {
        "families": ("multi_hop_search", "visual_zoom"),
        "family_knobs": {"multi_hop_search": {"corpus_size": 400}, "visual_zoom": {"image_size": 128}},
        "view_size": 32,
    },
    "axpo/MultiHopSearch-v0": {"corpus_size": 400},
    "axpo/PerceptionQA-v0": {"image_size": 1344, "view_size": 112},
    "axpo/ToolTask-v0": {"questions": [{"id": "sum", "prompt": "1 + 1?", "answer": "2"}]},
}


@pytest.mark.parametrize("env_id", ENTRY_POINTS)
def test_every_environment_is_made_by_its_name_without_wrappers(env_id: str) -> None:
    env = gymnasium.make(env_id, **NEEDED.get(env_id, {}))
    assert isinstance(env, ToolEnv)
    assert env.unwrapped is env
    assert env.rules.env_id == env_id
    assert env.spec is not None
    assert env.spec.id == env_id
    env.close()


def test_naming_the_package_imports_it_first_and_needs_no_deep_learning_framework() -> None:
    script = (
        "import sys, gymnasium\n"
        "env = gymnasium.make('axpo_envs:axpo/VisualZoom-v0')\n"
        "assert type(env.unwrapped).__name__ == 'VisualZoom'\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
