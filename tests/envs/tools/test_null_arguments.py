"""What a policy writes as null counts as left out, in every tool of the suite that has optional arguments."""

from __future__ import annotations

from typing import Any

import pytest

from axpo_envs.backends.search import SearchBackend
from axpo_envs.tools import ImageSearch, ImageZoomIn, Measure, Ocr, Search, ToolArgumentError


class Nowhere:
    """A search over texts, or by images, that finds nothing."""

    fingerprint = "nowhere"
    effects = "pure"
    opens = False

    def check(self) -> None:
        """Always usable."""

    def search(self, query: Any, top_k: int) -> list[Any]:
        return []

    def open(self, document: str) -> Any:
        raise LookupError(document)


def backend() -> Any:
    found = Nowhere()
    assert isinstance(found, SearchBackend)
    return found


BOX = [0, 0, 500, 500]


@pytest.mark.parametrize(
    ("tool", "needed", "optional"),
    [
        (ImageZoomIn(), {"bbox_2d": BOX}, ("label", "img_idx", "bbox")),
        (Measure(), {"bbox_2d": BOX}, ("points", "label", "img_idx", "bbox")),
        (Measure(), {"points": [[0, 0]]}, ("bbox_2d", "label", "img_idx", "bbox")),
        (Ocr(), {}, ("bbox_2d", "words", "img_idx", "bbox")),
        (ImageSearch(backend()), {}, ("bbox_2d", "top_k", "img_idx", "bbox")),
        (Search(backend()), {"query": "Bern"}, ("top_k",)),
    ],
)
def test_null_is_an_argument_that_is_left_out(tool: Any, needed: dict[str, Any], optional: tuple[str, ...]) -> None:
    left_out = tool.validate(needed)
    assert tool.validate({**needed, **dict.fromkeys(optional)}) == left_out


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (ImageZoomIn(), {"bbox_2d": None}, "bbox_2d is missing"),
        (Measure(), {"bbox_2d": None, "points": None}, "either points or bbox_2d; got neither"),
        (Search(backend()), {"query": None}, "query is missing"),
    ],
)
def test_null_is_no_needed_argument(tool: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        tool.validate(arguments)
