"""Defines the one way in which anything becomes pixels: `decode_image`, `pixels_of` and `check_image`.

| what | becomes |
|---|---|
| EXIF orientation | applied, once |
| alpha, transparent colours of a palette, a transparent colour | the image laid on a background, by default white |
| 16-bit grey (12-bit in a TIFF that says so) | 8 bits, the full range scaled: 65535 is white |
| 32-bit integer grey | as 8-bit where no value exceeds 255, else as 16-bit; values beyond 65535 are refused |
| float grey | 0 to 1 scaled; whole numbers from 0 to 255 as they are; anything else is refused |
| CMYK, LAB, a colour profile | sRGB (see `axpo_envs.imaging._colour_profiles`) |
| an animation | its first frame |
| a truncated or damaged file | refused: no image is decoded in part |

Ordinary RGB images keep every bit.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from axpo_envs.imaging._colour_profiles import in_srgb
from axpo_envs.imaging.files import (
    ImageProblemError,
    check_openable,
    check_size,
    open_image,
    reason_of,
    undisturbed_decoding,
)

Pixels: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)

_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP: Final = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_BITS_PER_SAMPLE: Final = 258
_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0


def decode_image(data: bytes, *, background: Colour = WHITE) -> Pixels:
    """The pixels of an image file, uint8 of shape (H, W, 3), read-only.

    Raises:
        ImageProblemError: it cannot be decoded in full (see `open_image` and the table above).
    """
    with open_image(data) as image:
        return pixels_of(image, background=background)


def pixels_of(image: Image.Image, *, background: Colour = WHITE) -> Pixels:
    """The pixels of a Pillow image, uint8 of shape (H, W, 3), read-only; the image itself stays as it is.

    Raises:
        ImageProblemError: its file cannot be decoded in full, or its values are not those of an image.
    """
    check_openable(image)
    try:
        with undisturbed_decoding():
            image.load()
            check_size(image.width, image.height)
            return np.asarray(_upright(_opaque(image, background), _orientation(image)))
    except ImageProblemError:
        raise
    except Exception as error:
        # Pillow's decoders raise nearly anything at damaged files.
        raise ImageProblemError(reason_of(error)) from error


def check_image(data: bytes) -> int:
    """Makes sure that a file can be decoded, and counts its pixels; cheaper than decoding where formats allow it.

    Raises:
        ImageProblemError: it cannot.
    """
    with open_image(data) as image:
        count = image.width * image.height
        if image.format == "PNG":
            _check_chunks(image)
        elif image.format in ("JPEG", "MPO"):
            # It is read to its end, but only an eighth of each side is computed.
            image.draft("RGB", (1, 1))
            pixels_of(image)
        else:
            pixels_of(image)
    return count


def pixels_of_array(array: npt.NDArray[Any], *, background: Colour = WHITE) -> Pixels:
    """The pixels of an array as an image's: RGB, grey, or RGB with alpha; a copy.

    Raises:
        ImageProblemError: it is not uint8 of shape (H, W), (H, W, 3) or (H, W, 4), or too large or empty.
    """
    kinds = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not kinds:
        shapes = "(H, W), (H, W, 3) or (H, W, 4)"
        raise ImageProblemError(f"expected a uint8 array of shape {shapes}; got {array.dtype} {array.shape}")
    check_size(array.shape[1], array.shape[0])
    if array.ndim == 3 and array.shape[2] == 3:
        return array.copy()
    return pixels_of(Image.fromarray(np.ascontiguousarray(array)), background=background)


def read_colour(value: Any) -> Colour:
    """A colour of three levels from 0 to 255, or by its name or code (`white`, `#ff0000`).

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str):
        return ImageColor.getrgb(value)[:3]
    levels = tuple(value) if isinstance(value, list | tuple) else ()
    if len(levels) != 3 or not all(type(level) is int and 0 <= level <= 255 for level in levels):
        raise ValueError(f"expected a colour such as 'white', '#ffffff' or (255, 255, 255); got {value!r}")
    return levels[0], levels[1], levels[2]


def _check_chunks(image: Image.Image) -> None:
    try:
        with undisturbed_decoding():
            image.verify()
    except Exception as error:
        raise ImageProblemError(reason_of(error)) from error


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # Metadata that cannot be read says nothing, as in browsers; the pixels are whole.
        return 1


def _upright(image: Image.Image, orientation: Any) -> Image.Image:
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _opaque(image: Image.Image, background: Colour) -> Image.Image:
    """The image as RGB, laid on the background where it has transparency."""
    profile = image.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) else None
    image = _shallow(image) if image.mode in _DEEP else image
    if not image.has_transparency_data:
        return in_srgb(image if image.mode in ("RGB", "L", "CMYK", "LAB") else _plain(image), profile)
    layered = _with_alpha(image)
    colour = layered.convert("L" if image.mode in ("L", "LA", "La") else "RGB")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(in_srgb(colour, profile), mask=layered.getchannel("A"))
    return canvas


def _plain(image: Image.Image) -> Image.Image:
    return image.convert("L" if image.mode == "1" else "RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and max(colour) > 255:
        # The transparent colour of a file with 16 bits per channel, of which Pillow keeps the upper 8.
        image = image.copy()
        image.info["transparency"] = tuple(level >> 8 for level in colour)
    return image.convert("RGBA")


def _shallow(image: Image.Image) -> Image.Image:
    """A grey image of more than 8 bits as one of 8, with alpha where one of its values is transparent."""
    values = np.asarray(image)
    levels = Image.fromarray(_levels(image, values))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return levels
    levels.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return levels


def _levels(image: Image.Image, values: npt.NDArray[Any]) -> Pixels:
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        levels = _levels_of_floats(values)
    elif image.mode == "I" and image.format != "PNG":
        levels = _levels_of_integers(values)
    else:
        white = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535
        levels = _scaled(values, white)
    return np.invert(levels) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else levels


def _levels_of_floats(values: npt.NDArray[Any]) -> Pixels:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        levels: Pixels = np.rint(values * 255).astype(np.uint8)
        return levels
    if low >= 0 and high <= 255 and (values == np.rint(values)).all():
        return values.astype(np.uint8)
    raise ImageProblemError(
        f"its grey levels are floats from {low:g} to {high:g}; expected 0 to 1, or whole numbers from 0 to 255"
    )


def _levels_of_integers(values: npt.NDArray[Any]) -> Pixels:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageProblemError(f"its grey levels are integers from {low} to {high}; expected 0 to 255, or to 65535")
    levels: Pixels = values.astype(np.uint8)
    return levels if high <= 255 else _scaled(values, 65535)


def _scaled(values: npt.NDArray[Any], white: int) -> Pixels:
    """Levels from 0 to `white` as 0 to 255, rounded."""
    levels = (values.astype(np.uint32) * 255 + white // 2) // white
    return np.minimum(levels, 255).astype(np.uint8)
