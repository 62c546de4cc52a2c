"""Tests of plans: which sequences go through a model together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_agents.passes import Pass, plan_rows
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import TokenSequence


def sequence(prompt: int, *turn: int, length: int = 20) -> TokenSequence:
    """A prompt of equal tokens, and a turn whose last token is predicted but never read."""
    count = len(turn)
    return TokenSequence(
        ids=(prompt,) * length + turn, sampled=(False,) * length + (True,) * count, logprobs=(0.0,) * (length + count)
    )


def test_rows_are_dealt_out_longest_first_with_their_padding() -> None:
    sequences = [sequence(1, *range(count)) for count in (4, 30, 28, 1)]
    assert plan_rows(sequences, tokens=100) == (Pass(members=(1, 2), tokens=98), Pass(members=(0, 3), tokens=45))


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 200))
def test_rows_fit_or_stand_alone(lengths: list[int], tokens: int) -> None:
    sequences = [sequence(1, *range(length), length=1) for length in lengths]
    plan = plan_rows(sequences, tokens=tokens)
    assert sorted(member for each in plan for member in each.members) == list(range(len(lengths)))
    for each in plan:
        padded = len(each.members) * max(len(sequences[member].ids) for member in each.members)
        assert len(each.members) == 1 or padded <= tokens


def test_a_tree_goes_through_whole_and_counts_shared_tokens_once(tiny: TransformersPolicy) -> None:
    sequences = [sequence(prompt, *turn) for prompt in (50, 51) for turn in ((60, 61, 62), (63, 64))]
    assert tiny.plan(sequences, tokens=1000) == (Pass(members=(0, 1, 2, 3), tokens=2 * (20 + 2 + 1)),)
    assert tiny.plan(sequences, tokens=25) == (Pass(members=(0, 1), tokens=23), Pass(members=(2, 3), tokens=23))


def test_a_tree_that_is_too_large_is_taken_apart_between_sequences(tiny: TransformersPolicy) -> None:
    turns = [(60, *range(70, 80), 1), (60, *range(70, 80), 2), (61, *range(80, 85), 3)]
    sequences = [sequence(50, *turn) for turn in turns]
    assert tiny.plan(sequences, tokens=31) == (Pass(members=(0, 1), tokens=31), Pass(members=(2,), tokens=26))
    assert [each.members for each in tiny.plan(sequences, tokens=1)] == [(0, 1), (2,)], "equal readings cost nothing"


def test_a_sequence_without_anything_to_score_is_planned_too(tiny: TransformersPolicy) -> None:
    plan = tiny.plan([sequence(50, 60, 61), sequence(50)], tokens=100)
    assert sorted(member for each in plan for member in each.members) == [0, 1]


@pytest.mark.parametrize("tokens", [1, 30, 60, 10_000])
def test_passes_of_any_size_add_up_to_the_same(tiny: TransformersPolicy, kit: SimpleNamespace, tokens: int) -> None:
    prompts = [kit.given(kit.encode(tiny, "What?")), kit.given(kit.encode(tiny, kit.image(0), "Which?"))]
    written = [SimpleNamespace(ids=tuple(range(40, 40 + n)), logprobs=(0.0,) * n) for n in (3, 9, 20)]
    sequences = [kit.grown(prompt, turn) for prompt in prompts for turn in written]
    whole = tiny.logprobs(sequences)
    for each in tiny.plan(sequences, tokens=tokens):
        parts = tiny.logprobs([sequences[member] for member in each.members])
        for member, part in zip(each.members, parts, strict=True):
            assert (part - whole[member]).abs().max() < 1e-5
