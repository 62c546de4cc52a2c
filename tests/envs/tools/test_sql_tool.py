"""The `sql` tool as policies and environments see it: what statements show and change, and what is refused."""

from __future__ import annotations

import datetime
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, ListQuestions, Snapshot, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.rewards import ExactMatch
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tool.protocol import Effects, PreviewingTool, ToolArgumentError, ToolContext, ToolError, ToolTimeout
from axpo_envs.tools import SqlLimits, SqlState, SqlTool
from axpo_envs.types import Question

SHOP = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, total REAL CHECK (total >= 0));
CREATE TABLE notes (order_id INTEGER REFERENCES orders, note TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP);
INSERT INTO orders (customer, total) VALUES ('Ada', 12.5), ('Grace', 40);
"""
QUESTION = Question(id="q", prompt=("How much?",), answer="done")
COMPILES_FOR_HOURS = (
    "WITH t0 AS (SELECT 1 AS x), "
    + ", ".join(f"t{number} AS (SELECT a.x FROM t{number - 1} a, t{number - 1} b)" for number in range(1, 40))
    + " SELECT count(*) FROM t39"
)


class Session:
    """An episode's calls, one after the other."""

    def __init__(self, tool: SqlTool, state: SqlState | None = None, question: Question = QUESTION) -> None:
        self.tool = tool
        self.question = question
        self.state = tool.initial_state(question) if state is None else state

    def run(self, query: str, seed: int = 3) -> str:
        context = ToolContext(question=self.question, images=(), seed=seed)
        result, self.state = self.tool.step(self.tool.validate({"query": query}), self.state, context)
        (text,) = result.content
        assert isinstance(text, str)
        return text

    def error(self, query: str) -> str:
        before = self.state
        with pytest.raises(ToolError) as caught:
            self.run(query)
        assert self.state is before
        return str(caught.value)


@pytest.fixture(scope="module")
def writer() -> SqlTool:
    return SqlTool(SHOP, scope="write")


@pytest.fixture
def session(writer: SqlTool) -> Session:
    return Session(writer)


def from_column(question: Question) -> Any:
    return {"answers": [{"answer": question.answer}]}


class TestResults:
    def test_are_tables(self, session: Session) -> None:
        assert session.run("SELECT id, customer AS who, total FROM orders") == (
            "id | who   | total\n---+-------+------\n1  | Ada   | 12.5\n2  | Grace | 40.0\n(2 rows)"
        )

    def test_of_several_statements_follow_each_other(self, session: Session) -> None:
        text = session.run("UPDATE orders SET total = 1 WHERE id = 1; SELECT 5; CREATE TABLE t (a)")
        assert text == "1 row changed\n\n5\n-\n5\n(1 row)\n\ndone"

    def test_no_value_looks_like_another_row(self, session: Session) -> None:
        shown = session.run("SELECT 'a\n2 | b\\n\t' || char(27) AS a, NULL, x'00ff'").split("\n")
        assert shown[2] == "a\\n2 \\| b\\\\n\\t\\x1b | NULL | x'00ff'"

    def test_are_cut_with_a_note(self) -> None:
        tool = SqlTool(limits=SqlLimits(rows=2, cell_chars=3, shown_chars=60), scope="write")
        rows = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 9) SELECT x FROM r"
        assert Session(tool).run(rows).endswith("(the first 2 rows; there are more)")
        assert "abc... (6 characters)" in Session(tool).run("SELECT 'abcdef' AS a")
        assert Session(tool).run(f"{rows}; {rows}").endswith("further characters are not shown)")

    def test_returning_rows_changes_all_of_them(self) -> None:
        one = Session(SqlTool("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)", scope="write",
                              limits=SqlLimits(rows=1)))  # fmt: skip
        assert one.run("UPDATE t SET a = 9 RETURNING a").endswith("(the first 1 rows; there are more)\n3 rows changed")

    def test_text_that_is_no_unicode_is_shown(self, session: Session) -> None:
        assert "\ufffd" in session.run("SELECT CAST(x'ff' AS TEXT)")
        assert session.error("SELECT json_extract('{}', x'ff' || char(27))") == "JSON path error near '\ufffd\\x1b'"


class TestChanges:
    def test_branches_part(self, writer: SqlTool, session: Session) -> None:
        session.run("DELETE FROM orders WHERE id = 1")
        other = Session(writer, session.state)
        session.run("DELETE FROM orders")
        assert session.state.rows("SELECT count(*) FROM orders") == ((0,),)
        assert other.state.rows("SELECT customer FROM orders WHERE id > ?", (0,)) == (("Grace",),)

    def test_queries_keep_the_state_itself(self, session: Session) -> None:
        before = session.state
        session.run("SELECT * FROM orders; BEGIN; ROLLBACK")
        assert session.state is before

    def test_are_all_or_none(self, session: Session) -> None:
        assert session.error("DELETE FROM orders; SELECT * FROM nowhere") == "statement 2: no such table: nowhere"
        assert "left open, so nothing was changed" in session.error("BEGIN; DELETE FROM orders")
        session.run("BEGIN; DELETE FROM orders; ROLLBACK; BEGIN; DELETE FROM orders WHERE id = 2; COMMIT")
        assert session.state.rows("SELECT id FROM orders") == ((1,),)

    def test_keep_to_constraints_and_foreign_keys(self, session: Session) -> None:
        assert session.error("UPDATE orders SET total = -1") == "CHECK constraint failed: total >= 0"
        assert session.error("INSERT INTO notes (order_id) VALUES (7)") == "FOREIGN KEY constraint failed"

    def test_triggers_act(self, session: Session) -> None:
        session.run("CREATE TRIGGER t AFTER DELETE ON orders BEGIN INSERT INTO notes (note) VALUES ('gone'); END;"
                    "DELETE FROM orders WHERE id = 2")  # fmt: skip
        assert session.state.rows("SELECT note FROM notes") == (("gone",),)

    def test_full_text_can_be_searched(self, session: Session) -> None:
        text = session.run("CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO f VALUES ('red fox'), ('owl');"
                           "SELECT a FROM f WHERE f MATCH 'fox'")  # fmt: skip
        assert text.endswith("red fox\n(1 row)")


class TestDeterminism:
    def test_time_stands_still_in_every_zone(self, session: Session) -> None:
        query = "SELECT datetime('now', '+1 day'), CURRENT_DATE, strftime('%H'), datetime('now', 'localtime')"
        assert "2026-01-02 12:00:00       | 2026-01-01   | 12             | 2026-01-01 12:00:00\n" in session.run(query)
        session.run("INSERT INTO notes (note) VALUES ('x')")
        assert session.state.rows("SELECT at FROM notes") == (("2026-01-01 12:00:00",),)
        assert "2020-05-05" in Session(SqlTool(clock="2020-05-05")).run("SELECT date()")
        # To SQLite bytes are text, too, and text ends at its first NUL.
        query = "SELECT datetime(x'6e6f77'), datetime('now' || char(0) || 'x', x'6c6f63616c74696d65')"
        assert session.run(query).count("2026-01-01 12:00:00") == 2

    def test_random_numbers_follow_from_the_seed(self, session: Session) -> None:
        query = "SELECT random(), hex(randomblob(8)), random()"
        assert session.run(query, seed=1) == session.run(query, seed=1) != session.run(query, seed=2)

    def test_row_ids_are_never_drawn_at_random(self, session: Session) -> None:
        query = "INSERT INTO {} ({}) VALUES (9223372036854775807); INSERT INTO {} DEFAULT VALUES"
        for table, name, made in (("t", "id", "TABLE t (id INTEGER PRIMARY KEY, rowid)"), ("u", "oid", "TABLE u (a)")):
            problem = session.error(f"CREATE {made}; {query.format(table, name, table)}")
            assert problem == f"row ids must be less than 9223372036854775807, which is one of the table {table}"
        assert "1 row" in session.run(
            "CREATE TABLE v (a PRIMARY KEY) WITHOUT ROWID; INSERT INTO v VALUES (9223372036854775807)"
        )

    def test_equal_histories_leave_equal_bytes(self, writer: SqlTool) -> None:
        def play() -> SqlState:
            session = Session(writer)
            for query in (
                "DELETE FROM orders",
                "CREATE INDEX i ON notes (note)",
                "INSERT INTO notes VALUES (NULL, 1, 2)",
            ):
                session.run(query)
            return session.state

        assert play() == play()
        assert hash(play()) == hash(play())


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ("ATTACH 'other.db' AS other", "ATTACH, DETACH and VACUUM are not permitted"),
            ("VACUUM INTO 'copy.db'", "ATTACH, DETACH and VACUUM are not permitted"),
            ("PRAGMA writable_schema = 1", "PRAGMA writable_schema is not permitted; those that are: table_info"),
            ("SELECT load_extension('x.so')", "the function load_extension is not permitted"),
            ("CREATE VIRTUAL TABLE d USING dbstat", "virtual tables of dbstat are not permitted"),
            ("UPDATE sqlite_master SET sql = ''", "sqlite_master may not be modified"),
            ("SELECT zeroblob(2000000)", "string or blob too big"),
            ("SELECT randomblob(20000000)", "user-defined function raised exception"),
            ("SELEC 1", 'near "SELEC": syntax error'),
            (" ;-- nothing", "there is no statement"),
            ("SELECT 1;" * 21, "at most 20 statements; got 21"),
        ],
    )
    def test_say_why(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, why: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert why in session.error(query)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "query",
        [
            "DELETE FROM orders",
            "INSERT INTO orders (customer) VALUES ('Eve')",
            "UPDATE orders SET total = 0 RETURNING id",
            "WITH x AS (SELECT 1) DELETE FROM orders",
            "CREATE TABLE t (a)",
            "CREATE TEMP TABLE t (a)",
            "CREATE TEMP VIEW v AS SELECT 1",
            "DROP TABLE orders",
            "ALTER TABLE orders ADD COLUMN a",
            "CREATE VIRTUAL TABLE f USING fts5(a)",
            "ANALYZE",
            "EXPLAIN DELETE FROM orders",
        ],
    )
    def test_a_read_only_database_is_not_changed(self, query: str) -> None:
        assert "the database is read-only" in Session(SqlTool(SHOP)).error(query)

    def test_what_tells_of_tables_is_permitted(self) -> None:
        reader = Session(SqlTool(SHOP))
        for query in (
            "PRAGMA table_info(orders)",
            "SELECT name FROM pragma_table_info('orders')",
            "SELECT sql FROM sqlite_master",
            "SELECT value FROM json_each('[1]')",
            "EXPLAIN QUERY PLAN SELECT 1",
        ):
            assert "row" in reader.run(query)

    @pytest.mark.parametrize("query", [None, 1, "a\x00b", "\ud800", "x" * 20_001])
    def test_arguments_that_do_not_fit(self, writer: SqlTool, query: Any) -> None:
        with pytest.raises(ToolArgumentError, match="query"):
            writer.validate({"query": query})


class TestLimits:
    @pytest.mark.parametrize(
        "query",
        ["WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r", COMPILES_FOR_HOURS],
        ids=["runs for ever", "compiles for hours"],
    )
    def test_a_call_is_stopped(self, query: str) -> None:
        with pytest.raises(ToolTimeout, match=r"after 0\.1 s"):
            Session(SqlTool(limits=SqlLimits(seconds=0.1))).run(query)

    def test_memory_and_size(self) -> None:
        many = "WITH RECURSIVE r(x) AS (SELECT zeroblob(900000) UNION ALL SELECT zeroblob(900000) FROM r LIMIT 300) "
        small = Session(SqlTool("CREATE TABLE t (a)", scope="write", limits=SqlLimits(database_mb=1, memory_mb=64)))
        assert small.error(f"{many} INSERT INTO t SELECT x FROM r") == "the database would be larger than 1 MB"
        hungry = f"{many} SELECT count(*) FROM (SELECT x || random() AS y FROM r ORDER BY y)"
        assert small.error(hungry) == "it took more than 64 MB of memory"
        assert small.run("SELECT 1").endswith("(1 row)")

    @pytest.mark.parametrize("wrong", [{"rows": 0}, {"seconds": float("inf")}, {"rows": 1.5}, {"seconds": True}])
    def test_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(EnvConfigError, match=f"SqlLimits.{next(iter(wrong))}"):
            SqlLimits(**wrong)


class TestStart:
    def test_rows_per_table(self) -> None:
        day = datetime.date(2026, 5, 1)
        tool = SqlTool({'a"b': [{"n": 1, "x": 1}, {"n": None, "x": 2.5, "day": day, "yes": True}]}, scope="write")
        state = Session(tool).state
        assert state is not None
        assert state.rows('SELECT * FROM "a""b"') == ((1, 1.0, None, None), (None, 2.5, "2026-05-01", 1))

    def test_a_file_and_what_its_log_holds(self, tmp_path: Path) -> None:
        path = tmp_path / "shop.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("CREATE TABLE t AS SELECT 7 AS a")
            tool = SqlTool(path, scope="write")
        (tmp_path / "shop.sql").write_text("CREATE TABLE t AS SELECT 8 AS a", encoding="utf-8")
        assert "7" in Session(tool).run("INSERT INTO t VALUES (1); SELECT a FROM t")
        assert "7" in Session(SqlTool(path.read_bytes(), scope="write")).run(
            "INSERT INTO t VALUES (1); SELECT a FROM t"
        )
        assert "8" in Session(SqlTool(tmp_path / "shop.sql")).run("SELECT a FROM t")

    def test_a_column_of_the_question_or_a_function_of_it(self) -> None:
        question = Question(id="q", prompt=("",), answer="7", extra={"sql": "CREATE TABLE t AS SELECT 5 AS a",
                                                                      "shop": {"t": [{"a": 6}]}})  # fmt: skip
        assert "5" in Session(SqlTool(), question=question).run("SELECT a FROM t")
        assert "6" in Session(SqlTool(name="shop"), question=question).run("SELECT a FROM t")
        assert "7" in Session(SqlTool(from_column), question=question).run("SELECT answer FROM answers")

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ("SELEC", "cannot be made of 'SELEC'"),
            (b"no database", "expected the bytes of a SQLite database"),
            (Path("nowhere.db"), "cannot be read"),
            (7, "expected SQL statements"),
            ({"t": []}, "table 't' has no rows"),
            ({"t": [1]}, "table 't', row 0: expected columns and values"),
            ({"t": [{"a": 1}, {"a": 2**63}]}, "table 't', row 1, column 'a': expected an integer of 64 bits"),
            ({"t": [{"a": object()}]}, "table 't', row 0, column 'a': expected text"),
        ],
    )
    def test_problems_are_named_before_any_work(self, given: Any, problem: str) -> None:
        with pytest.raises(EnvConfigError, match=problem.replace("(", "\\(")):
            SqlTool(given)

    @pytest.mark.parametrize(
        "wrong", [{"scope": "all"}, {"clock": "now"}, {"clock": "noon"}, {"name": ""}, {"limits": 5}]
    )
    def test_settings_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(EnvConfigError, match=next(iter(wrong))):
            SqlTool(**wrong)

    def test_fingerprints_differ_where_results_may(self) -> None:
        tools = [
            SqlTool(),
            SqlTool(SHOP),
            SqlTool(SHOP, scope="write"),
            SqlTool(from_column),
            SqlTool(clock="2020-01-01"),
        ]
        assert len({tool.fingerprint for tool in tools}) == len(tools)
        assert SqlTool(SHOP).fingerprint == SqlTool(SHOP).fingerprint


def test_a_preview_tells_what_would_change(writer: SqlTool, session: Session) -> None:
    assert isinstance(writer, PreviewingTool)
    query = "UPDATE orders SET total = 0; CREATE TABLE t (a); SELECT 1; DROP TABLE notes"
    assert writer.preview({"query": query}, session.state) == (
        "UPDATE orders: 2 rows would be changed\nCREATE TABLE t: would be done\nDROP TABLE notes: would be done"
    )
    for query in ("SELECT 1", "EXPLAIN DELETE FROM orders", "-- one\nexplain query plan DELETE FROM orders"):
        assert writer.preview({"query": query}, session.state) == "would change nothing"
    with pytest.raises(ToolError, match="no such table: nowhere"):
        writer.preview({"query": "DELETE FROM nowhere"}, session.state)
    assert "read-only" in SqlTool(SHOP).preview({"query": "SELECT 1"}, None)


def test_effects_are_those_of_the_scope(writer: SqlTool) -> None:
    assert SqlTool(SHOP).effects is Effects.PURE
    assert writer.effects is Effects.STATEFUL


def env_of(tool: SqlTool) -> ToolEnv:
    questions = ListQuestions([QUESTION])
    return ToolEnv(ToolEnvSpec(env_id="test/Sql-v0", questions=questions, tools=(tool,), reward=ExactMatch()))


def test_the_tool_conforms(writer: SqlTool) -> None:
    check_tool(writer, arguments={"query": "INSERT INTO notes (note) VALUES (random())"}, fuzz=30)
    check_tool(SqlTool(SHOP), arguments={"query": "SELECT * FROM orders"}, fuzz=30)
    check_tool_env(lambda: env_of(writer), fuzz=5)


def test_snapshots_share_the_database_and_travel(writer: SqlTool) -> None:
    env = env_of(writer)
    env.reset(seed=0)
    env.step(call_turn("sql", {"query": "DELETE FROM orders WHERE id = 1"}))
    moment = env.snapshot()
    env.step(call_turn("sql", {"query": "SELECT * FROM orders"}))
    assert dict(env.state.tool_states)["sql"].database is dict(moment.state.tool_states)["sql"].database
    assert Snapshot.from_bytes(moment.to_bytes()) == moment


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=20)), max_size=4))
def test_any_rows_come_back(rows: list[tuple[int, str]]) -> None:
    kept = [(number, text.replace("\x00", "").encode(errors="replace").decode()) for number, text in rows]
    given = {"t": [{"number": number, "text": text} for number, text in (*kept, (0, "last"))]}
    state = SqlTool(given, scope="write").initial_state(QUESTION)
    assert state is not None
    assert state.rows("SELECT number, text FROM t") == (*kept, (0, "last"))


def test_a_task_names_it_and_gives_its_rows_a_column() -> None:
    rows = [{"id": "q", "prompt": "How many?", "answer": "1", "sql": {"cities": [{"name": "Oslo"}]}}]
    env = gymnasium.make("axpo/ToolTask-v0", questions=rows, tools=["sql"]).unwrapped
    env.reset(seed=0)
    observation, *_ = env.step(call_turn("sql", {"query": "SELECT name FROM cities"}))
    assert "Oslo" in observation["text"]
