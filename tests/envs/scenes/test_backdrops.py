from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from axpo_envs.errors import EnvConfigError
from axpo_envs.scenes import Photographs, backdrop_fingerprint, find_backdrop, texture


def folder_of(path: Path, *sizes: tuple[int, int]) -> Path:
    for number, size in enumerate(sizes):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.png")
    return path


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ["texture", "photos"])
def test_pixels_are_fresh_writable_and_decided_by_the_generator(name: str) -> None:
    backdrop = find_backdrop(name)
    pixels = backdrop(160, 96, generator(3))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (96, 160, 3))
    pixels[:] = 0
    again = backdrop(160, 96, generator(3))
    assert again.any()
    assert (again == find_backdrop(name)(160, 96, generator(3))).all()
    assert not (again == backdrop(160, 96, generator(4))).all()


def test_photographs_are_the_installed_ones_and_more_than_one_is_used() -> None:
    backdrop = find_backdrop("photos")
    means = {round(float(backdrop(32, 32, generator(seed)).mean())) for seed in range(12)}
    assert len(means) > 3
    assert backdrop_fingerprint(backdrop).startswith("photographs-")
    assert backdrop_fingerprint(texture) == "texture"


def test_without_scikit_image_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvConfigError, match=r"pip install 'axpo\[photos\]'"):
        find_backdrop("photos")


def test_a_window_is_cut_out_of_the_photograph_at_60_to_100_percent(tmp_path: Path) -> None:
    # Every pixel of this photograph tells its position: 4 levels per 5 pixels across and down.
    ramp = np.zeros((300, 300, 3), dtype=np.uint8)
    ramp[..., 0] = np.arange(300) * 0.8
    ramp[..., 1] = np.arange(300)[:, None] * 0.8
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    backdrop = find_backdrop(str(tmp_path))
    mirrored = set()
    for seed in range(20):
        pixels = backdrop(150, 150, generator(seed)).astype(float)
        across, down = np.ptp(pixels[..., 0]) / 240, np.ptp(pixels[..., 1]) / 240
        assert across == pytest.approx(down, abs=0.03)
        assert 0.57 <= down <= 1.0
        mirrored.add(bool(pixels[0, 0, 0] > pixels[0, -1, 0]))
        assert pixels[0, 0, 1] < pixels[-1, 0, 1]
    assert mirrored == {False, True}


def test_a_folder_is_read_in_order_of_name_and_other_files_are_left_out(tmp_path: Path) -> None:
    folder_of(tmp_path, (64, 48), (48, 64))
    before = find_backdrop(str(tmp_path))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    after = find_backdrop(str(tmp_path))
    assert backdrop_fingerprint(before) == backdrop_fingerprint(after)
    assert (before(40, 40, generator()) == after(40, 40, generator())).all()
    folder_of(tmp_path, (64, 48), (48, 64), (32, 32))
    assert backdrop_fingerprint(find_backdrop(str(tmp_path))) != backdrop_fingerprint(before)


def test_grey_palette_and_transparent_images_become_colour(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "LA"):
        Image.new(mode, (40, 40), 0).save(tmp_path / f"{mode}.png")
    backdrop = find_backdrop(str(tmp_path))
    for seed in range(12):
        assert backdrop(20, 20, generator(seed)).shape == (20, 20, 3)


def test_photographs_are_upright_on_white_and_files_of_other_formats_are_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (80, 40), (0, 0, 0, 0)).save(tmp_path / "clear.png", exif=exif)
    (tmp_path / "drawing.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    backdrop = find_backdrop(str(tmp_path))
    assert (backdrop(20, 40, generator()) == 255).all()


def test_folders_that_cannot_serve_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EnvConfigError, match=r"'texture', 'photos' or a folder of images; got .*nowhere"):
        find_backdrop(str(tmp_path / "nowhere"))
    with pytest.raises(EnvConfigError, match="has no image files"):
        find_backdrop(str(tmp_path))
    (tmp_path / "broken.jpg").write_bytes(b"not a jpeg")
    with pytest.raises(EnvConfigError, match=r"broken\.jpg' cannot be read"):
        find_backdrop(str(tmp_path))
    with pytest.raises(EnvConfigError, match="at least one image file"):
        Photographs(())


def test_a_photograph_damaged_behind_its_header_is_named_when_it_is_needed(tmp_path: Path) -> None:
    folder_of(tmp_path, (200, 200))
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[: len(whole) // 2])
    backdrop = find_backdrop(str(tmp_path))
    with pytest.raises(EnvConfigError, match=r"0\.png' is damaged"):
        backdrop(32, 32, generator())
