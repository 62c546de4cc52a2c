"""Bytes are handed on line by line, wherever the pieces end in which they come."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.backends.mcp import _lines as lines
from axpo_envs.backends.mcp._lines import ENCODING, WholeLines


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"\n", b"a\nb", b"\n\n", b""])))
def test_every_byte_comes_once_and_a_line_at_a_time(pieces: list[bytes]) -> None:
    whole = WholeLines()
    given_on = [whole.add(piece) for piece in pieces]
    assert b"".join((*given_on, whole.rest())) == b"".join(pieces)
    assert all(part.endswith(b"\n") for part in given_on if part)
    assert b"\n" not in whole.rest()


def test_of_a_line_beyond_the_limit_the_beginning_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(lines, "_KEPT_BYTES", 3)
    whole = WholeLines()
    assert [whole.add(piece) for piece in (b"abcdef", b"ghijkl", b"mno", b"p\nnext\n")] == [
        b"",
        b"",
        b"",
        b"abcp\nnext\n",
    ]


def test_text_is_decoded_by_lines_of_utf_8() -> None:
    decoder = codecs.getincrementaldecoder(ENCODING)("replace")
    encoded = "caf\u00e9 \U0001f600\n".encode()
    assert "".join(decoder.decode(encoded[place : place + 1]) for place in range(len(encoded))) == encoded.decode()
    assert decoder.decode(b"\xe9\n") == "\ufffd\n"
    assert decoder.decode(b"rest", final=True) == "rest"
    assert "caf\u00e9".encode(ENCODING) == "caf\u00e9".encode()
