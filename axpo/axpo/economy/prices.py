"""Defines `Price`, what a model's tokens or hours cost, and reads a file of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from axpo.settings.config import ConfigError
from axpo.settings.values import NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in any one currency: by tokens (`input` and `output`), or by the hour.

    Raises:
        ValueError: it is neither, or both.
    """

    input: NonNegative | None = None
    """Per million tokens read."""
    cached: NonNegative | None = None
    """Per million tokens that were read or written in earlier turns; None prices them as `input`."""
    output: NonNegative | None = None
    """Per million tokens written."""
    hour: NonNegative | None = None
    """Per hour of the machine."""

    def __post_init__(self) -> None:
        by_tokens = self.input is not None and self.output is not None
        some = any(value is not None for value in (self.input, self.cached, self.output))
        if by_tokens == (self.hour is not None) or some != by_tokens:
            raise ValueError("expected input and output (and cached, where it differs) per million tokens, or hour")

    def of(self, *, read: float, reread: float, written: float, seconds: float) -> float:
        """What this much costs.

        Worked value: at 1 for input, 0.1 cached and 4 for output, 1,000 read, 2,000 reread and 500 written cost
        0.001 + 0.0002 + 0.002 = 0.0032.

        Args:
            read: tokens read for the first time.
            reread: tokens that had been read or written before.
            written: tokens written.
            seconds: of the machine.
        """
        if self.input is None or self.output is None:
            return (self.hour or 0.0) * seconds / 3600
        cached = self.input if self.cached is None else self.cached
        return (self.input * read + cached * reread + self.output * written) / 1e6


def read_prices(path: Path) -> Mapping[str, Price]:
    """Reads a TOML file: a table per model, by the name that its evaluation has.

    Raises:
        ConfigError: it cannot be read, or holds something else; the place is named.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, Price]).validate_python(data)
    except OSError as error:
        raise ConfigError(f"prices: cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"prices: {path}, {place}: {problem['msg']}; got {problem['input']!r}") from error
    except ValueError as error:
        raise ConfigError(f"prices: {path}: expected a TOML file; {error}") from error
