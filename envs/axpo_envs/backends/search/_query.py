"""Defines how the text of a query is read: cleaned of what no service takes, split into terms, shown in extracts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from axpo_envs.backends.search._spaceless import is_spaceless, windows, without_runs
from axpo_envs.plumbing.surrogates import well_formed

MAX_TERMS: Final = 64
"""Different terms of a query that count; further ones are ignored."""

_SCANNED_CHARS: Final = 50_000
_TERM: Final = re.compile(r"[^\W_]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_SENTENCE_END: Final = re.compile(r"[.!?] |[\u3002\uff01\uff1f]")


def clean_query(query: str) -> str:
    """The query as it is sent and recorded: well-formed, NFC, white space and control characters as single spaces."""
    return _CONTROL.sub(" ", unicodedata.normalize("NFC", well_formed(query))).strip()


def query_terms(query: str) -> tuple[str, ...]:
    """The words and numbers of a query as written, those that differ in more than case, at most `MAX_TERMS`.

    What is written without spaces has its windows as terms, after the words.
    """
    cleaned = clean_query(query)
    different: dict[str, str] = {}
    for match in _TERM.finditer(without_runs(cleaned)):
        different.setdefault(match.group().casefold(), match.group())
    return tuple(dict.fromkeys((*different.values(), *windows(cleaned))))[:MAX_TERMS]


def extract(text: str, query: str, limit: int) -> str:
    """A piece of a text on one line: the first that holds most different terms of the query.

    It begins with a sentence where one begins nearby, ends with a word, and bears `...` where text was left out.

    Args:
        text: the text; its first 50,000 characters are searched.
        query: what to look for.
        limit: length of the piece in characters, the dots not counted.
    """
    line = " ".join(text[:_SCANNED_CHARS].split())
    if len(line) <= limit:
        return line if len(text) <= _SCANNED_CHARS else f"{line} ..."
    lead = limit // 4
    densest = _densest(line, frozenset(term.casefold() for term in query_terms(query)), limit - lead)
    start = _sentence_start(line, densest, lead)
    piece = line[start : start + limit]
    at_end = start + limit >= len(line)
    within_word = not at_end and all(
        end.isalnum() and not is_spaceless(end) for end in (piece[-1], line[start + limit])
    )
    if within_word and " " in piece:
        piece = piece.rpartition(" ")[0]
    cut = not at_end or len(text) > _SCANNED_CHARS
    return f"{'... ' if start else ''}{piece.strip()}{' ...' if cut else ''}"


def _densest(line: str, terms: frozenset[str], width: int) -> int:
    """Where the first window of that width begins that holds most different terms; 0 if none occurs."""
    matches = [(match.span(), word) for match in _TERM.finditer(line) if (word := match.group().casefold()) in terms]
    if spaceless := [re.escape(term) for term in terms if is_spaceless(term)]:
        # A window may begin within another one.
        found = re.compile(f"(?=({'|'.join(spaceless)}))").finditer(line)
        matches = sorted({*matches, *((match.span(1), match[1]) for match in found)})
    inside: Counter[str] = Counter()
    best, best_start, end = 0, 0, 0
    for index, ((start, _), word) in enumerate(matches):
        while end < len(matches) and (end <= index or matches[end][0][1] <= start + width):
            inside[matches[end][1]] += 1
            end += 1
        if len(inside) > best:
            best, best_start = len(inside), start
        inside[word] -= 1
        if not inside[word]:
            del inside[word]
    return best_start


def _sentence_start(line: str, position: int, lead: int) -> int:
    """The beginning of the sentence around a position, if it lies within `lead` before it; else the position."""
    if position <= lead:
        return 0
    ends = [match.end() for match in _SENTENCE_END.finditer(line, position - lead, position)]
    return ends[-1] if ends else position
