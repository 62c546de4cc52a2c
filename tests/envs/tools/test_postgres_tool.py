"""The tool `sql` on a PostgreSQL server: on a real one where PostgreSQL is installed, which is said where it is not."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axpo_envs import EnvConfigError, InfrastructureFault
from axpo_envs.testing import check_tool
from axpo_envs.tool.protocol import Effects, PreviewingTool, RepeatableTool, ToolContext, ToolError, ToolTimeout
from axpo_envs.tools import PostgresTool, SqlLimits
from axpo_envs.types import Question

QUESTION = Question(id="q", prompt=("",), answer="")
NOWHERE = "postgresql://reader:hidden-word@127.0.0.1:1/shop"


def run(tool: PostgresTool, query: str) -> str:
    context = ToolContext(question=QUESTION, images=(), seed=0)
    result, state = tool.step(tool.validate({"query": query}), None, context)
    assert state is None
    (text,) = result.content
    return str(text)


def error(tool: PostgresTool, query: str) -> str:
    with pytest.raises(ToolError) as caught:
        run(tool, query)
    return str(caught.value)


def programs() -> tuple[str, str] | None:
    folders = [os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    found = [shutil.which(name, path=os.pathsep.join(folders)) for name in ("initdb", "pg_ctl")]
    return (found[0], found[1]) if found[0] and found[1] else None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server; empty where there is none."""
    if (found := programs()) is None:
        yield ""
        return
    # A socket's path must be short, and no server runs as root.
    folder = Path(tempfile.mkdtemp(prefix="axpo-pg-"))
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if not os.geteuid() else {}
    if user:
        shutil.chown(folder, "nobody", "nogroup")
    data = str(folder / "data")

    def call(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)

    call(found[0], "-D", data, "--no-sync", "-A", "trust", "-U", "me")
    call(found[1], "-D", data, "-w", "-o", f"-k {folder} -h '' -F", "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://me@/postgres?host={folder}"
    finally:
        call(found[1], "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_a_server_is_read_and_changed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not url:
        with capsys.disabled():
            print(f"\nno PostgreSQL is installed: the tool sql was not tried on a server by {getpass.getuser()}")
        return
    writer = PostgresTool(url, scope="write", limits=SqlLimits(rows=3, seconds=20))
    assert run(writer, "CREATE TABLE orders (id serial, customer text, total numeric CHECK (total >= 0))") == "done"
    assert run(writer, "INSERT INTO orders (customer, total) VALUES ('Ada', 12.5), (NULL, 40)") == "2 rows changed"
    assert run(writer, "SELECT * FROM orders ORDER BY id") == (
        "id | customer | total\n---+----------+------\n1  | Ada      | 12.5\n2  | NULL     | 40\n(2 rows)"
    )
    assert run(writer, "UPDATE orders SET total = 1 RETURNING id").endswith("(2 rows)\n2 rows changed")
    assert "violates check constraint" in error(writer, "UPDATE orders SET total = -1")
    plan = writer.preview({"query": "DELETE FROM orders"}, None)
    assert "Delete on orders" in plan
    assert writer.preview({"query": "DROP TABLE orders"}, None) == "would execute 'DROP TABLE orders'"
    assert "(2 rows)" in run(writer, "SELECT id FROM orders")
    with pytest.raises(ToolTimeout, match=r"after 0\.1 s"):
        run(PostgresTool(url, limits=SqlLimits(seconds=0.1)), "SELECT pg_sleep(50)")

    reader = PostgresTool(url, limits=SqlLimits(rows=3, seconds=20))
    assert run(reader, "SELECT generate_series(1, 100000000)").endswith("(the first 3 rows; there are more)")
    assert run(reader, "SHOW server_encoding").endswith("(1 row)")
    assert run(reader, "SELECT 1 WHERE false") == "(0 rows)"
    assert run(writer, "SELECT 1 WHERE false") == "?column?\n--------\n(0 rows)"
    assert "read-only transaction" in error(reader, "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone")
    assert "read-only" in error(reader, "EXPLAIN ANALYZE DELETE FROM orders")
    assert 'relation "nowhere" does not exist' in error(reader, "SELECT * FROM nowhere")
    # What the splitter takes for one statement, the server refuses as two.
    assert "cannot insert multiple commands" in error(reader, "SELECT $$'$$; DELETE FROM orders; SELECT $$'$$")
    assert "(2 rows)" in run(reader, "SELECT id FROM orders")


class TestWithoutAServer:
    @pytest.mark.parametrize(
        ("query", "problem"),
        [
            ("SELECT 1; SELECT 2", "expected one statement a call; got 2"),
            ("", "expected one statement a call; got 0"),
            ("COMMIT", "COMMIT is not permitted; statements may begin with SELECT"),
            ("/* SELECT */ COPY t TO '/tmp/x'", "COPY is not permitted"),
            ("-- SELECT\nDO $$ $$", "DO is not permitted"),
            ("/* /* */ SELECT 1 */ COPY t TO '/tmp/x'", "is not permitted"),
            ("-- line\rCOPY (\n SELECT 1) TO '/tmp/x'", "COPY is not permitted"),
            ("1", "'1' is not permitted"),
            ("DELETE FROM orders", "DELETE is not permitted"),
        ],
    )
    def test_statements_are_refused(self, query: str, problem: str) -> None:
        assert problem in error(PostgresTool(NOWHERE), query)

    def test_a_server_that_is_not_there_is_a_fault_without_secrets(self) -> None:
        with pytest.raises(InfrastructureFault, match=r"reader@127\.0\.0\.1:1/shop") as caught:
            run(PostgresTool(NOWHERE), "SELECT 1")
        assert "hidden-word" not in f"{caught.value!r} {PostgresTool(NOWHERE).fingerprint}"

    def test_it_is_the_outside_world(self) -> None:
        reader, writer = PostgresTool(NOWHERE), PostgresTool(NOWHERE, scope="write")
        assert isinstance(reader, PreviewingTool)
        assert isinstance(reader, RepeatableTool)
        assert reader.effects is writer.effects is Effects.EXTERNAL
        assert (reader.repeatable, writer.repeatable) == (True, False)
        assert reader.fingerprint != writer.fingerprint

    @pytest.mark.parametrize("url", ["mysql://me:hidden-word@host/db", "hidden-word", 5])
    def test_addresses_are_checked(self, url: Any) -> None:
        with pytest.raises(EnvConfigError, match="url: expected postgresql://") as caught:
            PostgresTool(url)
        assert "word@" not in str(caught.value)

    @pytest.mark.parametrize(("setting", "value"), [("scope", "all"), ("limits", 1), ("name", "")])
    def test_settings_are_checked(self, setting: str, value: Any) -> None:
        with pytest.raises(EnvConfigError, match=setting):
            PostgresTool(NOWHERE, **{setting: value})


def test_the_tool_conforms(url: str) -> None:
    # It is called once: its effects are external.
    if url:
        check_tool(PostgresTool(url), arguments={"query": "SELECT 1"}, fuzz=100)
