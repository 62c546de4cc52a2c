"""Defines how a GGUF file is named, by its path or as a file of an installed package, and where it lies."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Final

from axpo_agents.errors import PolicyError
from axpo_envs.plumbing.extras import require_extra

_SUFFIX: Final = ".gguf"
_IN_PACKAGE: Final = re.compile(r"(?P<package>[A-Za-z_]\w+):(?P<file>[^/\\].*)")
"""A package has two letters at least: one letter is a drive."""


def names_gguf(model: str) -> bool:
    """Whether a model is named as a GGUF file."""
    return model.endswith(_SUFFIX)


def gguf_file(model: str) -> Path:
    """The file that a name means: `folder/NAME.gguf`, or `PACKAGE:NAME.gguf` in an installed package.

    The package is found and not imported, so that nothing which it asks for need be installed.

    Raises:
        PolicyError: there is no such package, or no such file.
        MissingExtraError: the extra `gguf` is not installed.
    """
    found = _IN_PACKAGE.fullmatch(model)
    path = Path(model).expanduser() if found is None else _folder_of(found["package"], model) / found["file"]
    if not path.is_file():
        beside = sorted(file.name for file in path.parent.glob(f"*{_SUFFIX}")) if path.parent.is_dir() else []
        there = f"; beside it are {', '.join(beside)}" if beside else ""
        raise PolicyError(f"expected a GGUF file at {path}, as {model} names it; there is none{there}")
    require_extra("gguf", f"the GGUF file {path.name}")
    return path.absolute()


def _folder_of(package: str, model: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PolicyError(f"expected an installed package {package}, in which {model} is a file; there is none")
    return Path(spec.submodule_search_locations[0])
