"""Defines how relative paths of a configuration are made absolute, so that it means the same in any working folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from axpo.run._env_making import located_env
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.sft import SftConfig
from axpo_agents.formats.gguf_files import names_gguf

C = TypeVar("C", TrainConfig, SftConfig)


def located(config: C) -> C:
    """The same configuration with its relative paths made absolute, so that it means the same in any working folder.

    Of `env` it is that of the module, see `located_env`. Of `env_args` these are values that name an existing file or
    folder and look like it: `./name`, `a/b`, `a.jsonl`.
    """
    model = Path(config.model).expanduser()
    lies_there = model.is_dir() or (names_gguf(config.model) and model.is_file())
    return replace(
        config,
        env=located_env(config.env),
        model=str(model.absolute()) if lies_there else config.model,
        out=str(Path(config.out).expanduser().absolute()),
        env_args=tuple(map(_located_argument, config.env_args)),
    )


def with_filter(config: TrainConfig) -> TrainConfig:
    """The configuration with the paths of its filter made absolute; they must name files.

    Raises:
        ConfigError: one of them names none.
    """

    def found(name: str, file: str | None) -> str | None:
        if file is None:
            return None
        path = Path(file).expanduser().absolute()
        if not path.is_file():
            raise ConfigError(f"filter.{name}: expected a file of `axpo eval --solved`; there is none at {path}")
        return str(path)

    given = config.filter
    always, never = found("always", given.always), found("never", given.never)
    return replace(config, filter=replace(given, always=always, never=never))


def located_path(text: str) -> str:
    """A text that looks like a path, and names something, as an absolute path; any other as it is."""
    path = Path(text).expanduser()
    looks_like_one = "/" in text or os.sep in text or path.suffix
    return str(path.absolute()) if looks_like_one and _exists(path) else text


def _located_argument(argument: str) -> str:
    name, equals, value = argument.partition("=")
    text = value.strip('"')
    found = located_path(text)
    return argument if found == text else f"{name}{equals}{found}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        # A long text, say, is no name of a file.
        return False
