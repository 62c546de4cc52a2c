"""Patterns in the syntax of ECMA 262 mean what they mean there, and matching one takes linear time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.backends.mcp._patterns import MAX_PATTERN_CHARS, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"^\p{L}+$", "äb", "a1"),
        (r"^\p{Letter}\P{L}$", "ä1", "ab"),
        (r"^\p{Script=Greek}\p{gc=Lu}$", "\u03b1A", "aA"),
        (r"^(?<year>[0-9]{4})$", "1999", "199"),
        (r"^(?P<year>\d{4})$", "1999", "199"),
        (r"^a\/b$", "a/b", "ab"),
        (r"^\d$", "1", "\u0661"),
        (r"^\w$", "a", "\u00e4"),
        (r"^\s\S$", "\u00a0x", "xx"),
        (r"^[\s-]$", "-", "x"),
        (r"^[^\S]$", "\ufeff", "a"),
        (r"^[\w-.]+$", "a-.", "+"),
        ("^.$", "a", "\u2028"),
        ("^a$", "a", "a\n"),
        ("^[^]$", "\n", ""),
        ("^(a|[])$", "a", "b"),
        (r"^[[\]]$", "[", "a"),
        (r"^\u00e9\x41$", "éA", "eA"),
        (r"^\ud83d\ude00\u{1F600}$", "😀😀", "😀"),
        (r"^\cA\0[\b]$", "\x01\x00\x08", "A"),
        (r"^\-\@\_\{$", "-@_{", "x"),
        (r"\bfoo\b", "a foo", "food"),
        ("(?i)^abc$", "ABC", "abd"),
    ],
)
def test_a_pattern_matches_as_ecma_262_says(pattern: str, matching: str, other: str) -> None:
    matcher = compile_pattern(pattern)
    assert matcher.search(matching)
    assert not matcher.search(other)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?<n>a)\k<n>", r"\Aa\Z", "(?>a)", r"\p{Emoji}"),
        *("a{0,2000}", "(", "[a", "\\", "*a", "[b-a]", "\ud800", "a" * (MAX_PATTERN_CHARS + 1)),
    ],
)
def test_what_cannot_be_translated_is_told(pattern: str) -> None:
    assert compile_pattern(pattern) is None


def test_a_pattern_that_backtracks_elsewhere_takes_linear_time() -> None:
    assert not compile_pattern("^(a+)+$").search("a" * 1_000_000 + "b")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_text_written_with_escapes_matches_itself_alone(text: str, other: str) -> None:
    source = "^" + "".join(f"\\u{{{ord(character):x}}}" for character in text) + "$"
    matcher = compile_pattern(source)
    assert matcher.search(text)
    assert bool(matcher.search(other)) == (text == other)


@given(st.text(alphabet="ab01-^[](){}\\dws.$*+?|/", max_size=12))
def test_any_pattern_is_read_or_refused(source: str) -> None:
    matcher = compile_pattern(source)
    if matcher is not None and re.fullmatch(r"[ab01]*", source):
        assert matcher.search(f"x{source}x")
