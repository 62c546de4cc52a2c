"""Queries are cleaned, split into terms and shown in extracts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.backends.search._query import MAX_TERMS, clean_query, extract, query_terms
from axpo_envs.plumbing.surrogates import well_formed


@pytest.mark.parametrize(
    ("query", "cleaned"),
    [
        ("  capital\n of\tPeru ", "capital of Peru"),
        ("a\x00b\u2028c", "a b c"),
        ("\ud83d smile", "\ufffd smile"),
        ("cafe\u0301", "caf\u00e9"),
        (" \x07 ", ""),
    ],
)
def test_a_query_is_cleaned(query: str, cleaned: str) -> None:
    assert clean_query(query) == cleaned


@given(st.text(alphabet=st.characters()))
def test_a_cleaned_query_is_clean_and_can_be_encoded(query: str) -> None:
    cleaned = clean_query(query)
    assert clean_query(cleaned) == cleaned
    assert well_formed(cleaned).encode("utf-8").decode("utf-8") == cleaned


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ('the "Zürich"-The (2nd) OR NEAR(x*)', ("the", "Zürich", "2nd", "OR", "NEAR", "x")),
        ("snake_case", ("snake", "case")),
        ("?!", ()),
    ],
)
def test_terms_are_the_different_words(query: str, terms: tuple[str, ...]) -> None:
    assert query_terms(query) == terms


def test_terms_are_limited() -> None:
    assert len(query_terms(" ".join(f"w{number}" for number in range(1000)))) == MAX_TERMS


def test_a_short_text_is_shown_whole_on_one_line() -> None:
    assert extract("One.\n\nTwo  three.", "three", 20) == "One. Two three."


def test_an_extract_begins_with_the_sentence_that_holds_the_terms() -> None:
    text = "Alpha beta gamma. " * 5 + "The peak is in Peru. " + "Delta epsilon. " * 5
    assert extract(text, "peru peak", 40) == "... The peak is in Peru. Delta epsilon. ..."


def test_an_extract_prefers_the_window_with_more_different_terms() -> None:
    text = "peru peru peru peru. " + "x " * 50 + "peru has a peak" + " y" * 50
    assert "peru has a peak" in extract(text, "peak in peru", 40)


def test_an_extract_without_a_match_is_the_beginning() -> None:
    assert extract("one two three four five", "zebra", 10) == "one two ..."


WORDS = st.lists(st.sampled_from(["alpha", "beta.", "gamma", "peru", "peaks", "x" * 30]), min_size=1, max_size=60)


@given(WORDS, st.lists(st.sampled_from(["peru", "peaks", "zebra", "x" * 30]), max_size=3), st.integers(1, 80))
def test_an_extract_is_a_piece_of_the_text_within_its_limit(words: list[str], query: list[str], limit: int) -> None:
    text = "\n".join(words)
    piece = extract(text, " ".join(query), limit).removeprefix("... ").removesuffix(" ...")
    assert len(piece) <= limit
    assert piece in " ".join(words)


@given(WORDS, st.sampled_from(["peru", "peaks", "alpha"]), st.integers(20, 80))
def test_an_extract_shows_a_term_that_occurs(words: list[str], term: str, limit: int) -> None:
    assert (term in words) <= (term in extract(" ".join(words), term, limit))
