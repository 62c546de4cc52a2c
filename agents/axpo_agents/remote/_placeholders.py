"""Defines `Placeholders`: prompts and images as servers take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from axpo_agents.errors import PolicyError
from axpo_agents.formats._contexts import expanded
from axpo_agents.formats.image_settings import ImageSettings
from axpo_envs.images import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholders:
    """How images are shown to a server: one placeholder each, and no pixels left to resize.

    Libraries differ in how they resize, so an image is sent in the size that the model reads.
    """

    settings: ImageSettings
    """How the model wants its images."""
    token: int
    """Id of the placeholder."""

    def fitted(self, images: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
        """The images in the size that the model reads, as far as a server would then leave it."""
        return tuple(_fitted(self.settings, image) for image in images)

    def compacted(self, ids: Sequence[int], images: Sequence[ImageRef]) -> tuple[int, ...]:
        """The ids with one placeholder for each image: the server repeats it for the image's tokens.

        Worked value: with P the placeholder, (7, P, P, P, P, 8) with an image of four tokens becomes (7, P, 8).

        Raises:
            PolicyError: the placeholders in `ids` are not those of `images`.
        """
        sizes = [self.settings.token_count(self.settings.grid(image)) for image in images]
        steps = iter(sizes)
        kept: list[int] = []
        at = 0
        while at < len(ids):
            kept.append(ids[at])
            at += next(steps, 1) if ids[at] == self.token else 1
        if kept.count(self.token) != len(sizes) or expanded(kept, self.token, sizes) != tuple(ids):
            found = sum(token == self.token for token in ids)
            raise PolicyError(f"expected placeholders for images of {sizes} tokens, side by side; got {found}")
        return tuple(kept)


@lru_cache(maxsize=64)
def _fitted(settings: ImageSettings, image: ImageRef) -> ImageRef:
    size = settings.fitted_size(image.height, image.width)
    # Where limits are narrow, a fitted image may be fitted once more, to another size.
    if size == (image.height, image.width) or settings.fitted_size(*size) != size:
        return image
    return ImageRef(settings.fitted(image))
