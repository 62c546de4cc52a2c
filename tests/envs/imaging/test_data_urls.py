"""Bytes out of `data:` URLs and base64 as other programs write them."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs.imaging._data_urls import is_data_url, read_base64, read_data_url
from axpo_envs.imaging.files import ImageProblemError

# Its base64 has both letters that differ between the alphabets, and padding.
BYTES = b"\xfb\xef\xff\x00"
TEXT = "++//AA=="


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{TEXT}",
        f"DATA:IMAGE/PNG;BASE64,{TEXT}",
        f"data:image/png;charset=utf-8;base64,{TEXT}",
        f"data:image/png ; base64,{TEXT}",
        f"data:image/svg+xml;name=a.png;base64,{TEXT}",
        f"data:application/octet-stream;base64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:base64,{TEXT}",
        "data:image/png;base64,--__AA==",
        "data:image/png;base64,--__AA",
        "data:image/png;base64,++//\r\n AA==\n",
        "data:image/png;base64,%2B%2B%2f%2FAA%3D%3D",
        "data:image/png,%fb%EF%ff%00",
    ],
)
def test_headers_and_bodies_of_any_spelling_are_read(url: str) -> None:
    assert is_data_url(url)
    assert read_data_url(url) == BYTES


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("data:text/plain,a", "of the form data:image/png;base64"),
        ("data:text/html;base64,AAAA", "of the form"),
        ("data:image/png;base64", "of the form"),
        ("data:", "of the form"),
        ("data:image/png;base64,!", "no base64"),
        ("data:image/png;base64,AAAAA", "no base64"),
        ("data:image/png;base64,AA=A", "no base64"),
        ("data:image/png;base64,größe", "no base64"),
    ],
)
def test_what_is_no_url_of_an_image_is_told(url: str, problem: str) -> None:
    with pytest.raises(ImageProblemError, match=problem):
        read_data_url(url)


@given(st.binary(max_size=40), st.booleans(), st.booleans())
def test_both_alphabets_are_read_with_and_without_padding(data: bytes, url_safe: bool, padded: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    assert read_base64(text if padded else text.rstrip("=")) == data


@given(st.text(max_size=30))
def test_any_text_is_bytes_or_no_image(text: str) -> None:
    for read, given_text in ((read_base64, text), (read_data_url, f"data:{text}")):
        with contextlib.suppress(ImageProblemError):
            assert isinstance(read(given_text), bytes)


def test_other_texts_are_no_data_urls() -> None:
    assert not any(map(is_data_url, ("", "date:", "file:///data:", "database.png")))
