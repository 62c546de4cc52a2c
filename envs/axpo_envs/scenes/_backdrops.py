"""Defines where the backgrounds of scenes come from: a procedural texture, installed photographs, or a user's folder.

The photographs are files of the installed package scikit-image (BSD-3-Clause), read from its data folder and not
copied here. Each is free of copyright restrictions by its page in scikit-image's documentation:
public domain (NASA: astronaut, hubble_deep_field; SpaceX: rocket) or CC0 (brick, grass and gravel from CC0Textures and
DeviantArt; chelsea by Stefan van der Walt; coffee by Rachel Michetti; retina by Mikael Haeggstroem).
"""

from __future__ import annotations

import hashlib
import importlib.resources
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError, image_suffixes, open_image, read_image_file
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.scenes.scene import Backdrop, texture

TEXTURE: Final = "texture"
"""Name of the procedural backdrop."""
PHOTOS: Final = "photos"
"""Name of the backdrop of installed photographs."""

_INSTALLED: Final = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
)
_SMALLEST_SHARE: Final = 0.6
_OVERSAMPLING: Final = 2
_KEPT_PHOTOGRAPHS: Final = 16


class Photographs:
    """A backdrop that cuts its pixels from photographs.

    The scene's generator picks the photograph, whether it is mirrored, and a window of the scene's shape with 60 to
    100 % of the largest possible size; the window is scaled to the scene. Grey photographs stay grey.

    Args:
        files: image files (see `axpo_envs.imaging.files`); their order counts.

    Raises:
        EnvConfigError: there is no file, or one is no readable image.
    """

    def __init__(self, files: tuple[Path, ...]) -> None:
        if not files:
            raise EnvConfigError("a backdrop of photographs needs at least one image file; got none")
        for file in files:
            _check_image(file)
        self._files = files

    @property
    def fingerprint(self) -> str:
        """Identifies the photographs by name, file size and order."""
        names = "\n".join(f"{file.name} {file.stat().st_size}" for file in self._files)
        return f"photographs-{hashlib.blake2b(names.encode(), digest_size=8).hexdigest()}"

    def __call__(self, width: int, height: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """A fresh writable uint8 array of shape (height, width, 3), a function of the generator's state.

        Raises:
            EnvConfigError: the file that was picked is damaged.
        """
        file = self._files[int(rng.integers(len(self._files)))]
        mirrored = rng.random() < 0.5
        share = rng.uniform(_SMALLEST_SHARE, 1.0)
        across, down = rng.random(2)
        photograph = _load(file, _OVERSAMPLING * max(width, height))
        scale = share * min(photograph.width / width, photograph.height / height)
        wide, high = scale * width, scale * height
        left, top = across * (photograph.width - wide), down * (photograph.height - high)
        window = photograph.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high))
        pixels = np.asarray(window)
        return np.array(pixels[:, ::-1] if mirrored else pixels, order="C")


def find_backdrop(name: str) -> Backdrop:
    """The backdrop that a setting names.

    Args:
        name: `texture`, `photos`, or the path of a folder of images (its files of image formats, in order of name).

    Raises:
        EnvConfigError: scikit-image is not installed, or the folder is missing, has no images, or has unreadable ones.
    """
    if name == TEXTURE:
        return texture
    if name == PHOTOS:
        return Photographs(_installed_photographs())
    return Photographs(_images_of(Path(name).expanduser()))


def backdrop_fingerprint(backdrop: Backdrop) -> str:
    """Identifies what a backdrop of `find_backdrop` draws."""
    return backdrop.fingerprint if isinstance(backdrop, Photographs) else TEXTURE


def _installed_photographs() -> tuple[Path, ...]:
    require_extra("photos", "backdrop 'photos'")
    folder = Path(str(importlib.resources.files("skimage") / "data"))
    files = tuple(folder / name for name in _INSTALLED if (folder / name).is_file())
    if not files:
        raise EnvConfigError(f"backdrop 'photos' found none of scikit-image's photographs in {folder}")
    return files


def _images_of(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise EnvConfigError(f"backdrop must be 'texture', 'photos' or a folder of images; got {str(folder)!r}")
    known = image_suffixes()
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in known and path.is_file())
    except OSError as error:
        raise EnvConfigError(f"the backdrop folder {str(folder)!r} cannot be read: {error}") from error
    if not files:
        raise EnvConfigError(f"the backdrop folder {str(folder)!r} has no image files")
    return tuple(files)


def _check_image(file: Path) -> None:
    try:
        with open_image(read_image_file(file)):
            pass
    except (OSError, ImageProblemError) as error:
        raise EnvConfigError(f"the backdrop image {str(file)!r} cannot be read: {error}") from error


# Decoding costs more than drawing a scene, so photographs are kept, at a size that scenes need.
@lru_cache(maxsize=_KEPT_PHOTOGRAPHS)
def _load(file: Path, longest_side: int) -> Image.Image:
    try:
        photograph = ImageRef.from_file(file).to_pil()
    except (OSError, ImageProblemError) as error:
        raise EnvConfigError(f"the backdrop image {str(file)!r} is damaged: {error}") from error
    photograph.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    return photograph
