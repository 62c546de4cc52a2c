"""Defines `JsonLines`: a file of JSON objects, one a line, that survives being killed while it is written.

Every line ends with a checksum of itself and of the line before it, so that a line that was changed, removed or put in
by something else is found. What a line says is all that stands before its `chain`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from axpo.records._checked_json import DamagedFileError
from axpo_envs.plumbing.whole_files import write_whole

__all__ = ["DamagedFileError", "JsonLines", "Record", "Tip", "finite"]

Record: TypeAlias = dict[str, Any]

CHAIN: Final = "chain"
"""The entry that ends each line."""
_LINE: Final = re.compile(rb'(?P<record>\{.*?)(?:, )?"chain": "(?P<chain>[0-9a-f]{32})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """How far a file goes, and what the last line's checksum is: enough to know it again."""

    lines: int = 0
    """Number of lines."""
    chain: str = ""
    """The last line's checksum; empty for a file without lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    record: Record
    raw: bytes
    chain: str


class JsonLines:
    """An append-only log of JSON objects.

    A line counts once it is whole: what a killed process left of its last line is ignored by readers and removed
    before the next line is written. NaN and infinities are stored as null, since JSON has no word for them.

    Args:
        path: the file; it need not exist yet.
    """

    __slots__ = ("_tip", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tip: Tip | None = None

    def read(self) -> list[Record]:
        """Every whole record, oldest first; none if there is no file.

        Raises:
            DamagedFileError: a line is not what was written; the message names file and line.
        """
        return [line.record for line in self._lines()]

    def read_undamaged(self) -> tuple[list[Record], DamagedFileError | None]:
        """The whole records before the first line that is not what was written, and what is wrong with that one."""
        records: list[Record] = []
        try:
            for line in self._lines():
                records.append(line.record)
        except DamagedFileError as error:
            return records, error
        return records, None

    def tips(self) -> list[Tip]:
        """The tip of the file as it was before its first line, and behind each.

        Raises:
            DamagedFileError: as in `read`.
        """
        return [Tip(), *(Tip(lines=n, chain=line.chain) for n, line in enumerate(self._lines(), start=1))]

    def append(self, record: Mapping[str, Any]) -> Tip:
        """Adds one record; when this returns, it is on the disk.

        Returns:
            The tip of the file behind it.

        Raises:
            OSError: the disk is full or the file cannot be written; the records before it are untouched.
            DamagedFileError: as in `read`.
        """
        before = self.repair()
        line, chain = _rendered(record, before.chain)
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                os.truncate(self.path, size)
                raise
        self._tip = Tip(lines=before.lines + 1, chain=chain)
        return self._tip

    @staticmethod
    def rendered(records: Iterable[Mapping[str, Any]]) -> bytes:
        """A whole file of these records."""
        lines, chain = [], ""
        for record in records:
            line, chain = _rendered(record, chain)
            lines.append(line)
        return b"".join(lines)

    def keep(self, lines: int) -> None:
        """Removes all but the first lines; the file changes as a whole.

        Raises:
            OSError: the disk is full or the file cannot be written; the file is untouched.
            DamagedFileError: as in `read`.
        """
        found = list(self._lines())
        if lines < len(found):
            write_whole(self.path, b"".join(line.raw + b"\n" for line in found[:lines]))
        self._tip = None

    def repair(self) -> Tip:
        """Removes what a killed process left of its last line; returns the tip. Only for the file's one writer.

        Raises:
            OSError: the file cannot be written.
            DamagedFileError: as in `read`.
        """
        if self._tip is None:
            found = list(self._lines())
            whole = b"".join(line.raw + b"\n" for line in found)
            if self.path.exists() and whole != self.path.read_bytes():
                write_whole(self.path, whole)
            self._tip = Tip(lines=len(found), chain=found[-1].chain if found else "")
        return self._tip

    def _lines(self) -> Iterator[_Line]:
        if not self.path.exists():
            return
        *raws, torn = self.path.read_bytes().split(b"\n")
        chain = ""
        for number, raw in enumerate(raws, start=1):
            try:
                line = _parsed(raw, chain)
            except ValueError as error:
                raise DamagedFileError(f"{self.path}, line {number}: {error}") from None
            yield line
            chain = line.chain
        try:
            # Only the end of the line may be missing: then it is whole.
            yield _parsed(torn, chain)
        except ValueError:
            return


def finite(value: Any) -> Any:
    """The same JSON value with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _rendered(record: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """The line of a record behind one with the checksum `before`, and its own checksum."""
    body = json.dumps(finite(dict(record)), allow_nan=False).encode()
    chain = _chain(before, body)
    comma = b", " if len(body) > 2 else b""
    return b'%b%b"%b": "%b"}\n' % (body[:-1], comma, CHAIN.encode(), chain.encode()), chain


def _parsed(raw: bytes, before: str) -> _Line:
    match = _LINE.fullmatch(raw)
    if match is None:
        raise ValueError(f"expected a JSON object that ends with its {CHAIN}; got {raw[:60]!r}")
    body, chain = match["record"] + b"}", match["chain"].decode()
    if chain != _chain(before, body):
        raise ValueError(
            f"its {CHAIN} does not match: the line was changed after it was written, or one before it was removed"
        )
    record: Record = json.loads(body)
    return _Line(record=record, raw=raw, chain=chain)


def _chain(before: str, body: bytes) -> str:
    return hashlib.blake2b(before.encode() + body, digest_size=16).hexdigest()
