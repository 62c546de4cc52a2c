"""Defines the index of a corpus on disk: an SQLite file with full-text search (FTS5), built once and never changed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from axpo_envs.backends.search._corpus import corpus_digest, read_corpus
from axpo_envs.backends.search._spaceless import index_terms, without_runs
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.cache_folder import cache_folder

INDEX_VERSION: Final = 3
"""Version of tables and tokenizer; raised when either changes, so that older files are built anew."""

# Documents are stored once; the full-text tables refer to them by line. Words are compared by their English stems and
# without accents; what is written without spaces has a table of its own, and no part in the ranking of words.
_SCHEMA: Final = """
CREATE TABLE documents (line INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (title, text, content='', tokenize='porter unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE grams USING fts5 (title, text, content='', tokenize='ascii');
"""
_INDEXING: Final = ("INSERT INTO words (words) VALUES ('optimize')", "INSERT INTO grams (grams) VALUES ('optimize')")
_INSERT: Final = {table: f"INSERT INTO {table} (rowid, title, text) VALUES (?, ?, ?)" for table in ("words", "grams")}
_POLL_S: Final = 1.0


def default_cache() -> Path:
    """Where indexes are kept: `axpo/search` within `$XDG_CACHE_HOME`, or within `~/.cache`."""
    return cache_folder("search")


def ensure_index(corpus: Path, cache: Path) -> Path:
    """The path of the index of a corpus, which is built if nobody has built it yet.

    Its name is a hash of the corpus's bytes and the version of the layout, so a file that stands there is up to date;
    beside it stands the hash of its own bytes, and one that does not match it is built again. Of several processes that
    need it at once one builds and the others wait; one that is killed leaves nothing that the next could take for an
    index.

    Raises:
        EnvConfigError: the corpus is unreadable, empty or wrong (the message names file and line).
        InfrastructureFault: the index cannot be written.
    """
    digest = corpus_digest(corpus)
    path = cache / f"{digest}-v{INDEX_VERSION}.sqlite"
    if _is_whole(path):
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _exclusive(path.with_suffix(".lock")):
            if not _is_whole(path):
                _build(corpus, digest, path)
    except (OSError, sqlite3.Error) as error:
        problem = f"cannot build the index of {corpus} as {path}: {error}"
        raise InfrastructureFault(f"{problem} (cache= or XDG_CACHE_HOME chooses another folder)") from error
    return path


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Holds a lock between processes and threads; it is free again when its holder dies."""
    # SQLite's own file lock is there on every platform.
    with closing(sqlite3.connect(path, timeout=_POLL_S, isolation_level=None)) as lock:
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
        yield


def _build(corpus: Path, digest: str, path: Path) -> None:
    # Whoever builds holds the lock, so the name needs no process id, and what a killed builder left is overwritten.
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as database:
            _fill(database, corpus)
        if corpus_digest(corpus) != digest:
            raise EnvConfigError(f"{corpus} was changed while its index was built")
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        noted = path.with_suffix(".partial-hash")
        noted.write_text(_file_hash(partial), encoding="ascii")
        noted.replace(_hash_path(path))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        return _file_hash(path) == _hash_path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _hash_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(database: sqlite3.Connection, corpus: Path) -> None:
    # Until it is renamed the file is nobody's: a crash loses it whatever SQLite does, so it need not be careful.
    database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
    try:
        database.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        if "fts5" not in str(error):
            raise
        raise EnvConfigError(f"this Python's SQLite {sqlite3.sqlite_version} has no full-text search (FTS5)") from error
    database.execute("BEGIN")
    for line, document in read_corpus(corpus):
        row = (line, document.id, document.title, document.text)
        try:
            database.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            (first,) = database.execute("SELECT line FROM documents WHERE id = ?", (document.id,)).fetchone()
            raise EnvConfigError(f"{corpus}:{line}: the id {document.id!r} stands on line {first}, too") from None
        words = without_runs(document.title), without_runs(document.text)
        database.execute(_INSERT["words"], (line, *words))
        if words != (document.title, document.text):
            database.execute(_INSERT["grams"], (line, index_terms(document.title), index_terms(document.text)))
    if database.execute("SELECT 1 FROM documents").fetchone() is None:
        raise EnvConfigError(f"{corpus} holds no document")
    for statement in _INDEXING:
        database.execute(statement)
    database.execute("COMMIT")
