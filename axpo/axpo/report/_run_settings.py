"""Defines `Settings`, what a page says of the settings of a run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axpo.records._folder import CONFIG, ROLLOUTS, RunLogError
from axpo.report._pictures import Album
from axpo.settings.config import TrainConfig
from axpo.settings.config_file import completed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a page says of a run's `config.toml`, read without insisting on this version's settings."""

    text: str
    """The file as it is."""
    values: Mapping[str, Any]
    """Its content, with the defaults of what its version did not have."""

    @classmethod
    def of(cls, folder: Path) -> Settings:
        """Reads the settings of a run.

        Raises:
            RunLogError: the file is no TOML.
        """
        text = (folder / CONFIG).read_text(encoding="utf-8")
        try:
            return cls(text=text, values=completed(tomllib.loads(text), TrainConfig))
        except tomllib.TOMLDecodeError as error:
            raise RunLogError(f"{folder / CONFIG} is no TOML file: {error}") from error

    def __getitem__(self, key: str) -> Any:
        """The value of a dotted name; None where the file has none."""
        value: Any = self.values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def facts(self) -> tuple[str, ...]:
        """What was run, in a few words each."""
        size = f"{self['sampling.questions']} questions x {self['sampling.group_size']} rollouts"
        return (str(self["env"]), f"policy {self['model']}", f"{self['steps']} steps of {size}")

    def is_default(self) -> bool:
        """Whether it is the setting that the shipped notes speak of."""
        default = TrainConfig()
        ours = (self["env"], self["model"], tuple(self["env_args"] or ()))
        return ours == (default.env, default.model, default.env_args)

    def album(self, folder: Path) -> Album:
        """The run's saved rollouts."""
        threshold = self["success_threshold"]
        return Album(rollouts=folder / ROLLOUTS, success_threshold=0.5 if threshold is None else threshold)
