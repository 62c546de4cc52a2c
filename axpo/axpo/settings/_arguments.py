"""Defines `parse_env_args`: arguments that are written as NAME=VALUE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from axpo.settings.config import ConfigError

_PYTHON_WORDS: Final = {"True": "true", "False": "false", "None": "null"}


def parse_env_args(arguments: Sequence[str], *, setting: str = "env_args") -> dict[str, Any]:
    """Keyword arguments from NAME=VALUE, where VALUE is JSON or a bare word.

    Worked value: `("guess_rate=0.6", "split=test")` gives `{"guess_rate": 0.6, "split": "test"}`.

    Args:
        arguments: the arguments.
        setting: what messages call them.

    Raises:
        ConfigError: an argument is not of that form, or named twice.
    """
    parsed: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{setting}: expected NAME=VALUE; got {argument!r}")
        if name in parsed:
            raise ConfigError(f"{setting}: {name} is given twice")
        parsed[name] = _value(f"{setting}: {name}", text)
    return parsed


def _value(argument: str, text: str) -> Any:
    if text in _PYTHON_WORDS:
        raise ConfigError(f"{argument}: expected {_PYTHON_WORDS[text]!r} (JSON); got {text!r}")
    try:
        return json.loads(text)
    except ValueError as error:
        if text[:1] in tuple('{["'):
            raise ConfigError(f"{argument}: expected JSON; got {text!r} ({error})") from error
        return text
