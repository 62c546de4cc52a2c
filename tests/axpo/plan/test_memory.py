from __future__ import annotations

from dataclasses import replace

import pytest

import axpo
from axpo.plan.activations import Passing, activation_parts, layer_bytes
from axpo.plan.advice import changes_that_help
from axpo.plan.memory import Memory, memory_of
from axpo.plan.placement import Placement
from axpo.plan.planning import check_placement
from axpo.plan.shape import ModelShape
from axpo.plan.workload import Workload
from axpo.settings.config import Algorithm, OptimConfig
from axpo.settings.model import ModelConfig

BFLOAT = axpo.TrainConfig(policy=ModelConfig(device="cuda", dtype="bfloat16"), optim=OptimConfig(micro_batch_tokens=5))


def parts_of(memory: Memory) -> dict[str, float]:
    return {part.name.partition(" (")[0]: part.bytes for part in memory.parts if "keys" not in part.name}


def test_weights_gradients_masters_and_moments_are_counted(shape: ModelShape, work: Workload, alone: Placement) -> None:
    parts = parts_of(memory_of(BFLOAT, shape, work, alone))
    assert parts["weights"] == parts["reference policy"] == parts["gradients"] == 2 * 1000
    assert parts["float32 master weights"] == parts["gradients in float32"] == 4 * 1000
    assert parts["optimizer states"] == 8 * 1000


def test_gradients_of_a_single_pass_come_as_its_activations_go(
    shape: ModelShape, work: Workload, alone: Placement
) -> None:
    assert "gradients" not in parts_of(memory_of(replace(BFLOAT, optim=OptimConfig()), shape, work, alone))


def test_keys_and_values_are_those_of_all_turns_under_way(shape: ModelShape, work: Workload, alone: Placement) -> None:
    memory = memory_of(BFLOAT, shape, work, alone)
    held = {part.name: part.bytes for part in memory.parts if part.name.startswith("keys and values")}
    # 8 first turns behind prompts of 10, with 64 slots to grow into; 8 more and 5 of continuations, 40 long at most.
    slots = 8 * (10 + 64) + (8 * 1.0 + 2 * 2.5) * (10 + 2 * 3 + 2 * 12 + 64)
    assert held["keys and values (sampling)"] == 1.25 * slots * 2 * 2 * 4 * 2


def test_in_float32_there_are_no_masters_and_without_kl_no_reference(
    shape: ModelShape, work: Workload, alone: Placement
) -> None:
    config = axpo.TrainConfig(loss=axpo.LossConfig(kl=0.0))
    parts = parts_of(memory_of(config, shape, work, replace(alone, on_cuda=False)))
    assert parts["weights"] == 4 * 1000
    assert not {"float32 master weights", "reference policy", "the optimizer's working memory"} & set(parts)


def test_adapters_have_gradients_and_moments_of_their_own_size(
    shape: ModelShape, work: Workload, alone: Placement
) -> None:
    config = replace(BFLOAT, policy=replace(BFLOAT.policy, lora_rank=4))
    parts = parts_of(memory_of(config, shape, work, alone))
    assert parts["LoRA adapters"] == parts["gradients"] == 4 * 40
    assert parts["optimizer states"] == 8 * 40
    assert not {"reference policy", "float32 master weights"} & set(parts)


def test_fsdp_divides_what_ddp_repeats(shape: ModelShape, work: Workload, eight: Placement) -> None:
    config = replace(BFLOAT, ranks=axpo.RanksConfig(strategy="fsdp"))
    divided = parts_of(memory_of(config, shape, work, eight))
    whole = parts_of(memory_of(BFLOAT, shape, work, replace(eight, is_divided=False)))
    for name in ("weights", "reference policy", "float32 master weights", "optimizer states", "gradients"):
        assert divided[name] == whole[name] / 8
    assert whole["buckets of gradients"] == 2 * 1000
    assert divided["gathered policy that samples"] == 2 * 1000
    # The embeddings, two layers, and one layer's gradients in float32.
    assert divided["gathered layers"] == 2 * (400 + 600) + 4 * 300


def test_where_servers_sample_for_several_devices_the_first_gathers_what_it_hands_over(
    shape: ModelShape, work: Workload, eight: Placement
) -> None:
    served = replace(BFLOAT, sampler="http://a:8000", max_staleness=1)
    placement = replace(eight, samplers=8)
    check_placement(served, placement)
    parts = parts_of(memory_of(served, shape, work, placement))
    assert parts["gathered policy that is handed over, on the first device"] == 2 * 1000


def test_what_is_offloaded_lies_in_the_cpus_memory(shape: ModelShape, work: Workload, eight: Placement) -> None:
    config = replace(BFLOAT, ranks=axpo.RanksConfig(strategy="fsdp", cpu_offload=True))
    memory = memory_of(config, shape, work, eight)
    assert memory.host == pytest.approx((2 + 2 + 4 + 8 + 2 + 4) * 1000 / 8)
    assert memory.peak < memory_of(replace(config, ranks=axpo.RanksConfig(strategy="fsdp")), shape, work, eight).peak


def test_moments_of_eight_bits_are_a_quarter(shape: ModelShape, work: Workload, alone: Placement) -> None:
    config = replace(BFLOAT, optim=OptimConfig(algorithm=Algorithm.ADAMW_8BIT, micro_batch_tokens=5))
    states = parts_of(memory_of(config, shape, work, alone))["optimizer states"]
    assert states == pytest.approx(2000, rel=0.02)


def test_a_layer_keeps_what_its_operations_need(shape: ModelShape) -> None:
    h, q, k, i = 8, 8, 4, 16
    kept = 4 * h + 4 * q + 3 * k + 4 * i
    assert layer_bytes(shape, 4, fused_norms=True) == 4 * kept
    assert layer_bytes(shape, 2, fused_norms=False) == 2 * kept + 4 * (2 * h + q + k)


def test_recomputed_activations_are_one_layers_and_the_inputs_of_all(shape: ModelShape) -> None:
    passing = Passing(tokens=10, predicted=5, image_tokens=0, accumulates=False)
    plain, recomputed = (
        dict(activation_parts(replace(BFLOAT, policy=policy), shape, passing, on_cuda=True))
        for policy in (BFLOAT.policy, replace(BFLOAT.policy, gradient_checkpointing=True))
    )
    layer = layer_bytes(shape, 2, fused_norms=False)
    assert plain["activations of the token tree"] == 10 * 2 * layer
    assert recomputed["activations of the token tree, recomputed"] == 10 * (2 * 2 * 8 + layer)
    assert plain["logits"] == 5 * 100 * 16


def test_sampling_ahead_and_updating_meet_in_memory(shape: ModelShape, work: Workload, alone: Placement) -> None:
    after = memory_of(BFLOAT, shape, work, alone).peaks
    ahead = memory_of(replace(BFLOAT, max_staleness=1), shape, work, alone).peaks
    assert ahead["backward"] > after["backward"] + 2 * 1000
    assert ahead["backward"] > ahead["sampling"]


def test_changes_that_fit_stand_in_the_order_of_how_little_they_change(
    shape: ModelShape, work: Workload, eight: Placement
) -> None:
    shape = replace(shape, parameters=10**6, layer_parameters=10**5)
    divided = memory_of(BFLOAT, shape, work, eight).peak
    machine = replace(eight.machine, memory_gb=1.02 * divided / 1e9, memory_share=1.0)
    placement = replace(eight, is_divided=False, machine=machine)
    assert not memory_of(BFLOAT, shape, work, placement).fits
    fitting = [change.settings for change in changes_that_help(BFLOAT, shape, work, placement) if change.fits]
    assert fitting[:2] == [("--ranks.strategy fsdp",), ("--gpus 16 --ranks.strategy fsdp",)]


def test_where_no_change_is_enough_several_are_tried_together(
    shape: ModelShape, work: Workload, alone: Placement
) -> None:
    placement = replace(alone, machine=replace(alone.machine, memory_gb=1e-9))
    changes = changes_that_help(BFLOAT, shape, work, placement)
    assert len(changes[-1].settings) > 2
    assert not any(change.fits for change in changes)
