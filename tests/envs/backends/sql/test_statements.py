"""Statements are found as SQLite finds them."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs.backends.sql._statements import split_statements

TRIGGER = "CREATE TEMP TRIGGER t AFTER DELETE ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM b; END;"

QUOTED = "SELECT 'it''s;', \"a;\"\"b\", `c;`, [d;];"


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", ()),
        (" ; ;; -- nothing;\n /* ; */", ()),
        ("SELECT 1", ("SELECT 1",)),
        ("SELECT ';'; -- one;\nSELECT 2", ("SELECT ';';", "-- one;\nSELECT 2")),
        (
            "SELECT 'it''s;', \"a;\"\"b\", `c;`, [d;]; SELECT 2;",
            ("SELECT 'it''s;', \"a;\"\"b\", `c;`, [d;];", "SELECT 2;"),
        ),
        (f"{TRIGGER} SELECT 1", (TRIGGER, "SELECT 1")),
        (f"EXPLAIN QUERY PLAN {TRIGGER}SELECT 1", (f"EXPLAIN QUERY PLAN {TRIGGER}", "SELECT 1")),
        ("CREATE TABLE trigger_log (a); SELECT 1", ("CREATE TABLE trigger_log (a);", "SELECT 1")),
        ("SELECT 'open; SELECT 2", ("SELECT 'open; SELECT 2",)),
        ("SELECT 1; /* open; SELECT 2", ("SELECT 1;",)),
    ],
)
def test_statements_are_found(text: str, statements: tuple[str, ...]) -> None:
    assert split_statements(text) == statements


PIECES = st.sampled_from(
    [
        *"';\"`[]()a1 \n",
        "--",
        "/*",
        "*/",
        "END",
        "BEGIN",
        "CREATE",
        "TRIGGER",
        "CREATE TRIGGER x",
        "; END;",
        "SELECT 1;",
    ]
)


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_every_statement_but_the_last_is_complete_to_sqlite(text: str) -> None:
    *before, _ = (*split_statements(text), "")
    assert [piece for piece in before[:-1] if not sqlite3.complete_statement(piece)] == []
