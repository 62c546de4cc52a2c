import copy
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from axpo_envs import ImageRef
from axpo_envs.imaging.files import ImageProblemError


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def test_images_are_compared_by_their_content() -> None:
    one, other = ImageRef(pixels(3, 4)), ImageRef(pixels(3, 4))
    assert one == other
    assert hash(one) == hash(other)
    assert one != ImageRef(pixels(3, 4, seed=1))
    assert ImageRef(np.zeros((2, 6, 3), np.uint8)) != ImageRef(np.zeros((6, 2, 3), np.uint8))
    assert one != "image"


def test_pixels_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ImageRef(pixels(2, 2)).pixels[0, 0, 0] = 1


def test_copies_are_the_same_object() -> None:
    image = ImageRef(pixels(2, 2))
    assert copy.copy(image) is image
    assert copy.deepcopy([image])[0] is image


def test_a_file_is_read_without_damaged_chunks_and_one_that_is_no_image_is_told(tmp_path: Path) -> None:
    png = ImageRef(pixels(2, 3)).to_png()
    broken_comment = struct.pack(">I", 2) + b"tEXt" + b"ab" + b"\0\0\0\0"
    (tmp_path / "image.png").write_bytes(png[:33] + broken_comment + png[33:])
    assert ImageRef.from_file(tmp_path / "image.png") == ImageRef(pixels(2, 3))
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ImageProblemError, match=r"^it is no image of a format that is read \(PNG, JPEG, "):
        ImageRef.from_file(tmp_path / "text.png")


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_pickling_and_png_lose_nothing(height: int, width: int, seed: int) -> None:
    image = ImageRef(pixels(height, width, seed))
    again = pickle.loads(pickle.dumps(image))
    assert np.array_equal(again.pixels, image.pixels)
    assert again.digest == image.digest


def test_an_image_is_pickled_once_however_often_it_is_referred_to() -> None:
    image = ImageRef(pixels(50, 50))
    assert len(pickle.dumps([image] * 10)) < 1.1 * len(pickle.dumps(image))


def test_a_view_of_other_memory_order_has_the_digest_of_its_content() -> None:
    array = pixels(4, 6)
    assert ImageRef(array[:, ::-1]).digest == ImageRef(array[:, ::-1].copy()).digest


def test_pillow_images_and_files_become_rgb(tmp_path: Path) -> None:
    grey = Image.fromarray(pixels(3, 4)[:, :, 0])
    grey.save(tmp_path / "grey.png")
    image = ImageRef.from_file(tmp_path / "grey.png")
    assert (image.width, image.height) == (4, 3)
    assert image == ImageRef.from_pil(grey)
    assert ImageRef.from_pil(image.to_pil()) == image
    assert repr(image) == f"ImageRef(4x3, {image.digest[:8]})"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused_with_what_was_got(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 array of shape \(H, W, 3\); got"):
        ImageRef(array)
