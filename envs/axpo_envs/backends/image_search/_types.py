"""Defines what an image search deals in: found images, and the protocols of what finds and compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from axpo_envs.images import ImageRef
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image that a search found. Halves of surrogate pairs in its texts become U+FFFD."""

    caption: str
    """What is said of it; empty without a caption. White space is one space each."""
    page: str
    """Address of the page that shows it; empty where none is known. White space is one space each."""
    image: ImageRef | None = None
    """A small copy; None where there is none to be shown."""
    score: float | None = None
    """How alike it is; higher is more, comparable within one search only. None where the backend tells none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "caption", " ".join(well_formed(self.caption).split()))
        object.__setattr__(self, "page", " ".join(well_formed(self.page).split()))


@runtime_checkable
class ImageSearchBackend(Protocol):
    """Finds images that are like one. Its methods may be called from several threads at once."""

    @property
    def fingerprint(self) -> str:
        """Identifies what is searched and every setting that changes the answers; holds no secret."""
        ...

    @property
    def effects(self) -> Effects:
        """`PURE` where equal images get equal answers for ever; `EXTERNAL` where a live service is asked."""
        ...

    def check(self) -> None:
        """Makes sure that it can be used at all, without asking anyone.

        Raises:
            EnvConfigError: a key or a file is missing.
        """
        ...

    def search(self, image: ImageRef, top_k: int) -> tuple[FoundImage, ...]:
        """The images that are most alike, the best first.

        Args:
            image: what to compare with, in its original pixels.
            top_k: at most how many, at least 1.

        Raises:
            ToolError: the backend cannot search by such an image; the policy reads why.
            InfrastructureFault: the backend cannot be reached, is damaged, or answers nonsense.
            EnvConfigError: the backend refuses: its key, address or settings are wrong.
        """
        ...


@runtime_checkable
class ImageEncoder(Protocol):
    """Turns images into vectors whose scalar products say how alike the images are."""

    @property
    def fingerprint(self) -> str:
        """Identifies the weights and every setting that changes the vectors."""
        ...

    def encode(self, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        """One row for each image, float32 of shape (images, width); equal images get equal rows.

        Args:
            images: at least one.
        """
        ...
