"""Tests of axpo_agents.engine._token_tree: what sequences share is held once, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from axpo_agents.engine._positions import text_positions
from axpo_agents.engine._reading import Reading
from axpo_agents.engine._token_tree import TokenTree
from axpo_envs.images import ImageRef

IMAGE = 99
few_tokens = st.lists(st.integers(0, 1), max_size=12).map(tuple)


def reading(*ids: int, images: Sequence[ImageRef] = ()) -> Reading:
    starts = [place for place, token in enumerate(ids) if token == IMAGE and (place == 0 or ids[place - 1] != IMAGE)]
    return Reading(
        ids=np.array(ids, dtype=np.int64),
        positions=text_positions(len(ids), 1),
        images=tuple(images),
        starts=tuple(starts),
    )


def flags(length: int, *true: int) -> npt.NDArray[np.bool_]:
    sampled = np.zeros(length, dtype=np.bool_)
    sampled[list(true)] = True
    return sampled


def grow(*readings: Reading, shortest: int = 1) -> TokenTree:
    return TokenTree.of(readings, [flags(len(each)) for each in readings], shortest=shortest)


def parents(tree: TokenTree) -> list[int | None]:
    return [segment.parent for segment in tree.segments]


def test_the_worked_value_of_the_documentation() -> None:
    tree = grow(reading(7, 8, 3, 4), reading(7, 8, 3, 5), reading(7, 8, 6))
    assert [segment.reading.ids.tolist() for segment in tree.segments] == [[7, 8], [3], [4], [5], [6]]
    assert parents(tree) == [None, 0, 1, 1, 0]
    assert tree.paths == ((0, 1, 2), (0, 1, 3), (0, 4))
    assert tree.sub_end.tolist() == [6, 6, 5, 4, 5, 6]
    assert tree.reading.ids.tolist() == [7, 8, 3, 4, 5, 6]
    assert [places.tolist() for places in tree.places()] == [[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 5]]


def test_groups_with_different_prompts_are_roots_of_one_forest() -> None:
    tree = grow(reading(1, 2, 3), reading(4, 2, 3), reading(1, 2, 5))
    assert parents(tree) == [None, 0, 0, None]
    assert tree.paths == ((0, 1), (3,), (0, 2))
    assert tree.sub_end.tolist() == [4, 4, 3, 4, 7, 7, 7]


def test_a_sequence_that_ends_where_others_go_on_ends_with_a_segment() -> None:
    tree = grow(reading(1, 2), reading(1, 2, 3), reading(1, 2))
    assert tree.paths == ((0,), (0, 1), (0,))
    assert tree.length == 3


def test_less_than_the_shortest_stretch_is_repeated() -> None:
    tree = grow(reading(1, 2, 3, 4, 5), reading(1, 2, 3, 4, 6), reading(1, 2, 7), shortest=3)
    assert [segment.reading.ids.tolist() for segment in tree.segments] == [[1, 2, 3, 4], [5], [6], [1, 2, 7]]
    assert parents(tree) == [None, 0, 0, None]


def test_images_are_compared_by_content_not_by_their_placeholders() -> None:
    red, blue = (ImageRef(np.full((4, 4, 3), value, dtype=np.uint8)) for value in (200, 20))
    same = ImageRef(np.full((4, 4, 3), 200, dtype=np.uint8))
    ids = (1, IMAGE, IMAGE, 2)
    tree = grow(*(reading(*ids, images=(image,)) for image in (red, blue, same)))
    assert tree.paths == ((0, 1), (0, 2), (0, 1))
    assert tree.reading.images == (red, blue)
    assert tree.reading.starts == (1, 4)


def test_a_token_is_in_the_train_mask_if_any_sequence_sampled_it() -> None:
    """A source wrote the prefix that is given to its continuations."""
    tree = TokenTree.of([reading(1, 2, 3, 4), reading(1, 2, 3, 5)], [flags(4, 1, 2, 3), flags(4, 3)], shortest=1)
    assert tree.sampled.tolist() == [False, True, True, True, True]


def test_no_sequences_and_empty_ones_make_an_empty_tree() -> None:
    assert grow().length == 0
    assert grow(reading(), reading()).paths == ((), ())


@given(st.lists(few_tokens, max_size=8), st.integers(1, 4))
def test_every_sequence_is_found_whole_and_sees_itself_and_nothing_else(
    sequences: list[tuple[int, ...]], shortest: int
) -> None:
    tree = grow(*(reading(*ids) for ids in sequences), shortest=shortest)
    if not tree.segments:
        assert all(not ids for ids in sequences)
        return
    tokens, positions, sub_end = tree.reading.ids, tree.reading.positions, tree.sub_end
    q, k = np.mgrid[: tree.length, : tree.length]
    sees = (k <= q) & (q < sub_end[k])
    for ids, places in zip(sequences, tree.places(), strict=True):
        assert tokens[places].tolist() == list(ids)
        assert positions[0, places].tolist() == list(range(len(ids)))
        for number, place in enumerate(places):
            assert np.flatnonzero(sees[place]).tolist() == places[: number + 1].tolist()
    assert set(range(tree.length)) == {int(place) for places in tree.places() for place in places}


@given(st.lists(few_tokens, max_size=8))
def test_with_single_tokens_shared_no_prefix_is_held_twice(sequences: list[tuple[int, ...]]) -> None:
    prefixes = {ids[: length + 1] for ids in sequences for length in range(len(ids))}
    assert grow(*(reading(*ids) for ids in sequences)).length == len(prefixes)


@given(st.lists(few_tokens, max_size=8), st.integers(1, 4))
def test_segments_lie_in_depth_first_pre_order(sequences: list[tuple[int, ...]], shortest: int) -> None:
    tree = grow(*(reading(*ids) for ids in sequences), shortest=shortest)
    open_segments: list[int] = []
    for number, segment in enumerate(tree.segments):
        while open_segments and open_segments[-1] != segment.parent:
            open_segments.pop()
        assert (segment.parent is None) == (not open_segments)
        open_segments.append(number)
