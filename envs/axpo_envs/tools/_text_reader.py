"""Defines `read_text`: the lines or words of an image, by RapidOCR's models, which its wheel brings (extra `ocr`).

The models (PP-OCRv6 for finding and reading text, of PaddleOCR, Apache-2.0) run on one thread of the CPU by ONNX
Runtime. A process loads them once, when they are first used, and reads one image at a time. Nothing is downloaded.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef, Pixels, Size
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.imaging.showing import resized, shown_size
from axpo_envs.plumbing.extras import require_extra, requiring

_MODELS: Final = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_SMALLEST: Final = 32
# The models enlarge an image until its shorter side has 736 pixels, so a strip would cost as much as a poster.
_MOST_ELONGATED: Final = 4
_ONE_THREAD: Final = ("intra_op_num_threads", "inter_op_num_threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadText:
    """A line or a word that was read."""

    text: str
    """One line; not empty."""
    box: PixelBox
    """Around it, in pixels of the image, within the image; upright, however the text stands."""
    confidence: float
    """0 to 1, as the model says; not calibrated."""


def require_reader() -> None:
    """Makes sure that packages and models are there, without loading them.

    Raises:
        MissingExtraError: a package is not installed.
        EnvConfigError: the installed RapidOCR brings other models.
    """
    require_extra("ocr", "the tool ocr")
    _model_files()


def reader_fingerprint() -> str:
    """Names what results depend on: the releases that bring the models and run them."""
    releases = (f"{name} {importlib.metadata.version(name)}" for name in ("rapidocr", "onnxruntime"))
    return f"{', '.join(releases)}, {_MODELS['Det']}, {_MODELS['Rec']}"


def read_text(image: ImageRef, *, words: bool, longest_side: int) -> tuple[ReadText, ...]:
    """What stands in an image, from top to bottom and from left to right.

    Args:
        image: the image.
        words: give words instead of lines.
        longest_side: pixels to which a larger image's longer side is reduced.

    Raises:
        MissingExtraError: a package is not installed.
        EnvConfigError: the installed RapidOCR brings other models.
    """
    size = shown_size(image.size, longest_side)
    pixels = image.pixels
    if size != image.size:
        pixels = np.asarray(resized(image, PixelBox(0, 0, *image.size), size))
    found = _READER.read(_padded(pixels), words=words)
    scale = image.width / size.width, image.height / size.height
    read = (_read(text, confidence, corners, size, scale) for text, confidence, corners in found)
    return tuple(one for one in read if one is not None)


class _Reader:
    """The models of this process, and who may use them now."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forgets what a parent process loaded, and who was reading there."""
        self._lock = threading.Lock()
        self._engine: Any = None

    def read(self, pixels: Pixels, *, words: bool) -> list[tuple[str, float, Any]]:
        """(text, confidence, four corners) of each line or word.

        Args:
            pixels: uint8 of shape (H, W, 3), RGB.
            words: give words.
        """
        with self._lock:
            if self._engine is None:
                self._engine = _load()
            with _one_thread():
                # RapidOCR takes arrays as OpenCV has them: blue first.
                result = self._engine(np.ascontiguousarray(pixels[..., ::-1]), return_word_box=words)
        if result.boxes is None:
            return []
        if not words:
            return list(zip(result.txts, result.scores, result.boxes, strict=True))
        return [word for line in result.word_results for word in line if word[2] is not None]


_READER: Final = _Reader()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_READER.renew)


def _load() -> Any:
    require_reader()
    with requiring("ocr", "the tool ocr"):
        from rapidocr import RapidOCR
    # Images come reduced.
    options: dict[str, Any] = {"Global.log_level": "critical", "Global.text_score": 0.0, "Global.max_side_len": 1 << 20}
    options |= {f"EngineConfig.onnxruntime.{name}": 1 for name in _ONE_THREAD}
    options |= {f"{task}.model_path": str(path) for task, path in _model_files().items()}
    return RapidOCR(params=options)


def _model_files() -> dict[str, Path]:
    spec = importlib.util.find_spec("rapidocr")
    folder = Path((spec.submodule_search_locations or [""])[0] if spec else "") / "models"
    files = {task: folder / name for task, name in _MODELS.items()}
    if missing := [path.name for path in files.values() if not path.is_file()]:
        raise EnvConfigError(f"the tool ocr: expected the model {missing[0]} in {folder}, as rapidocr 3.10 brings it")
    return files


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV's number of threads is the process's, so it is set back."""
    with requiring("ocr", "the tool ocr"):
        import cv2
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _padded(pixels: Pixels) -> Pixels:
    """The pixels, with a margin of their mean colour where they are too few or too elongated for the models."""
    height, width = pixels.shape[:2]
    least = max(_SMALLEST, math.ceil(max(height, width) / _MOST_ELONGATED))
    if min(height, width) >= least:
        return pixels
    canvas = np.empty((max(height, least), max(width, least), 3), dtype=np.uint8)
    canvas[:] = pixels.mean(axis=(0, 1)).astype(np.uint8)
    canvas[:height, :width] = pixels
    return canvas


def _read(text: str, confidence: float, corners: Any, size: Size, scale: tuple[float, float]) -> ReadText | None:
    points = np.asarray(corners, dtype=np.float64)
    left, top = np.clip(points.min(axis=0), 0, size).tolist()
    right, bottom = np.clip(points.max(axis=0), 0, size).tolist()
    line = " ".join(text.split())
    if not line or left >= right or top >= bottom:
        return None
    box = PixelBox(left * scale[0], top * scale[1], right * scale[0], bottom * scale[1])
    return ReadText(text=line, box=box, confidence=float(confidence))
