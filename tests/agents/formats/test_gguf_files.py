"""Tests of GGUF files: how they are named, and that one of them samples, learns and is saved like any checkpoint."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from axpo.run.locating import located
from axpo.run.validation import check_model
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.model import ModelConfig
from axpo_agents.errors import PolicyError
from axpo_agents.formats.gguf_files import gguf_file, names_gguf
from axpo_agents.policy import Prefix
from axpo_agents.testing.byte_letters import byte_letters
from axpo_agents.transformers_policy import load_policy
from axpo_agents.types import Context, Sampling, TokenSequence

WIDTH, FEED, HEADS, LAYERS = 32, 64, 2, 1
NAMED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's, but for its own system message."""
PACKED = gguf.GGMLQuantizationType.Q4_1


def weights(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.normal(0, 0.2, (rows, columns)).astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer in blocks of four bits, a token for each byte, within a package `small_model`."""
    package = tmp_path_factory.mktemp("site") / "small_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('what it needs is not there')\n")
    path = package / "small.Q4_1.gguf"
    tokens = [*NAMED, *byte_letters(), "ab"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(NAMED) + [1] * (len(tokens) - len(NAMED)))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    rng = np.random.default_rng(0)
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH, WIDTH),
        "attn_v": (WIDTH, WIDTH),
        "attn_output": (WIDTH, WIDTH),
    }
    shapes |= {"ffn_gate": (FEED, WIDTH), "ffn_up": (FEED, WIDTH), "ffn_down": (WIDTH, FEED)}
    names = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    for name, shape in {"token_embd.weight": (len(tokens), WIDTH), **names}.items():
        writer.add_tensor(name, gguf.quants.quantize(weights(*shape, rng), PACKED), raw_dtype=PACKED)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_it_samples_scores_learns_and_is_saved_as_a_checkpoint(file: Path, tmp_path: Path) -> None:
    policy = load_policy(str(file))
    assert not policy.supports_images
    assert policy.max_tokens == 512
    ids = tuple(policy.tokenizer("hi<|im_end|>", add_special_tokens=False)["input_ids"])
    assert policy.tokenizer.convert_ids_to_tokens(ids) == ["h", "i", "<|im_end|>"]
    context = Context(ids=ids)
    (turn,) = policy.sample([Prefix(sequence=TokenSequence.of((), then=context))], Sampling(max_turn_tokens=5), seed=0)
    sequence = TokenSequence(
        ids=(*ids, *turn.ids),
        images=(),
        sampled=(False,) * len(ids) + (True,) * len(turn.ids),
        logprobs=(0.0,) * len(ids) + turn.logprobs,
    )
    (scored,) = policy.logprobs([sequence])
    assert scored.detach().numpy() == pytest.approx(turn.logprobs, abs=1e-4)
    scored.sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in policy.trainable_parameters())
    policy.save(tmp_path / "checkpoint")
    with torch.no_grad():
        (again,) = load_policy(str(tmp_path / "checkpoint")).logprobs([sequence])
    assert torch.equal(again, scored.detach())


def test_the_weights_are_those_that_the_blocks_stand_for(file: Path) -> None:
    model: Any = load_policy(str(file)).model
    packed = next(t for t in gguf.GGUFReader(str(file)).tensors if t.name == "blk.0.ffn_up.weight")
    expected = gguf.quants.dequantize(packed.data, packed.tensor_type)
    assert model.model.layers[0].mlp.up_proj.weight.detach().numpy() == pytest.approx(expected, abs=1e-6)


def test_a_file_is_named_by_its_path_or_within_a_package_that_is_not_imported(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(file.parents[1]))
    importlib.invalidate_caches()
    name = f"small_model:{file.name}"
    assert gguf_file(name) == gguf_file(str(file)) == file
    assert "small_model" not in sys.modules
    check_model(name, ModelConfig())
    assert located(TrainConfig(model=name)).model == name
    monkeypatch.chdir(file.parent)
    assert located(TrainConfig(model=file.name)).model == str(file)
    assert names_gguf(name)
    assert not names_gguf("tiny")


def test_a_missing_file_is_an_error_before_any_work_that_names_what_is_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(file.parents[1]))
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=r"model: expected a GGUF file .*beside it are small\.Q4_1\.gguf"):
        check_model("small_model:other.gguf", ModelConfig())
    with pytest.raises(PolicyError, match="expected an installed package no_such_package"):
        gguf_file("no_such_package:model.gguf")


def test_a_damaged_file_is_named(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PolicyError, match=r"broken\.gguf: no config can be loaded"):
        load_policy(str(broken))
