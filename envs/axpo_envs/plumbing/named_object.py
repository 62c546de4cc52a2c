"""Defines `load_named`, which finds what `module:name` stands for, and `make_plain`, which makes an instance of it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from axpo_envs.errors import EnvConfigError


def load_named(name: str, what: str) -> Any:
    """Imports what `package.module:name` stands for; dots in the name reach into classes.

    Modules of the working directory are found, too, as they are by `python -m`; installed ones come first.

    Args:
        name: the name.
        what: what it is to be, for messages.

    Raises:
        EnvConfigError: there is no such module, it fails to import, or it holds no such name.
    """
    module_name, colon, attributes = name.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), *attributes.split("."))):
        raise EnvConfigError(f"{what}: expected 'package.module:name'; got {name!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise EnvConfigError(f"{what}: cannot import {module_name}: {type(error).__name__}: {error}") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise EnvConfigError(f"{what}: {module_name} has no {attributes!r}")
        found = getattr(found, attribute)
    return found


def make_plain(cls: type, what: str) -> Any:
    """An instance of a class, made without arguments.

    Raises:
        EnvConfigError: it needs arguments.
    """
    try:
        return cls()
    except TypeError as error:
        raise EnvConfigError(f"{what}: {cls.__name__} cannot be made without arguments: {error}") from error
