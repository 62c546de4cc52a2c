"""Defines `Recorder`, which stores what a search backend answered and answers the same again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.search._query import clean_query
from axpo_envs.backends.search._types import Document, Hit, SearchBackend, check_backend
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import Effects, ToolError

_LAYOUT: Final = 2
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS answers"
    " (backend TEXT, request TEXT, answer TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (backend, request))"
)
_ROWS: Final = "SELECT backend, request, answer, checksum FROM answers"
_WAIT_S: Final = 60.0


class RecordMode(StrEnum):
    """Who answers a request."""

    REPLAY = "replay"
    """The recording alone; the backend is never asked, and needs neither key nor network."""
    REPLAY_OR_RECORD = "replay-or-record"
    """The recording, and the backend where nothing is recorded: whatever was answered once stays the answer."""
    RECORD = "record"
    """The backend, always; its newest answer replaces the recorded one. To refresh a recording."""


class Recorder:
    """A search backend whose answers are recorded in a file, so that a run on a live service can be repeated.

    An answer is found by the backend's fingerprint and the request, its query cleaned (see `clean_query`). Errors
    that the policy reads are answers, too; faults and refusals are not recorded. The file is an SQLite database that
    any number of threads and processes may use at once; of several that record the same request the first one's
    answer is given to all (in mode `RECORD`: the last one's stays). Every answer carries a checksum; all of them are
    checked when the file is opened, so that a damaged recording never gives other answers.

    Args:
        backend: whom to ask.
        path: the recording; begun where there is none.
        mode: who answers.
        missing_is_empty: in mode `REPLAY`, what is not recorded is answered by "nothing found" instead of a fault.

    Raises:
        EnvConfigError: the backend is no whole one; the file is no recording, is damaged, cannot be written, or is
            missing in mode `REPLAY`.
    """

    def __init__(
        self,
        backend: SearchBackend,
        path: str | Path,
        *,
        mode: RecordMode | str = RecordMode.REPLAY_OR_RECORD,
        missing_is_empty: bool = False,
    ) -> None:
        if mode not in tuple(RecordMode):
            raise EnvConfigError(f"expected mode to be one of {', '.join(RecordMode)}; got {mode!r}")
        check_backend(backend)
        self._backend = backend
        self._path = Path(path).absolute()
        self._mode = RecordMode(mode)
        self._missing_is_empty = missing_is_empty
        try:
            self._begin()
        except (OSError, sqlite3.Error) as error:
            raise EnvConfigError(f"cannot use {self._path} as a recording: {error}") from error

    def __repr__(self) -> str:
        return f"Recorder({self._backend!r}, {str(self._path)!r}, mode={self._mode.value!r})"

    @property
    def fingerprint(self) -> str:
        """That of the backend: a replay is to be taken for it."""
        return self._backend.fingerprint

    @property
    def effects(self) -> Effects:
        """Pure in mode `REPLAY`; else those of the backend."""
        return Effects.PURE if self._mode is RecordMode.REPLAY else self._backend.effects

    @property
    def opens(self) -> bool:
        """Whether the backend opens documents."""
        return self._backend.opens

    def check(self) -> None:
        """Makes sure that the backend can be used, unless it will not be asked.

        Raises:
            EnvConfigError: it cannot.
        """
        if self._mode is not RecordMode.REPLAY:
            self._backend.check()

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The recorded hits, or the backend's.

        Raises:
            ToolError: the backend cannot search for such a query.
            InfrastructureFault: nothing is recorded in mode `REPLAY`; the recording cannot be read or written; or the
                backend's own.
            EnvConfigError: the backend's own.
        """
        cleaned = clean_query(query)

        def ask() -> dict[str, Any]:
            hits = self._backend.search(cleaned, top_k)
            return {"hits": [{"document": hit.document.to_row(), "score": hit.score} for hit in hits]}

        answer = self._answer({"search": cleaned, "top_k": top_k}, ask)
        return tuple(
            Hit(document=Document.from_row(hit["document"]), score=hit["score"]) for hit in answer.get("hits", ())
        )

    def open(self, id: str) -> Document | None:
        """The recorded document, or the backend's; None if there is none.

        Raises:
            ToolError: it exists and cannot be opened.
            InfrastructureFault: as in `search`.
            EnvConfigError: as in `search`.
        """
        wanted = well_formed(id)

        def ask() -> dict[str, Any]:
            document = self._backend.open(wanted)
            return {"document": None if document is None else document.to_row()}

        row = self._answer({"open": wanted}, ask).get("document")
        return None if row is None else Document.from_row(row)

    def _answer(self, request: dict[str, Any], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        key = json.dumps(request, ensure_ascii=False)
        stored = None if self._mode is RecordMode.RECORD else self._load(key)
        if stored is None and self._mode is RecordMode.REPLAY:
            if self._missing_is_empty:
                return {}
            raise InfrastructureFault(
                f"{self._path} has no answer of {self.fingerprint} to {key}, and its mode is {self._mode.value!r}; "
                f"record it in mode {RecordMode.REPLAY_OR_RECORD.value!r}"
            )
        if stored is None:
            try:
                given = ask()
            except ToolError as error:
                given = {"error": str(error)}
            stored = self._store(key, json.dumps(given, ensure_ascii=False))
        answer: dict[str, Any] = json.loads(stored)
        if "error" in answer:
            raise ToolError(answer["error"])
        return answer

    def _load(self, request: str) -> str | None:
        with self._database() as database:
            return self._recorded(database, request)

    def _store(self, request: str, answer: str) -> str:
        """Records an answer; returns the one that counts."""
        conflict = "REPLACE" if self._mode is RecordMode.RECORD else "IGNORE"
        with self._database() as database:
            row = (self.fingerprint, request, answer, _checksum(self.fingerprint, request, answer))
            database.execute(f"INSERT OR {conflict} INTO answers VALUES (?, ?, ?, ?)", row)
            return self._recorded(database, request) or answer

    def _recorded(self, database: sqlite3.Connection, request: str) -> str | None:
        key = (self.fingerprint, request)
        found = database.execute(f"{_ROWS} WHERE backend = ? AND request = ?", key).fetchone()
        return None if found is None else _whole(found)

    def _begin(self) -> None:
        if self._mode is RecordMode.REPLAY:
            if not self._path.is_file():
                raise FileNotFoundError("there is no such file to replay")
        else:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected() as database:
            (layout,) = database.execute("PRAGMA user_version").fetchone()
            if layout == 0 and self._mode is not RecordMode.REPLAY:
                database.execute(_SCHEMA)
                database.execute(f"PRAGMA user_version = {_LAYOUT}")
            elif layout != _LAYOUT:
                raise OSError(f"expected layout {_LAYOUT}, found {layout}")
            _check(database)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connected() as database:
                yield database
        except sqlite3.Error as error:
            raise InfrastructureFault(f"the recording {self._path} cannot be used: {error}") from error

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # A connection of one call needs no care about threads, forks or who closes it. A replay may have to undo what
        # a killed recorder left half done; a file that cannot be written is merely read.
        access = "rw" if self._mode is RecordMode.REPLAY else "rwc"
        address = f"{self._path.as_uri()}?mode={access}"
        with closing(sqlite3.connect(address, timeout=_WAIT_S, isolation_level=None, uri=True)) as database:
            # A damaged text must get as far as its checksum.
            database.text_factory = partial(str, encoding="utf-8", errors="replace")
            try:
                yield database
            except UnicodeDecodeError as error:
                # SQLite quotes what it finds in a damaged file, and its messages are decoded strictly.
                raise sqlite3.DatabaseError(f"it is damaged: {error}") from error


def _check(database: sqlite3.Connection) -> None:
    """Raises an sqlite3.DatabaseError if the file is damaged: its structure, or any answer."""
    (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {verdict}")
    for row in database.execute(_ROWS):
        _whole(row)


def _whole(row: tuple[Any, ...]) -> str:
    """The answer of a row that is as it was recorded."""
    *recorded, checksum = row
    if not all(isinstance(text, str) for text in recorded) or checksum != _checksum(*recorded):
        raise sqlite3.DatabaseError(f"it is damaged: the answer to {recorded[1]!r:.80} does not match its checksum")
    return str(recorded[2])


def _checksum(backend: str, request: str, answer: str) -> str:
    return hashlib.blake2b("\0".join((backend, request, answer)).encode(), digest_size=16).hexdigest()
