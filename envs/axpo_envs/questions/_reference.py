"""Defines how the reference answers and the options of a user's row are read."""

from __future__ import annotations

import ast
import decimal
import fractions
import json
import math
import string
from collections.abc import Mapping, Sequence
from typing import Any, Final

from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.rewards._multiple_choice import read_options

_EXPECTED: Final = "expected text, a number or true / false"
_EXACT_FLOATS: Final = 10**15
_MAX_DIGITS: Final = 4300


class FieldProblemError(ValueError):
    """A field's value is unusable; the message says what was expected and what was got."""


def read_answers(value: Any, options: Sequence[str] = ()) -> tuple[str, ...]:
    """The accepted answers of a row, the first one first.

    A list holds several. Whole numbers are written without a point, however they were stored: 12.0 is `12`. Where the
    row has options, an integer that is none of their texts counts them from 0 and becomes the letter.

    Raises:
        FieldProblemError: there is none, or one is unusable.
    """
    given = list(value) if isinstance(value, list | tuple) else [value]
    if isinstance(value, set | frozenset):
        # Their own order changes from process to process.
        given = sorted(value, key=str)
    if hasattr(value, "tolist") and getattr(value, "shape", ()) != ():
        given = value.tolist()
    if not given:
        raise FieldProblemError(f"{_EXPECTED}, or a list of several; got an empty list")
    return tuple(dict.fromkeys(_read_answer(one, options) for one in given))


def _read_answer(given: Any, options: Sequence[str]) -> str:
    is_scalar = getattr(given, "shape", None) == () and hasattr(given, "item")
    value: Any = given.item() if is_scalar else given
    if is_scalar and isinstance(value, float):
        # A single-precision 0.1 is 0.1, not the nearest double.
        value = float(str(given))
    if isinstance(value, float) and value.is_integer() and options:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and options:
        return _letter_at(value, options)
    match value:
        case bool():
            return json.dumps(value)
        case int():
            if abs(value) >= 10**_MAX_DIGITS:
                raise FieldProblemError(f"{_EXPECTED}; got an integer of more than {_MAX_DIGITS} digits")
            return str(value)
        case float() | decimal.Decimal() if math.isfinite(value):
            whole = value == value // 1 and -_EXACT_FLOATS < value < _EXACT_FLOATS
            return str(int(value)) if whole else str(value)
        case float() | decimal.Decimal():
            raise FieldProblemError(f"{_EXPECTED}; got {value}, which stands for a missing number")
        case fractions.Fraction():
            return str(value)
    return read_text(value, _EXPECTED)


def _letter_at(index: int, options: Sequence[str]) -> str:
    if str(index) in options:
        return str(index)
    if 0 <= index < len(options):
        return string.ascii_uppercase[index]
    raise FieldProblemError(f"expected one of {len(options)} options, which integers count from 0; got {brief(index)}")


def read_text(value: Any, expected: str) -> str:
    """A text that is not empty, half surrogate pairs replaced.

    Raises:
        FieldProblemError: it is none; the message begins with `expected`.
    """
    if not isinstance(value, str):
        raise FieldProblemError(f"{expected}; got {brief(value)}")
    if not value.strip():
        raise FieldProblemError(f"{expected}; got an empty text")
    return well_formed(value)


def read_option_texts(value: Any) -> tuple[str, ...]:
    """The texts of a row's options, in order: A, B, C, ...; empty where the row has none.

    Args:
        value: None, a list of texts or numbers, a mapping from letters to texts, a mapping with the lists `text` and
            `label`, or any of these as JSON or as Python writes it. Letters before the texts (`A. cat`) are left out.

    Raises:
        FieldProblemError: it is none of these, or there are fewer than 2 or more than 26.
    """
    if value is None:
        return ()
    listed = _parsed(value)
    if isinstance(listed, Mapping) and isinstance(listed.get("text"), list | tuple):
        listed = listed["text"]
    if isinstance(listed, Mapping):
        names = [str(name).strip("().").upper() for name in listed]
        if names != list(string.ascii_uppercase[: len(names)]):
            raise FieldProblemError(f"expected options by letter, from A on; got {brief(list(listed))}")
        listed = list(listed.values())
    if not isinstance(listed, list | tuple) or not 2 <= len(listed) <= len(string.ascii_uppercase):
        raise FieldProblemError(f"expected a list of 2 to 26 options, or a mapping by letter; got {brief(value)}")
    texts = tuple(_read_answer(one, ()) for one in listed)
    lettered = read_options("\n".join(texts))
    return tuple(lettered.values()) if len(lettered) == len(texts) else texts


def _parsed(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if not isinstance(value, str):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def with_options(prompt: str, options: Sequence[str]) -> str:
    """A prompt that lists the options: one to a line behind it, unless it lists them already."""
    if not options or len(read_options(prompt)) == len(options):
        return prompt
    lines = (f"{letter}. {text}" for letter, text in zip(string.ascii_uppercase, options, strict=False))
    return "\n".join((prompt, *lines))
