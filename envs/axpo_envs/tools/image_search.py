"""Defines the tool `image_search`: images that are like one of the conversation, with captions and page addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.backends.image_search._types import FoundImage, ImageSearchBackend
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import Coords
from axpo_envs.imaging.showing import view_image
from axpo_envs.tool._arguments import known_arguments, read_integer
from axpo_envs.tool.protocol import Effects, ToolContext
from axpo_envs.tools._region import (
    BOX,
    BOX_ALIAS,
    RegionTool,
    box_schema,
    cropped,
    index_schema,
    read_region,
    region_of,
)
from axpo_envs.types import ToolResult

MAX_TOP_K: Final = 50
"""Images that a search may be allowed to return."""

_CAPTION_CHARS: Final = 300
_PAGE_CHARS: Final = 500
_IMAGES: Final = "Number of the image to search by, from 0: the images given, then those that tools returned."


class ImageSearch(RegionTool):
    """Searches by an image: the policy names an image and, if it likes, a box of it, and reads what looks like that.

    A result is numbered text (caption, page, similarity) and a small picture. Images are numbered from 0: those of the
    question, then those that tools have shown since, the pictures found included.

    Args:
        backend: what to search.
        top_k: images where the policy asks for no number.
        max_top_k: images that it may ask for, at most 50.
        picture_size: longer side in pixels of the pictures that it reads; None gives it texts alone.
        coords: convention of the boxes.

    Raises:
        EnvConfigError: a number is out of range, or the backend is none or cannot be used (a key is missing, say).
    """

    def __init__(
        self,
        backend: ImageSearchBackend,
        *,
        top_k: int = 3,
        max_top_k: int = 10,
        picture_size: int | None = 256,
        coords: Coords | str = Coords.REL1000,
    ) -> None:
        if isinstance(backend, type) or not isinstance(backend, ImageSearchBackend):
            raise EnvConfigError(
                f"backend: expected an ImageSearchBackend (fingerprint, effects, check, search); got {backend!r:.100}"
            )
        if not 1 <= top_k <= max_top_k <= MAX_TOP_K:
            wanted = f"1 <= top_k <= max_top_k <= {MAX_TOP_K}"
            raise EnvConfigError(f"expected {wanted}; got top_k {top_k}, max_top_k {max_top_k}")
        if picture_size is not None and picture_size < 1:
            raise EnvConfigError(f"picture_size must be at least 1 pixel; got {picture_size}")
        super().__init__(coords)
        backend.check()
        self._backend = backend
        self._top_k = top_k
        self._max_top_k = max_top_k
        self._picture_size = picture_size

    @property
    def name(self) -> str:
        """`image_search`."""
        return "image_search"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return "Finds images that look like an image or a region of it: caption, page address and a small picture."

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments; `bbox` is accepted for `bbox_2d`, too."""
        return {
            "type": "object",
            "properties": {
                "img_idx": index_schema(_IMAGES),
                "bbox_2d": box_schema(self._coords, "The region to search by; the whole image where it is left out,"),
                "top_k": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": self._max_top_k,
                    "default": self._top_k,
                    "description": "How many images to return.",
                },
            },
            "required": [],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Those of the backend: pure for a local index, external for a live service."""
        return self._backend.effects

    @property
    def repeatable(self) -> bool:
        """A search that was broken off found nothing, and may be made again."""
        return True

    @property
    def timeout_s(self) -> float | None:
        """None: a backend has its own time limits, and what runs into them is a fault, not the policy's to read."""
        return None

    @property
    def fingerprint(self) -> str:
        """The backend's, and the size of the pictures."""
        return f"{self._backend.fingerprint}, picture_size={self._picture_size}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"img_idx": int, "bbox_2d": four floats or None, "top_k": int}`.

        Raises:
            ToolArgumentError: a name is unknown, or a value has the wrong type or is out of range.
        """
        arguments = known_arguments(arguments, "img_idx", BOX, "top_k", alias=BOX_ALIAS)
        top_k = read_integer(arguments, "top_k", default=self._top_k, at_least=1, at_most=self._max_top_k)
        return {**read_region(arguments, box_needed=False), "top_k": top_k}

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """The images that were found, best first; "No images were found." where there are none.

        Raises:
            ToolError: there is no image of that number, the box is unusable, or the backend cannot search by it.
            InfrastructureFault: the backend cannot be reached.
            EnvConfigError: the backend refuses its key or settings.
        """
        image, box = region_of(arguments, self._coords, context)
        content: list[str | ImageRef] = []
        for number, found in enumerate(self._backend.search(cropped(image, box), arguments["top_k"]), start=1):
            content.append(f"{chr(10) * (number > 1)}{number}. {_described(found)}")
            if found.image is not None and self._picture_size is not None:
                content += ["\n", view_image(found.image, self._picture_size)]
        return ToolResult(content=tuple(content) or ("No images were found.",)), state


def _described(found: FoundImage) -> str:
    score = "" if found.score is None else f" (similarity {found.score:.2f})"
    page = f"\npage: {_cut(found.page, _PAGE_CHARS)}" if found.page else ""
    return f"{_cut(found.caption, _CAPTION_CHARS) or 'no caption'}{score}{page}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
