"""Colour profiles: applied where they say something else than sRGB, and no bit is changed where they do not."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from axpo_envs.images import ImageRef
from axpo_envs.imaging._decoding import decode_image, pixels_of


def profile_of(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()  # type: ignore[arg-type]


def swapped(profile: bytes) -> bytes:
    """A profile whose red and blue primaries change places: red light is called blue."""
    table = bytearray(profile)
    for first in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        name = bytes(table[first : first + 4])
        table[first : first + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    return bytes(table)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey levels whose light is level ** gamma."""
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    bodies = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + d50,
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2),
    }
    place, table = 132 + 12 * len(bodies), struct.pack(">I", len(bodies))
    for name, body in bodies.items():
        table += name + struct.pack(">II", place, len(body))
        place += len(body)
    kinds = struct.pack(">I4sI4s4s4s12x4s", place, b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    header = (kinds + bytes(28) + d50).ljust(128, b"\0")
    return header + table + b"".join(bodies.values())


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


@pytest.mark.parametrize("scale", [1, 257])
def test_a_profile_of_grey_levels_is_applied_at_any_depth(scale: int) -> None:
    levels = np.array([[0, 128, 255]], np.uint8 if scale == 1 else np.uint16) * scale
    pixels = decode_image(encoded(Image.fromarray(levels), grey_profile(1.0)))
    # Half of the light is level 188 in sRGB.
    assert pixels[0, :, 0].tolist() == [0, 188, 255]
    with_alpha = Image.fromarray(np.dstack([np.uint8([[128, 128]]), np.uint8([[255, 0]])]))
    assert decode_image(encoded(with_alpha, grey_profile(1.0)))[0, :, 0].tolist() == [188, 255]


def test_cmyk_without_a_profile_is_converted_and_lab_by_its_own_space() -> None:
    assert pixels_of(Image.new("CMYK", (1, 1), (0, 255, 255, 0))).tolist() == [[[255, 0, 0]]]
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.new("RGB", (1, 1), (200, 30, 40)), to_lab)
    assert lab is not None
    assert np.abs(pixels_of(lab)[0, 0].astype(int) - (200, 30, 40)).max() <= 3
