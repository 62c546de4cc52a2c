"""Tests of axpo_agents.engine.sampler: what is shared, cut or forgotten changes no result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from axpo_agents.engine import _prefixes as prefixes_module
from axpo_agents.engine.random_numbers import random_numbers
from axpo_agents.engine.sampler import Sampler, draw
from axpo_agents.errors import NonFiniteRowError
from axpo_agents.policy import Prefix, Sampled
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy
from axpo_agents.types import FinishReason, Sampling, TokenSequence, Truncation

SHORT = Sampling(max_turn_tokens=14, max_episode_tokens=200)
GREEDY = Sampling(temperature=0.0, max_turn_tokens=14, max_episode_tokens=200)
TOLERANCE = 1e-4


@pytest.fixture
def fresh(tiny: TransformersPolicy, monkeypatch: pytest.MonkeyPatch) -> TransformersPolicy:
    """Remembers nothing. Every tenth token ends a turn, so that random turns end early and at different times."""
    tiny.forget()
    monkeypatch.setattr(tiny._sampler, "_stops", torch.arange(2, 150, 10))
    return tiny


def openings(policy: TransformersPolicy, kit: SimpleNamespace, copies: int = 3) -> list[Prefix]:
    """Prompts of different length, with and without images, each several times."""
    prompts = [
        kit.encode(policy, kit.image(0), "What is written on the red sign?"),
        kit.encode(policy, kit.image(1), "What?"),
        kit.encode(policy, "No image."),
        kit.encode(policy, kit.image(0), kit.image(1, 64, 96), "Which?"),
    ]
    return [Prefix(sequence=kit.given(prompt)) for prompt in prompts for _ in range(copies)]


def second_turns(
    policy: TransformersPolicy, kit: SimpleNamespace, prefixes: list[Prefix], turns: list[Sampled]
) -> list[Prefix]:
    """The same after observations of different length, with and without an image."""
    following = []
    for number, (prefix, turn) in enumerate(zip(prefixes, turns, strict=True)):
        results = [("crop", kit.image(number)), ("error: no such tool",), ("", kit.image(0), kit.image(2))]
        observation = policy.encode_observation(results[number % 3], after=turn.ids)
        following.append(Prefix(sequence=kit.grown(prefix.sequence, turn, then=observation)))
    return following


def agree(ours: list[Sampled], theirs: list[Sampled]) -> bool:
    return [turn.ids for turn in ours] == [turn.ids for turn in theirs] and np.allclose(
        np.concatenate([turn.logprobs for turn in ours]),
        np.concatenate([turn.logprobs for turn in theirs]),
        atol=TOLERANCE,
    )


def test_recorded_logprobs_equal_a_full_forward_over_turns_images_and_branches(
    fresh: TransformersPolicy, kit: SimpleNamespace
) -> None:
    first = openings(fresh, kit)
    turns = fresh.sample(first, SHORT, seed=0)
    assert len({len(turn.ids) for turn in turns}) > 1, "uneven lengths are part of the case"
    assert kit.largest_difference(fresh, first, turns) < TOLERANCE
    second = second_turns(fresh, kit, first, turns)
    later = fresh.sample(second, SHORT, seed=1)
    assert kit.largest_difference(fresh, second, later) < TOLERANCE
    branches = [Prefix(sequence=second[row].sequence, forced=later[row].ids[:cut]) for row, cut in ((0, 1), (4, 5))]
    branches += [Prefix(sequence=first[row].sequence, forced=turns[row].ids[:cut]) for row, cut in ((1, 6), (7, 2))]
    grown = fresh.sample([branch for branch in branches for _ in range(2)], SHORT, seed=2)
    assert kit.largest_difference(fresh, [branch for branch in branches for _ in range(2)], grown) < TOLERANCE


@pytest.mark.parametrize("settings", [SHORT, GREEDY], ids=["sampled", "greedy"])
def test_reusing_remembered_rows_changes_nothing(
    settings: Sampling, fresh: TransformersPolicy, kit: SimpleNamespace
) -> None:
    first = openings(fresh, kit)
    turns = fresh.sample(first, settings, seed=0)
    second = second_turns(fresh, kit, first, turns)
    branches = [
        Prefix(sequence=prefix.sequence, forced=turn.ids[:3]) for prefix, turn in zip(first, turns, strict=True)
    ]
    reused = fresh.sample(second, settings, seed=1), fresh.sample(branches, settings, seed=2)
    fresh.forget()
    anew = fresh.sample(second, settings, seed=1)
    fresh.forget()
    assert agree(reused[0], anew)
    assert agree(reused[1], fresh.sample(branches, settings, seed=2))


def count_read(policy: TransformersPolicy, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens (padding left out) and images of each reading pass from now on."""
    read: list[int] = []
    collate = policy._network.collate

    def counted(rows: list, *, align: str):  # type: ignore[no-untyped-def,type-arg]
        if align == "right":
            read.append(sum(len(row.ids) for row in rows))
        return collate(rows, align=align)

    monkeypatch.setattr(policy._network, "collate", counted)
    return read


def test_only_what_is_new_is_read(
    fresh: TransformersPolicy, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_read(fresh, monkeypatch)
    prompt = kit.encode(fresh, kit.image(0), "What?")
    group = [Prefix(sequence=kit.given(prompt))] * 8
    turns = fresh.sample(group, SHORT, seed=0)
    assert read == [len(prompt.ids)], "a prompt is read once for all its turns"
    observation = fresh.encode_observation(("crop",), after=turns[0].ids)
    following = Prefix(sequence=kit.grown(group[0].sequence, turns[0], then=observation))
    fresh.sample([following], SHORT, seed=0)
    assert read[-1] == len(observation.ids) + 1, "the last token of a turn was drawn but not read"
    fresh.sample([Prefix(sequence=group[3].sequence, forced=turns[3].ids[:4])] * 4, SHORT, seed=0)
    assert read[-1] == 1, "a branch reads its last token again, for what comes next"
    other = kit.encode(fresh, kit.image(5), "What?")
    fresh.sample([Prefix(sequence=kit.given(other))], SHORT, seed=0)
    assert read[-1] > 16, "another image is another prefix, whatever its placeholders"
    fresh.advance_version()
    fresh.sample(group, SHORT, seed=0)
    assert read[-1] == len(prompt.ids), "new weights make old keys and values useless"


def test_a_turn_depends_on_neither_its_neighbours_nor_the_batches(
    fresh: TransformersPolicy, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixes = openings(fresh, kit)
    together = fresh.sample(prefixes, SHORT, seed=3)
    fresh.forget()
    monkeypatch.setattr(prefixes_module, "_MAX_SCORES", 1000)
    assert agree(fresh.sample(prefixes, SHORT, seed=3), together)
    small = Sampler(fresh._network, fresh._sampler._stops.tolist(), 2 * 60 * fresh._network.bytes_per_slot)
    assert agree(small.sample(prefixes, SHORT, 3), together)
    assert small.memory.nbytes <= small.memory.limit


def test_equal_calls_give_equal_turns_and_other_seeds_others(fresh: TransformersPolicy, kit: SimpleNamespace) -> None:
    prefixes = openings(fresh, kit)
    runs = []
    for seed in (0, 0, 1):
        fresh.forget()
        runs.append(fresh.sample(prefixes, SHORT, seed=seed))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert len({turn.ids for turn in runs[0][:3]}) == 3, "equal prefixes get different turns"


@pytest.mark.parametrize("size", [1, 3, 12])
def test_a_turn_with_a_seed_of_its_own_does_not_depend_on_how_many_are_sampled(
    size: int, fresh: TransformersPolicy, kit: SimpleNamespace
) -> None:
    prefixes = [replace(prefix, seed=1000 + place) for place, prefix in enumerate(openings(fresh, kit))]
    together = fresh.sample(prefixes, SHORT, seed=3)
    assert len({turn.ids for turn in together}) == len(prefixes)
    parts = []
    for start in range(0, len(prefixes), size):
        fresh.forget()
        parts += fresh.sample(prefixes[start : start + size], SHORT, seed=start)
    assert agree(parts, together)
    longer = fresh.sample([prefixes[4]], replace(SHORT, max_turn_tokens=60), seed=0)
    assert longer[0].ids[: len(together[4].ids)] == together[4].ids


def test_random_numbers_are_uniform_and_belong_to_their_seeds() -> None:
    sequence = TokenSequence(ids=(), sampled=(), logprobs=())
    prefixes = [Prefix(sequence=sequence)] * 50 + [Prefix(sequence=sequence, seed=seed) for seed in range(50)]
    numbers = random_numbers(prefixes, 200, 7)
    assert numbers.shape == (100, 200)
    assert 0 <= float(numbers.min()) < float(numbers.max()) < 1
    counts = torch.histc(numbers.flatten(), bins=10, min=0, max=1)
    assert bool(((counts - 2000).abs() < 200).all())
    assert len(set(numbers.flatten().tolist())) == numbers.numel()
    assert torch.equal(random_numbers(prefixes[60:61], 20, 8), numbers[60:61, :20])
    assert not torch.equal(random_numbers(prefixes[:1], 20, 8), numbers[:1, :20])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(
    temperature: float, value: float, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy("tiny-random")
    logits = policy._network.logits

    def poisoned(*arguments: Any, **options: Any) -> torch.Tensor:
        made = logits(*arguments, **options)
        made[-1, :, 7] = value
        return made

    monkeypatch.setattr(policy._network, "logits", poisoned)
    prefixes = [Prefix(sequence=kit.given(kit.encode(policy, text))) for text in ("One?", "Two?")]
    with pytest.raises(NonFiniteRowError, match="expected finite logits") as refusal:
        policy.sample(prefixes, replace(SHORT, temperature=temperature), seed=0)
    assert refusal.value.row in (0, 1)


@pytest.mark.parametrize(
    "truncation", [Truncation(top_k=3), Truncation(top_p=0.4), Truncation(top_k=20, top_p=0.5), Truncation(top_k=1)]
)
@pytest.mark.parametrize("packing", ["tree", "rows"])
def test_truncated_sampling_records_what_truncated_scoring_gives(
    truncation: Truncation, packing: str, kit: SimpleNamespace
) -> None:
    policy = load_policy("tiny-random", LoadSettings(packing=packing))
    prefixes = [Prefix(sequence=kit.given(kit.encode(policy, "What?")))] * 4
    turns = policy.sample(prefixes, replace(SHORT, temperature=1.3, truncation=truncation), seed=0)
    sequences = [kit.grown(prefix.sequence, turn) for prefix, turn in zip(prefixes, turns, strict=True)]
    with torch.no_grad():
        whole = policy.logprobs(sequences, temperature=1.3)
        for turn, scored, all_tokens in zip(
            turns, policy.logprobs(sequences, temperature=1.3, truncation=truncation), whole, strict=True
        ):
            assert torch.allclose(torch.tensor(turn.logprobs), scored, atol=TOLERANCE)
            assert bool((scored > all_tokens).all())


def test_truncation_keeps_the_most_probable_tokens_in_proportion() -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(1000, -1)
    uniforms = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    for truncation, counts in (
        (Truncation(top_k=2), [0, 571, 0, 429]),
        (Truncation(top_p=0.7), [0, 571, 0, 429]),
        (Truncation(top_p=0.71), [0, 444, 222, 334]),
        (Truncation(top_k=3, top_p=0.5), [0, 571, 0, 429]),
        (Truncation(top_k=9), [100, 400, 200, 300]),
    ):
        tokens, logprobs = draw(logits, uniforms, 1.0, truncation)
        assert torch.bincount(tokens, minlength=4).tolist() == pytest.approx(counts, abs=1)
        assert float(logprobs.exp().max()) == pytest.approx(max(counts) / 1000, abs=1e-3)


def test_forbidden_tokens_are_never_sampled_and_the_others_add_up_to_one(
    fresh: TransformersPolicy, kit: SimpleNamespace
) -> None:
    prefixes = [Prefix(sequence=kit.given(kit.encode(fresh, "What?")))] * 64
    short = Sampling(max_turn_tokens=1, max_episode_tokens=200)
    free = [turn.ids[0] for turn in fresh.sample(prefixes, short, seed=0)]
    forbidden = tuple(sorted(set(free)))[:3]
    held = fresh.sample(prefixes, replace(short, forbidden=forbidden), seed=0)
    assert not set(forbidden) & {turn.ids[0] for turn in held}
    given = prefixes[0].sequence
    with torch.no_grad():
        alone = [kit.grown(given, replace(held[0], ids=(token,), logprobs=(0.0,))) for token in forbidden]
        kept = 1 - sum(float(scored.exp()) for scored in fresh.logprobs(alone))
        for turn, scored in zip(held, fresh.logprobs([kit.grown(given, turn) for turn in held]), strict=True):
            assert turn.logprobs[0] == pytest.approx(float(scored) - math.log(kept), abs=1e-4)


def test_limits_count_forced_tokens_and_the_whole_episode(fresh: TransformersPolicy, kit: SimpleNamespace) -> None:
    sequence = kit.given(kit.encode(fresh, "What?"))
    size = len(sequence.ids)
    prefixes = [Prefix(sequence=sequence), Prefix(sequence=sequence, forced=(60, 61, 62, 63))]
    turns = fresh.sample(prefixes, Sampling(max_turn_tokens=4, max_episode_tokens=200), seed=0)
    assert len(turns[0].ids) <= 4
    assert turns[1] == Sampled(ids=(), logprobs=(), finish=FinishReason.LENGTH)
    long = fresh.sample(prefixes * 8, Sampling(max_turn_tokens=100, max_episode_tokens=size + 6), seed=0)
    cut_off = [turn for turn in long if turn.finish is FinishReason.LENGTH]
    assert {len(turn.ids) for turn in cut_off} == {6, 2}


def test_a_turn_ends_with_its_end_token_or_at_the_limit(fresh: TransformersPolicy, kit: SimpleNamespace) -> None:
    stops = set(fresh._sampler._stops.tolist())
    turns = fresh.sample([Prefix(sequence=kit.given(kit.encode(fresh, "What?")))] * 64, SHORT, seed=0)
    assert {turn.finish for turn in turns} == {FinishReason.STOP, FinishReason.LENGTH}
    for turn in turns:
        assert not stops & set(turn.ids[:-1])
        assert (turn.ids[-1] in stops) == (turn.finish is FinishReason.STOP)
        assert len(turn.ids) == 14 or turn.finish is FinishReason.STOP


def test_nothing_to_sample_is_no_error(fresh: TransformersPolicy) -> None:
    assert fresh.sample([], SHORT, seed=0) == []


def test_temperature_divides_the_logits(fresh: TransformersPolicy, kit: SimpleNamespace) -> None:
    prefixes = openings(fresh, kit, copies=1)
    warm = Sampling(temperature=1.7, max_turn_tokens=10, max_episode_tokens=200)
    turns = fresh.sample(prefixes, warm, seed=0)
    sequences = [kit.grown(prefix.sequence, turn) for prefix, turn in zip(prefixes, turns, strict=True)]
    with torch.no_grad():
        for turn, scored in zip(turns, fresh.logprobs(sequences, temperature=1.7), strict=True):
            assert torch.allclose(torch.tensor(turn.logprobs), scored, atol=TOLERANCE)


def test_tokens_are_drawn_in_proportion_to_their_probability() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    uniforms = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    tokens, logprobs = draw(probabilities.log().expand(1000, -1), uniforms, 1.0)
    assert torch.bincount(tokens, minlength=6).tolist() == [0, 500, 0, 300, 200, 0]
    assert torch.allclose(logprobs, probabilities.log()[tokens])


def test_the_extremes_of_the_unit_interval_never_draw_an_impossible_token() -> None:
    probabilities = torch.tensor([0.0, 0.1, 0.9, 0.0])
    extremes = torch.tensor([0.0, 1 - 2**-50], dtype=torch.float64)
    tokens, _ = draw(probabilities.log().expand(2, -1), extremes, 1.0)
    assert tokens.tolist() == [1, 2]


def test_temperature_zero_takes_the_most_probable_token_with_its_probability() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    tokens, logprobs = draw(logits, torch.tensor([0.99], dtype=torch.float64), 0.0)
    assert tokens.tolist() == [1]
    assert torch.allclose(logprobs, torch.log_softmax(logits, -1)[:, 1])


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl", "qwen2_vl", "qwen3"])
def test_every_family_samples_what_it_scores(
    name: str, family: Callable[[str], TransformersPolicy], kit: SimpleNamespace
) -> None:
    policy = family(name)
    images = [kit.image(0), kit.image(1, 64, 100)] if policy.supports_images else ["one", "other"]
    prefixes = [Prefix(sequence=kit.given(kit.encode(policy, "What? ", image))) for image in images for _ in range(2)]
    few = Sampling(max_turn_tokens=6, max_episode_tokens=600)
    turns = policy.sample(prefixes, few, seed=0)
    assert kit.largest_difference(policy, prefixes, turns) < TOLERANCE
    observation = policy.encode_observation(("seen: ", images[1]), after=turns[0].ids)
    following = [Prefix(sequence=kit.grown(prefixes[0].sequence, turns[0], then=observation))]
    following.append(Prefix(sequence=prefixes[3].sequence, forced=turns[3].ids[:2]))
    later = policy.sample(following, few, seed=1)
    assert kit.largest_difference(policy, following, later) < TOLERANCE


def test_sequences_are_tokens_not_text(fresh: TransformersPolicy, kit: SimpleNamespace) -> None:
    """A prefix with ids that its text would not be split into is continued as given."""
    sequence = kit.given(kit.encode(fresh, "What?"))
    spelled = tuple(fresh.tokenizer.convert_tokens_to_ids(list("red")))
    assert fresh.tokenizer("red")["input_ids"] != list(spelled)
    odd = TokenSequence.of((), then=SimpleNamespace(ids=sequence.ids + spelled, images=()))  # type: ignore[arg-type]
    prefix = Prefix(sequence=odd)
    assert kit.largest_difference(fresh, [prefix], fresh.sample([prefix], SHORT, seed=0)) < TOLERANCE


def test_a_presence_penalty_is_taken_from_what_the_turn_has_said_and_from_nothing_else(
    fresh: TransformersPolicy, kit: SimpleNamespace
) -> None:
    first = openings(fresh, kit, copies=1)
    # So high that nothing is said twice, however often the prompt or a frozen prefix says it.
    never = replace(SHORT, presence_penalty=1000.0)
    forced = [replace(prefix, forced=(9, 9)) for prefix in first]
    for turn in (*fresh.sample(first, never, seed=3), *fresh.sample(forced, never, seed=3)):
        assert len(set(turn.ids)) == len(turn.ids)
    said = fresh.sample(first[:1], never, seed=3)[0]
    assert said.ids[0] == fresh.sample(first[:1], SHORT, seed=3)[0].ids[0]


def test_recorded_logprobs_are_those_of_the_penalized_distribution(
    fresh: TransformersPolicy, kit: SimpleNamespace
) -> None:
    prefix = openings(fresh, kit, copies=1)[2]
    settings = replace(SHORT, presence_penalty=1.5, temperature=0.7)
    (turn,) = fresh.sample([prefix], settings, seed=5)
    assert len(turn.ids) > 2
    network, ids = fresh._network, (*prefix.sequence.ids, *turn.ids)
    with torch.no_grad():
        logits = network.logits(network.collate([network.read(ids, ())], align="left"), keep=len(turn.ids) + 1)[0]
    for step, (token, logprob) in enumerate(zip(turn.ids, turn.logprobs, strict=True)):
        row = logits[step].clone()
        row[list(set(turn.ids[:step]))] -= 1.5
        assert torch.log_softmax(row / 0.7, -1)[token].item() == pytest.approx(logprob, abs=TOLERANCE)
