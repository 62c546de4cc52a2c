"""Defines `LocalIndex`: full-text search over a corpus on this machine."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.search._index_file import default_cache, ensure_index
from axpo_envs.backends.search._query import query_terms
from axpo_envs.backends.search._spaceless import index_query, is_spaceless
from axpo_envs.backends.search._types import Document, Hit
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import Effects, ToolError

# The inner query ranks by ids alone: texts are read for the hits that are kept, not for every match.
_SEARCH: Final = """
SELECT documents.id, documents.title, documents.text, found.score FROM (
    SELECT documents.line AS line, documents.id AS id, matches.score AS score
    FROM ({matches}) AS matches JOIN documents ON documents.line = matches.line
    ORDER BY score DESC, id LIMIT ?
) AS found JOIN documents ON documents.line = found.line ORDER BY found.score DESC, found.id
"""
# SQLite looks at the clock after so many of its steps, about a thousandth of a second.
_STEPS: Final = 10_000
_MATCHES: Final = "SELECT rowid AS line, -bm25({table}) AS score FROM {table} WHERE {table} MATCH ?"


class LocalIndex:
    """Searches a JSONL corpus by BM25 (SQLite FTS5): any term of the query may match, equal scores are ordered by id.

    Terms match whole words, whatever their case, accents and English endings. In scripts without spaces (Chinese,
    Japanese, Thai, Lao, Khmer, Burmese) they match wherever their characters stand side by side, see
    `_spaceless`. Every match is ranked: words that stand in 50,000 documents take a tenth of a second.

    The first use of a corpus builds its index (some 15,000 documents a second), which any number of processes then
    share; later uses only read the corpus for its hash. A copy in another process (pickling, forking) opens the index
    there.

    A query that takes longer than `limit_s` is an infrastructure fault: the corpus is too large for this machine, or
    the machine too busy.

    Args:
        corpus: the file; each line is `{"id", "contents"}` with "Title\\nbody", or `{"id", "title"?, "text"}`.
        cache: folder for indexes; `axpo/search` in the user's cache folder by default.
        limit_s: seconds for one query.

    Raises:
        EnvConfigError: the limit is not positive, or the corpus unreadable, empty or wrong; the message names file
            and line.
        InfrastructureFault: the index cannot be written.
    """

    def __init__(self, corpus: str | Path, *, cache: str | Path | None = None, limit_s: float = 30.0) -> None:
        if not limit_s > 0:
            raise EnvConfigError(f"expected limit_s > 0 seconds; got {limit_s}")
        self._limit_s = limit_s
        self._corpus = Path(corpus).absolute()
        self._cache = default_cache() if cache is None else Path(cache).absolute()
        self._path = ensure_index(self._corpus, self._cache)
        self._size = int(self._rows("SELECT count(*) FROM documents", ())[0][0])

    def __repr__(self) -> str:
        return f"LocalIndex({str(self._corpus)!r}, {self._size} documents)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._corpus, self._cache, self._limit_s)

    def __len__(self) -> int:
        return self._size

    @property
    def fingerprint(self) -> str:
        """Names the corpus by its bytes, and the version of the index."""
        return f"local:{self._path.stem}"

    @property
    def effects(self) -> Effects:
        """Pure: the index never changes."""
        return Effects.PURE

    @property
    def opens(self) -> bool:
        """True: every document can be opened."""
        return True

    def check(self) -> None:
        """Nothing is left to check: the index stands."""

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The best hits, best first; of very long queries the first 64 different terms count.

        Raises:
            ToolError: the query holds neither a letter nor a digit.
            InfrastructureFault: the index has vanished or is damaged, or the query took too long.
        """
        terms = query_terms(query)
        if not terms:
            raise ToolError("the query holds no word or number to search for")
        # A quoted term is text to FTS5 whatever it holds; terms hold letters and digits alone, so no quotes.
        asked = {
            "words": " OR ".join(f'"{term}"' for term in terms if not is_spaceless(term)),
            "grams": " OR ".join(index_query(term) for term in terms if is_spaceless(term)),
        }
        asked = {table: expression for table, expression in asked.items() if expression}
        matches = " UNION ALL ".join(_MATCHES.format(table=table) for table in asked)
        if len(asked) > 1:
            matches = f"SELECT line, sum(score) AS score FROM ({matches}) GROUP BY line"
        rows = self._rows(_SEARCH.format(matches=matches), (*asked.values(), top_k))
        return tuple(
            Hit(document=Document(id=id, title=title, text=text), score=score) for id, title, text, score in rows
        )

    def open(self, id: str) -> Document | None:
        """The document of that id; None if there is none.

        Raises:
            InfrastructureFault: the index has vanished or is damaged.
        """
        rows = self._rows("SELECT id, title, text FROM documents WHERE id = ?", (well_formed(id),))
        return Document(id=rows[0][0], title=rows[0][1], text=rows[0][2]) if rows else None

    def _rows(self, statement: str, values: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
        # Opening takes a twentieth of a millisecond, and a connection of one call needs no care about threads,
        # forks or who closes it.
        address = f"{self._path.as_uri()}?mode=ro&immutable=1"
        until = time.monotonic() + self._limit_s
        try:
            with closing(sqlite3.connect(address, uri=True)) as database:
                database.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
                return database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise InfrastructureFault(f"a query of {self._corpus} took longer than {self._limit_s:g} s") from None
            raise InfrastructureFault(
                f"the index {self._path} cannot be read ({error}); delete it, and it is built anew"
            ) from error


def _reopened(corpus: Path, cache: Path, limit_s: float) -> LocalIndex:
    return LocalIndex(corpus, cache=cache, limit_s=limit_s)
