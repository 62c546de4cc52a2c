"""Colour profiles: applied where they say something else than sRGB, and no bit is changed where they do not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from axpo_envs.image_decoding import decode_image, pixels_of
from axpo_envs.images import ImageRef


def profile_of(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()  # type: ignore[arg-type]


def swapped(profile: bytes) -> bytes:
    """A profile whose red and blue primaries change places: red light is called blue."""
    table = bytearray(profile)
    for first in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        name = bytes(table[first : first + 4])
        table[first : first + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    return bytes(table)


def noise(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def encoded(image: Image.Image, profile: bytes) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=profile)
    return buffer.getvalue()


@pytest.mark.parametrize("profile", [profile_of("sRGB"), b"", b"no profile", profile_of("LAB")])
def test_srgb_and_profiles_that_do_not_apply_change_no_bit(profile: bytes) -> None:
    assert ImageRef.from_bytes(encoded(noise(), profile)).digest == ImageRef(np.array(noise())).digest


def test_another_profile_is_applied_and_alpha_is_kept() -> None:
    red = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    red.putpixel((1, 0), (255, 0, 0, 0))
    pixels = decode_image(encoded(red, swapped(profile_of("sRGB"))))
    assert np.abs(pixels[0, 0].astype(int) - (0, 0, 255)).max() <= 3
    assert pixels[0, 1].tolist() == [255, 255, 255]


def test_cmyk_without_a_profile_is_converted_and_lab_by_its_own_space() -> None:
    assert pixels_of(Image.new("CMYK", (1, 1), (0, 255, 255, 0))).tolist() == [[[255, 0, 0]]]
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.new("RGB", (1, 1), (200, 30, 40)), to_lab)
    assert lab is not None
    assert np.abs(pixels_of(lab)[0, 0].astype(int) - (200, 30, 40)).max() <= 3
