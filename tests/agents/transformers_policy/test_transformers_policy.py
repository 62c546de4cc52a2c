"""Tests of axpo_agents.transformers_policy: loading, copying, saving, and what is said of unfit checkpoints."""

from __future__ import annotations

import builtins
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoTokenizer

from axpo_agents.policy import Prefix, Scorer
from axpo_agents.tiny import save_random_tiny
from axpo_agents.transformers_policy import LoadSettings, PolicyError, TransformersPolicy, load_policy
from axpo_agents.types import Sampling, TokenSequence
from axpo_envs.plumbing.extras import MissingExtraError

FEW = Sampling(temperature=0.0, max_turn_tokens=6, max_episode_tokens=400)
LORA = LoadSettings(lora_rank=2, seed=3)


def a_sequence(policy: TransformersPolicy, kit: SimpleNamespace) -> TokenSequence:
    prompt = kit.given(kit.encode(policy, kit.image(0), "What?"))
    grown: TokenSequence = kit.grown(prompt, SimpleNamespace(ids=(60, 61, 62), logprobs=(0.0,) * 3))
    return grown


def scores(policy: Scorer, sequence: TokenSequence) -> torch.Tensor:
    with torch.no_grad():
        return policy.logprobs([sequence])[0]


def take_step(policy: TransformersPolicy, sequence: TokenSequence) -> None:
    optimizer = torch.optim.SGD(policy.trainable_parameters(), lr=0.5)
    policy.logprobs([sequence])[0].sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    policy.advance_version()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_random_tiny(tmp_path / "tiny")


def test_random_weights_are_a_function_of_the_seed() -> None:
    weights = [load_policy("tiny-random", LoadSettings(seed=seed)).trainable_parameters()[0] for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_saved_policy_loads_as_it_was_and_with_the_library_alone(
    folder: Path, tmp_path: Path, kit: SimpleNamespace
) -> None:
    policy = load_policy(str(folder))
    sequence = a_sequence(policy, kit)
    take_step(policy, sequence)
    policy.save(tmp_path / "deep" / "saved")
    again = load_policy(str(tmp_path / "deep" / "saved"))
    assert torch.equal(scores(again, sequence), scores(policy, sequence))
    assert kit.encode(again, kit.image(0), "What?").ids == kit.encode(policy, kit.image(0), "What?").ids
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "deep" / "saved")
    ours = dict(policy.model.named_parameters())
    assert all(torch.equal(parameter, ours[name]) for name, parameter in model.named_parameters())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "deep" / "saved")
    assert tokenizer.chat_template == policy.tokenizer.chat_template
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["saved"], "nothing is left beside it"


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3"])
def test_published_layouts_survive_saving(
    name: str, family: Callable[[str], TransformersPolicy], tmp_path: Path, kit: SimpleNamespace
) -> None:
    policy = family(name)
    policy.save(tmp_path / name)
    again = load_policy(str(tmp_path / name))
    image = kit.image(0) if policy.supports_images else "it"
    prompts = [kit.encode(p, "What is on ", image, instructions="Be brief.") for p in (policy, again)]
    assert prompts[0] == prompts[1]
    turns = [p.sample([Prefix(sequence=kit.given(prompts[0]))], FEW, seed=0) for p in (policy, again)]
    assert turns[0] == turns[1]


def test_saving_replaces_a_checkpoint_and_a_failure_keeps_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kit: SimpleNamespace
) -> None:
    policy = load_policy(str(folder))
    sequence = a_sequence(policy, kit)
    before = scores(policy, sequence)
    take_step(policy, sequence)

    def fail(_: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(policy.tokenizer, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        policy.save(folder)
    assert torch.equal(scores(load_policy(str(folder)), sequence), before)
    monkeypatch.undo()
    policy.save(folder)
    assert torch.equal(scores(load_policy(str(folder)), sequence), scores(policy, sequence))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_reference_stays_as_it_was(kit: SimpleNamespace) -> None:
    policy = load_policy("tiny-random")
    sequence = a_sequence(policy, kit)
    reference = policy.reference()
    before = scores(policy, sequence)
    take_step(policy, sequence)
    assert policy.version == 1
    assert torch.equal(scores(reference, sequence), before)
    assert not torch.allclose(scores(policy, sequence), before)
    assert reference.trainable_parameters() == []


def test_adapters_alone_are_trained_and_the_reference_does_without_them(tmp_path: Path, kit: SimpleNamespace) -> None:
    policy = load_policy("tiny-random", LORA)
    sequence = a_sequence(policy, kit)
    names = [name for name, parameter in policy.model.named_parameters() if parameter.requires_grad]
    assert names
    assert all("lora_" in name and "visual" not in name for name in names)
    reference = policy.reference()
    before = scores(policy, sequence)
    for _ in range(2):
        take_step(policy, sequence)
    trained = scores(policy, sequence)
    assert not torch.allclose(trained, before)
    assert torch.equal(scores(reference, sequence), before)
    assert torch.equal(scores(policy, sequence), trained), "asking the reference leaves the adapters on"
    policy.save(tmp_path / "merged")
    assert torch.allclose(scores(load_policy(str(tmp_path / "merged")), sequence), trained, atol=1e-4)
    assert torch.equal(scores(policy, sequence), trained), "saving leaves the adapters apart"


def test_adapters_are_a_function_of_the_seed() -> None:
    first, second = (
        torch.cat([parameter.flatten() for parameter in load_policy("tiny-random", LORA).trainable_parameters()])
        for _ in range(2)
    )
    assert torch.equal(first, second)


def test_adapters_without_peft_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"LoRA needs peft: pip install 'axpo\[lora\]'"):
        load_policy("tiny-random", LORA)


def test_a_frozen_tower_gets_no_gradient(kit: SimpleNamespace) -> None:
    policy = load_policy("tiny-random", LoadSettings(freeze_vision=True))
    names = [name for name, parameter in policy.model.named_parameters() if parameter.requires_grad]
    assert names
    assert not any("visual" in name for name in names)
    take_step(policy, a_sequence(policy, kit))


def test_half_precision_loads_and_scores(kit: SimpleNamespace, tiny: TransformersPolicy) -> None:
    policy = load_policy("tiny-random", LoadSettings(dtype="bfloat16"))
    sequence = a_sequence(policy, kit)
    ours = scores(policy, sequence)
    assert ours.dtype == torch.float32
    assert torch.allclose(ours, scores(tiny, sequence), atol=0.2)
    turn = policy.sample([Prefix(sequence=sequence)], FEW, seed=0)[0]
    assert len(turn.ids) > 0


def test_no_torchvision_is_asked_for(
    layout: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, kit: SimpleNamespace
) -> None:
    """Whether or not it is installed: images are prepared in one way everywhere."""
    import_ = builtins.__import__

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        assert not name.startswith("torchvision"), "torchvision was imported"
        return import_(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)
    policy = load_policy(str(layout("qwen3_vl")))
    assert len(kit.encode(policy, kit.image(0), "What?").images) == 1


def test_missing_folders_and_unknown_devices_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"expected a checkpoint folder at .*nowhere; there is nothing"):
        load_policy(str(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(PolicyError, match="there is a file"):
        load_policy(str(tmp_path / "file"))
    with pytest.raises(PolicyError, match="expected a torch device"):
        load_policy("tiny-random", LoadSettings(device="toaster"))
    with pytest.raises(PolicyError, match="expected dtype to be one of float32, bfloat16; got 'float8'"):
        load_policy("tiny-random", LoadSettings(dtype="float8"))


def spoil(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncate_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def drop_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("lm_head.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def reshape_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"][:-1].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return edit


def replace_config(**config: Any) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(config))

    return replace


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (spoil("config.json"), "no config can be loaded"),
        (spoil("model.safetensors"), "the weights cannot be loaded"),
        (truncate_weights, "the weights cannot be loaded"),
        (drop_a_weight, "1 are missing, as lm_head.weight"),
        (reshape_a_weight, "expected lm_head.weight of shape"),
        (spoil("tokenizer.json"), "the tokenizer cannot be loaded"),
        (spoil("chat_template.jinja"), "expected a chat template"),
        (spoil("preprocessor_config.json"), "expected preprocessor_config.json"),
        (edit_config(model_type="no_such_model"), "no config can be loaded"),
        (
            replace_config(model_type="llava"),
            "expected a text model or one of qwen3_vl, qwen3_vl_moe, qwen2_5_vl, qwen2_vl; got model type llava",
        ),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text("{"),
            "preprocessor_config.json: expected JSON",
        ),
    ],
)
def test_a_damaged_or_unsuited_checkpoint_is_refused_with_the_reason(
    damage: Callable[[Path], None], message: str, folder: Path
) -> None:
    damage(folder)
    with pytest.raises(PolicyError, match=message):
        load_policy(str(folder))


def test_sliding_windows_are_refused(layout: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(layout("qwen3"), tmp_path / "qwen3"))
    edit_config(use_sliding_window=True, sliding_window=64, max_window_layers=1)(folder)
    with pytest.raises(PolicyError, match="expected full attention in every layer; got sliding_attention"):
        load_policy(str(folder))


def test_a_prompt_is_encoded_once_for_all_rollouts_of_a_question(
    tiny: TransformersPolicy, kit: SimpleNamespace
) -> None:
    image = kit.image(4)
    first = kit.encode(tiny, image, "Which?")
    assert kit.encode(tiny, image, "Which?") is first
    assert kit.encode(tiny, image, "Which?", instructions="Be brief.") is not first
    assert kit.encode(tiny, kit.image(5), "Which?").images != first.images
