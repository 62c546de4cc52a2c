"""Defines `SavedImage`, which stands for an image that is saved beside rollouts and whose pixels nobody has read."""

from __future__ import annotations

import numpy as np

from axpo.records._checked_json import DamagedFileError
from axpo.records._rollout_log import is_digest
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError


class SavedImage(ImageRef):
    """An image of known digest and size; its pixels are all black and take no memory.

    Args:
        digest: what the saved pixels hash to.
        width: their width.
        height: their height.

    Raises:
        DamagedFileError: it is no digest, or no image has that size.
    """

    __slots__ = ("_saved",)

    def __init__(self, digest: str, width: int, height: int) -> None:
        if not is_digest(digest):
            raise DamagedFileError(f"expected the digest of an image; got {digest!r:.80}")
        try:
            super().__init__(np.broadcast_to(np.uint8(0), (height, width, 3)))
        except (ValueError, OverflowError, ImageProblemError) as error:
            raise DamagedFileError(f"expected the size of an image; got {width!r:.20} x {height!r:.20}") from error
        self._saved = digest

    @property
    def digest(self) -> str:
        """As it was saved."""
        return self._saved
