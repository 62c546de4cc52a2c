"""Defines `in_srgb`, which converts an image by its ICC profile to the colours that models were trained on."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

_SPACES: Final = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""What a profile for images of a mode calls its colour space."""
_UNSEEN: Final = 2
"""Levels out of 255 by which a profile may move colours and still count as sRGB."""
_STEPS: Final = 9


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image as RGB in the colour space sRGB.

    Without a profile, or with one that is damaged or made for another kind of image, RGB and grey count as sRGB already
    and CMYK is converted by the plain formula. The pixels of an image stay exactly as they are where its profile
    describes sRGB, if not bit by bit: where it moves no colour by more than two levels.

    Args:
        image: of the mode RGB, L, CMYK or LAB.
        profile: the ICC profile that came with it.
    """
    if image.mode == "LAB":
        convert = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return _applied(convert, image)
    transform = None if profile is None else _transform(profile, image.mode)
    if transform is not None:
        return _applied(transform, image)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """What converts images of a mode and with this profile to sRGB; None where nothing is to be done."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[mode]:
            return None
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(
            source, target, mode, "RGB", ImageCms.Intent(ImageCms.getDefaultIntent(source))
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    colours = _colours(mode)
    moved = np.asarray(_applied(transform, colours), np.int16) - np.asarray(colours.convert("RGB"), np.int16)
    return None if np.abs(moved).max() <= _UNSEEN else transform


def _applied(transform: Any, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("its colour profile cannot be applied")
    return converted


def _colours(mode: str) -> Image.Image:
    """A grid of colours through the whole of a colour space."""
    levels = np.linspace(0, 255, 256 if mode == "L" else _STEPS).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(levels[None])
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(grid.reshape(_STEPS, -1, 3))
