from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import axpo
from axpo.run.display import Silent
from axpo.settings.config import OptimConfig, SamplingConfig
from axpo_agents.testing import save_small_qwen2_5_vl, save_small_qwen3, save_small_qwen3_vl
from axpo_agents.transformers_policy import load_policy

TOOL_CALL = 151657
"""Id of `<tool_call>` in Qwen's vocabulary."""

FAMILIES = {
    "Qwen3-VL": (save_small_qwen3_vl, 12.0),
    "Qwen2.5-VL": (save_small_qwen2_5_vl, 6.0),
    "Qwen3": (save_small_qwen3, 12.0),
}
"""How a family's checkpoint is written, and how strongly its first hidden value must speak for a call."""


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return __import__("toy_env")


def make_eager(folder: Path, strength: float) -> None:
    """Lets random weights open a tool call where the first hidden value is large: in some rollouts, not in all."""
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            weight[TOOL_CALL] = torch.nn.functional.one_hot(torch.tensor(0), weight.shape[1]) * strength
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_two_axpo_steps_from_a_published_layout(toy, tmp_path, family):
    save, strength = FAMILIES[family]
    model = save(tmp_path / "model")
    make_eager(model, strength)
    config = toy.toy_config(
        tmp_path / "run",
        model=str(model),
        steps=2,
        seed=4,
        env_args=("pictures=true" if "VL" in family else "pictures=false",),
        sampling=SamplingConfig(questions=4, group_size=4, max_turn_tokens=10),
        optim=OptimConfig(lr=1e-3),
    )
    result = axpo.train(config, display=Silent())
    assert sum(record["continuations"] for record in result.metrics) > 0
    assert all(record["trained_tokens"] > 0 and record["grad_norm"] > 0 for record in result.metrics)
    before, after = load_policy(str(model)), load_policy(str(result.checkpoint))
    assert type(before.model) is type(after.model)
    assert before.supports_images == after.supports_images == ("VL" in family)
    moved = [not torch.equal(a, b) for a, b in zip(before.model.parameters(), after.model.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
