"""Tests of axpo_agents.engine._trunks: rows that share keys attend and sample as rows with copies do."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from axpo_agents.engine import _prefixes as prefixes
from axpo_agents.engine import sampler as sampling
from axpo_agents.engine._kv_cache import Pick, PrefixMemory, SlotCache, gather, planted
from axpo_agents.engine._merging import merge
from axpo_agents.engine._trunks import attend_over_trunks
from axpo_agents.policy import Prefix
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Sampling

torch.set_num_threads(1)


def test_merging_the_worked_value() -> None:
    one = torch.tensor([[1.0]]), torch.tensor([math.log(2)])
    other = torch.tensor([[4.0]]), torch.tensor([0.0])
    output, normalizer = merge(one, other)
    assert output.item() == pytest.approx(2.0)
    assert normalizer.item() == pytest.approx(math.log(3))


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_that_over_copies(length: int, masked: bool, dtype: torch.dtype, precision: float) -> None:
    """Rows 0 and 2 share a trunk of 5 tokens, row 3 sees 4 of them, row 1 has none."""
    torch.manual_seed(0)
    rows, heads, kinds, slots, size = 4, 4, 2, length + (6 if masked else 0), 8
    query = torch.randn(rows, heads, length, size).to(dtype)
    key, value, trunk_key, trunk_value = (
        torch.randn(n, kinds, m, size).to(dtype) for n, m in ((rows, slots),) * 2 + ((1, 5),) * 2
    )
    causal = torch.ones(length, slots, dtype=torch.bool).tril(slots - length)
    seen = causal.expand(rows, 1, length, slots).clone()
    if masked:
        seen[1, :, :, :2] = seen[3, :, :, 3] = False
    trunks = [
        (torch.tensor(members), trunk_key[0, :, :tokens], trunk_value[0, :, :tokens])
        for members, tokens in (([0, 2], 5), ([3], 4))
    ]
    mask = seen if masked else None
    ours = attend_over_trunks(query, (key, value), mask, trunks, 0.3)
    before = torch.tensor([5, 0, 5, 4])
    own = torch.arange(5)[None] < before[:, None]
    whole = torch.cat([own[:, None, None].expand(-1, 1, length, -1), seen], dim=-1)
    keys, values = (
        torch.cat([trunk.expand(rows, -1, -1, -1), mine], dim=2).repeat_interleave(2, dim=1)
        for trunk, mine in ((trunk_key, key), (trunk_value, value))
    )
    theirs = torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=whole, scale=0.3)
    assert torch.allclose(ours, theirs.transpose(1, 2), atol=precision)
    assert ours.dtype == dtype


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_5_vl", "qwen3"])
def test_groups_turns_and_branches_are_the_same_with_trunks_and_without(
    family: Callable[[str], TransformersPolicy],
    kit: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    policy = family(name)
    shown = () if name == "qwen3" else (kit.image(0),)
    prompts = [kit.given(kit.encode(policy, *shown, question)) for question in ("Which sign is red?", "Where?")]
    settings = Sampling(max_turn_tokens=8, max_episode_tokens=400)

    def rolled(tokens: int) -> list:
        monkeypatch.setattr(sampling, "TRUNK_TOKENS", tokens)
        policy.forget()
        first = [Prefix(sequence=prompt) for prompt in prompts for _ in range(3)]
        turns = policy.sample(first, settings, seed=0)
        shows = [policy.encode_observation(("seen", *shown), after=turn.ids) for turn in turns]
        grown = [kit.grown(p.sequence, t, then=s) for p, t, s in zip(first, turns, shows, strict=True)]
        second = policy.sample([Prefix(sequence=sequence) for sequence in grown], settings, seed=1)
        branches = [Prefix(sequence=prompts[0], forced=turns[0].ids[:cut]) for cut in (0, 3, 3, 3)]
        return [*turns, *second, *policy.sample(branches, settings, seed=2)]

    for ours, plain in zip(rolled(2), rolled(2**30), strict=True):
        assert ours.ids == plain.ids
        assert ours.logprobs == pytest.approx(plain.logprobs, abs=1e-5)
    policy.forget()


@pytest.mark.parametrize(("name", "trunk_tokens"), [("qwen3_vl", 2), ("qwen3", 2**30)])
def test_what_prompts_begin_with_is_read_once_and_their_turns_score_as_a_full_pass_says(
    family: Callable[[str], TransformersPolicy],
    kit: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    trunk_tokens: int,
) -> None:
    policy = family(name)
    shown = () if name == "qwen3" else (kit.image(0),)
    asked = ("Which sign is red?", "Where is it?", "Which one is it?")
    given = [kit.given(kit.encode(policy, *shown, "In the yard: ", question)) for question in asked]
    everyone = [Prefix(sequence=prompt) for prompt in given for _ in range(3)]
    settings = Sampling(max_turn_tokens=4, max_episode_tokens=400)
    monkeypatch.setattr(sampling, "TRUNK_TOKENS", trunk_tokens)
    collate = policy._network.collate
    read: list[int] = []

    def counted(rows: list, **options: object):  # type: ignore[no-untyped-def,type-arg]
        read.append(sum(len(row.ids) for row in rows))
        return collate(rows, **options)

    monkeypatch.setattr(policy._network, "collate", counted)

    def rolled(least: int) -> int:
        """Tokens that were read for the first turns."""
        monkeypatch.setattr(prefixes, "LEAST_COMMON", least)
        policy.forget()
        read.clear()
        turns = policy.sample(everyone, settings, seed=0)
        first = sum(read)
        later = [
            kit.grown(prefix.sequence, turn, then=policy.encode_observation(("seen", *shown), after=turn.ids))
            for prefix, turn in zip(everyone, turns, strict=True)
        ]
        second = [Prefix(sequence=sequence) for sequence in later]
        grown = policy.sample(second, settings, seed=1)
        assert kit.largest_difference(policy, everyone[2::3], turns[2::3]) < 1e-5
        assert kit.largest_difference(policy, second[2::3], grown[2::3]) < 1e-5
        return first

    alike = next(place for place, ids in enumerate(zip(*(one.ids for one in given), strict=False)) if len(set(ids)) > 1)
    assert alike >= 4
    assert rolled(4) == rolled(2**30) - 2 * alike
    policy.forget()


def rows_of(count: int, slots: int) -> SlotCache:
    """A cache of one layer whose keys tell row and slot: 100 x row + slot."""
    cache = SlotCache(1)
    numbers = (torch.arange(count)[:, None] * 100 + torch.arange(slots)).float()[:, None, :, None]
    cache.layers[0].update(numbers, -numbers)
    cache.owned = np.ones((count, slots), dtype=np.bool_)
    return cache


def test_planted_rows_share_one_stem_and_own_what_comes_after() -> None:
    pick = planted(Pick(rows_of(2, 6), 1, 5), 1)
    cache = gather([pick] * 3, 1)
    assert cache.sizes.tolist() == [5, 5, 5]
    assert cache.slots == 0
    (shared,) = cache.shared
    assert shared.rows == slice(0, 3)
    assert shared.trunk.layer(0)[0][0, :, 0].tolist() == [100, 101, 102, 103, 104]
    new = torch.tensor([7.0, 8.0, 9.0]).view(3, 1, 1, 1)
    cache.layers[0].update(new, new)
    cache.owned = np.ones((3, 1), dtype=np.bool_)
    branch = gather([Pick(cache, 1, 6), Pick(cache, 2, 3), Pick(rows_of(1, 2), 0, 2)], 1)
    assert branch.sizes.tolist() == [6, 3, 2]
    assert [None if trunk is None else trunk.length for trunk in branch.trunks] == [5, 3, None]
    assert branch.layers[0].keys[0, 0, 0, 0].item() == 8.0
    assert branch.layers[0].keys[2, 0, :2, 0].tolist() == [0.0, 1.0]


def test_what_a_row_wrote_behind_its_trunk_is_planted_with_it() -> None:
    cache = gather([planted(Pick(rows_of(2, 6), 1, 5), 1)] * 2, 1)
    new = torch.tensor([[7.0, 8.0], [9.0, 10.0]])[:, None, :, None]
    cache.layers[0].update(new, -new)
    cache.owned = np.ones((2, 2), dtype=np.bool_)
    pick = planted(Pick(cache, 1, 7), 1)
    (shared,) = gather([pick] * 2, 1).shared
    keys, values = shared.trunk.layer(0)
    assert keys[0, :, 0].tolist() == [100, 101, 102, 103, 104, 9, 10]
    assert values[0, :, 0].tolist() == [-100, -101, -102, -103, -104, -9, -10]


def test_memory_counts_a_stem_once() -> None:
    pick = planted(Pick(rows_of(1, 6), 0, 6), 1)
    (stem,) = pick.cache.stems.values() if pick.cache else ()
    memory = PrefixMemory(10_000)
    memory.remember(gather([pick] * 2, 1), {0: (1,) * 6})
    memory.remember(gather([pick] * 2, 1), {0: (2,) * 6})
    assert memory.nbytes == stem.nbytes
    small = PrefixMemory(stem.nbytes - 1)
    small.remember(gather([pick] * 2, 1), {0: (1,) * 6})
    assert small.nbytes == 0
