"""Defines `Seal`: what a run folder holds, so that a file that is cut short, changed or removed is missed.

The seal is written behind everything it speaks of, and shortened before: whatever kills the process, the folder holds
what the seal says, and at most something more that follows from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from axpo.records import _checked_json as checked_json
from axpo.records._checked_json import DamagedFileError
from axpo.records._jsonl import JsonLines, Tip
from axpo.records._manifest import MANIFEST, manifest_hash

SEAL: Final = "seal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The content of `seal.json`."""

    config: tuple[str, ...]
    """SHA-256 of the settings' text; two while they are being changed."""
    logs: Mapping[str, Tip] = field(default_factory=dict)
    """By name of a file of `JsonLines`: how far it goes."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """By path of a folder with a manifest: the hash of its manifest."""

    def write(self, folder: Path) -> None:
        """Writes `seal.json`.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        checked_json.write(folder / SEAL, _TYPE.dump_python(self, mode="json"))

    def check_config(self, path: Path) -> None:
        """Raises a DamagedFileError if the settings are not those that were sealed."""
        if text_hash(path.read_bytes()) not in self.config:
            raise DamagedFileError(
                f"{path} was changed after the run had begun, or is damaged. The newest checkpoint holds it as it was; "
                "options given with --resume change what may be changed"
            )

    def check_log(self, log: JsonLines) -> None:
        """Raises a DamagedFileError if a file of lines does not begin with what was sealed."""
        sealed = self.logs.get(log.path.name, Tip())
        tips = log.tips()
        if len(tips) <= sealed.lines:
            state = "cut short" if log.path.exists() else "missing"
            raise DamagedFileError(
                f"{log.path} is {state}: {sealed.lines} lines were written, {len(tips) - 1} are there"
            )
        if tips[sealed.lines] != sealed:
            raise DamagedFileError(f"{log.path} is not the file that was written: line {sealed.lines} is another")

    def check_folder(self, folder: Path, name: str) -> None:
        """Raises a DamagedFileError if a sealed folder is missing or was replaced; its files are not looked at."""
        found = manifest_hash(folder / name)
        if name in self.folders and found != self.folders[name]:
            what = f"{folder / name / MANIFEST} is not what was written" if found else f"{folder / name} is missing"
            raise DamagedFileError(what)


_TYPE: Final = TypeAdapter(Seal)


def read_seal(folder: Path) -> Seal:
    """The seal of a run folder.

    Raises:
        DamagedFileError: it is missing or damaged.
        OSError: it cannot be read.
    """
    try:
        return _TYPE.validate_python(checked_json.read(folder / SEAL))
    except FileNotFoundError:
        raise DamagedFileError(f"{folder / SEAL} is missing") from None
    except ValidationError as error:
        raise DamagedFileError(f"{folder / SEAL} cannot be read: {error}") from error


def text_hash(text: bytes) -> str:
    """The SHA-256 of a settings file."""
    return hashlib.sha256(text).hexdigest()
