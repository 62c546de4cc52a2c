"""The `edit` tool as policies and environments see it: what is shown, what edits change, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, ListQuestions, Snapshot, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.backends.commands.edits import insert_text, lines_of
from axpo_envs.backends.commands.runner import available_isolations
from axpo_envs.backends.commands.trees import EntryKind, FileTree, TreeEntry, tree_of
from axpo_envs.rewards import ExactMatch
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tool.protocol import Effects, PreviewingTool, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tools import CommandLimits, EditTool
from axpo_envs.types import Question, ToolResult, ToolStatus

QUESTION = Question(id="q", prompt=("Mend it.",), answer="done")
REPOSITORY = {
    "half.py": "def half(x):\n    return x // 2\n",
    "tests/test_half.py": "from half import half\n\n\ndef test_half():\n    assert half(3) == 1.5\n",
    "data/odd": b"\xff\x00",
    "notes.txt": "a\na\nb",
}


class Session:
    """An episode's calls, one after the other."""

    def __init__(self, tool: EditTool, state: FileTree | None = None) -> None:
        self.tool = tool
        self.state = tool.initial_state(QUESTION) if state is None else state

    def run(self, action: str, **arguments: Any) -> ToolResult:
        context = ToolContext(question=QUESTION, images=(), seed=0)
        validated = self.tool.validate({"action": action, **arguments})
        result, self.state = self.tool.step(validated, self.state, context)
        return result

    def read(self, action: str, **arguments: Any) -> str:
        (text,) = self.run(action, **arguments).content
        assert isinstance(text, str)
        return text

    def error(self, action: str, **arguments: Any) -> str:
        before = self.state
        with pytest.raises(ToolError) as caught:
            self.run(action, **arguments)
        assert self.state is before
        return str(caught.value)


@pytest.fixture(scope="module")
def tool() -> EditTool:
    return EditTool(REPOSITORY, test_command=None)


@pytest.fixture
def session(tool: EditTool) -> Session:
    return Session(tool)


class TestView:
    def test_shows_folders(self, session: Session) -> None:
        listed = (
            "data/\ndata/odd (2 bytes)\nhalf.py (31 bytes)\nnotes.txt (5 bytes)\ntests/\ntests/test_half.py (67 bytes)"
        )
        assert session.read("view") == session.read("view", path="./") == listed
        assert session.read("view", path="data/") == "data/odd (2 bytes)"
        assert Session(EditTool(test_command=None)).read("view") == "(an empty folder)"

    def test_shows_lines_with_numbers(self, session: Session) -> None:
        assert session.read("view", path="half.py") == "     1\tdef half(x):\n     2\t    return x // 2"
        assert session.read("view", path="notes.txt", first=2, last=99) == "     2\ta\n     3\tb"
        assert (
            session.error("view", path="notes.txt", first=4) == "first must be at most 3, the lines of notes.txt; got 4"
        )

    def test_says_what_cannot_be_shown(self, session: Session) -> None:
        assert session.error("view", path="nowhere") == "there is no file nowhere"
        assert session.error("view", path="data/odd") == "data/odd holds no text, but 2 bytes of something else"
        link = TreeEntry(path="l", kind=EntryKind.LINK, data=b"/etc/passwd", mode=0o777)
        linked = Session(EditTool(tree_of([link]), test_command=None))
        assert linked.error("view", path="l") == "l is a symbolic link to /etc/passwd"
        assert linked.error("view", path="l/x") == "there is no file l/x"
        assert linked.read("view") == "l (a symbolic link)"

    def test_is_cut_with_a_note(self) -> None:
        short = Session(EditTool({"a": "x" * 100}, test_command=None, shown_chars=20))
        assert short.read("view", path="a").endswith("\n... (87 further characters are not shown)")


class TestEdits:
    def test_replace_shows_what_is_around(self, session: Session) -> None:
        shown = session.read("replace", path="half.py", old="x // 2", new="x / 2")
        assert shown == "replaced in half.py:\n     1\tdef half(x):\n     2\t    return x / 2"
        assert session.state.read("half.py") == b"def half(x):\n    return x / 2\n"

    @pytest.mark.parametrize(
        ("old", "problem"),
        [
            ("nothing", "the old text must stand in notes.txt once; it was found 0 times"),
            ("a\n", "the old text must stand in notes.txt once; it was found 2 times, in lines 1, 2: give more of it"),
            ("  b ", "it was found 0 times; line 3 is like its first, up to white space"),
        ],
    )
    def test_replace_says_how_often_it_was_found(self, session: Session, old: str, problem: str) -> None:
        assert problem in session.error("replace", path="notes.txt", old=old, new="c")

    def test_replace_takes_places_that_overlap_for_several(self) -> None:
        session = Session(EditTool({"a": "\nababa\n", "long": "\n" * 2_000_000}, test_command=None))
        assert "found 2 times, in lines 2, 2: give more" in session.error("replace", path="a", old="aba", new="c")
        # Not in a time that grows with the square of the number of lines.
        assert "found 2000000 times, in lines 1, 2, 3" in session.error("replace", path="long", old="\n", new="c")

    def test_replace_tells_of_other_line_ends_and_of_no_change(self, session: Session) -> None:
        windows = Session(EditTool({"w": "a\r\nb\r\n"}, test_command=None))
        assert windows.error("replace", path="w", old="a\nb", new="").endswith("lines end with \\r\\n there")
        assert windows.read("view", path="w") == "     1\ta\n     2\tb"
        assert "nothing would change" in session.error("replace", path="notes.txt", old="b", new="b")

    @pytest.mark.parametrize(("line", "after"), [(0, b"new\na\na\nb"), (1, b"a\nnew\na\nb"), (3, b"a\na\nb\nnew")])
    def test_insert_puts_lines_between_lines(self, session: Session, line: int, after: bytes) -> None:
        session.run("insert", path="notes.txt", line=line, text="new")
        assert session.state.read("notes.txt") == after

    def test_insert_knows_its_lines(self, session: Session) -> None:
        assert session.error("insert", path="half.py", line=3, text="") == (
            "line must be from 0 to 2, the lines of half.py; got 3"
        )

    def test_create_makes_files_that_are_not_there(self, session: Session) -> None:
        assert session.read("create", path="new/a.py", text="x\n") == "created new/a.py:\n     1\tx"
        assert session.read("create", path="empty", text="") == "created empty:\n(an empty file)"
        assert "is there already" in session.error("create", path="new/a.py", text="")
        assert session.error("create", path="half.py/x", text="") == "half.py/x is in half.py, which is no folder"

    def test_the_repository_stays_small(self) -> None:
        tight = Session(EditTool({"a": ""}, test_command=None, limits=CommandLimits(files=1, folder_mb=1)))
        assert "too large: expected at most 1 files" in tight.error("create", path="b", text="")
        assert tight.state.last_change == 0

    def test_branches_part(self, tool: EditTool, session: Session) -> None:
        session.run("create", path="base", text="0")
        other = Session(tool, session.state)
        session.run("replace", path="base", old="0", new="1")
        assert (session.state.read("base"), other.state.read("base")) == (b"1", b"0")
        assert session.state.read("half.py") is other.state.read("half.py")


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({}, "action must be one of view, replace, insert, create; got None"),
            ({"action": "test"}, "action must be one of"),
            ({"action": ["view"]}, "action must be one of"),
            ({"action": "replace", "path": "a"}, "replace needs old, new"),
            ({"action": "view", "text": "a"}, "view takes no text"),
            ({"action": "create", "path": "../a", "text": ""}, "must lead from the top folder down"),
            ({"action": "create", "path": "/etc/passwd", "text": ""}, "must lead from the top folder down"),
            ({"action": "create", "path": "a//b", "text": ""}, "must lead from the top folder down"),
            ({"action": "create", "path": "", "text": ""}, "must lead from the top folder down"),
            ({"action": "view", "path": "/"}, "must lead from the top folder down"),
            ({"action": "view", "path": 1}, "path must be a string"),
            ({"action": "view", "first": 0}, "first must be an integer from 1"),
            ({"action": "view", "first": 3, "last": 2}, "last must be at least first, 3; got 2"),
            ({"action": "insert", "path": "a", "line": True, "text": ""}, "line must be an integer"),
            ({"action": "create", "path": "a", "text": "\x00"}, "no text file can hold"),
            ({"action": "create", "path": "a", "text": "x" * 100_001}, "at most 100000 characters"),
            ({"action": "replace", "path": "a", "old": "", "new": "b"}, "old must not be empty"),
        ],
    )
    def test_that_do_not_fit(self, tool: EditTool, arguments: dict[str, Any], problem: str) -> None:
        with pytest.raises(ToolArgumentError, match=problem):
            tool.validate(arguments)

    @pytest.mark.parametrize(
        ("setting", "value"), [("limits", 1), ("name", ""), ("test_command", " "), ("shown_chars", 0), ("files", 1)]
    )
    def test_settings_are_checked(self, setting: str, value: Any) -> None:
        with pytest.raises(EnvConfigError, match=setting):
            EditTool(**{setting: value})


@pytest.fixture(scope="module", params=available_isolations()[:1])
def tested(request: pytest.FixtureRequest) -> EditTool:
    assert request.param
    return EditTool(REPOSITORY, limits=CommandLimits(seconds=120))


def test_tests_are_executed_on_a_copy(tested: EditTool) -> None:
    session = Session(tested)
    before = session.state
    failed = session.run("test")
    assert failed.status is ToolStatus.ERROR
    assert "1 failed" in str(failed.content[0])
    assert session.state is before
    session.run("replace", path="half.py", old="//", new="/")
    passed = session.run("test")
    assert passed.status is ToolStatus.OK
    assert str(passed.content[0]).endswith("[exit code 0]")


def test_tests_are_stopped() -> None:
    if available_isolations():
        hanging = Session(EditTool({}, test_command="sleep 50", limits=CommandLimits(seconds=0.2)))
        assert hanging.run("test") == ToolResult(status=ToolStatus.TIMEOUT, content=("[Stopped after 0.2 s.]",))


def test_a_preview_is_a_diff(tool: EditTool, session: Session) -> None:
    assert isinstance(tool, PreviewingTool)
    arguments = tool.validate({"action": "replace", "path": "half.py", "old": "//", "new": "/"})
    assert tool.preview(arguments, session.state) == (
        "--- a/half.py\n+++ b/half.py\n@@ -1,2 +1,2 @@\n def half(x):\n-    return x // 2\n+    return x / 2"
    )
    created = tool.validate({"action": "create", "path": "a", "text": "x"})
    assert tool.preview(created, session.state).endswith("@@ -0,0 +1 @@\n+x")
    assert tool.preview({"action": "view", "path": ""}, session.state) == "would change nothing"
    with pytest.raises(ToolError, match="found 0 times"):
        tool.preview({**arguments, "old": "nothing"}, session.state)


def test_effects_and_fingerprints(tool: EditTool) -> None:
    assert tool.effects is Effects.STATEFUL
    others = [EditTool({}, test_command=None), EditTool(REPOSITORY, test_command=None, shown_chars=5)]
    assert len({each.fingerprint for each in (tool, *others)}) == 3


def env_of(tool: EditTool) -> ToolEnv:
    questions = ListQuestions([QUESTION])
    return ToolEnv(ToolEnvSpec(env_id="test/Edit-v0", questions=questions, tools=(tool,), reward=ExactMatch()))


def test_the_tool_conforms(tool: EditTool) -> None:
    check_tool(tool, arguments={"action": "create", "path": "a", "text": "b"}, fuzz=200)
    check_tool_env(lambda: env_of(tool), fuzz=5)
    env = env_of(tool)
    env.reset(seed=0)
    env.step(call_turn("edit", {"action": "create", "path": "a", "text": "b"}))
    moment = env.snapshot()
    assert Snapshot.from_bytes(moment.to_bytes()) == moment


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["a", "", "b\r"]), max_size=4), st.integers(0, 4), st.booleans())
def test_inserted_lines_are_where_they_were_put(lines: list[str], place: int, ended: bool) -> None:
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    before = lines_of(text) if text else []
    place = min(place, len(before))
    tree = FileTree().with_file("f", text.encode())
    edited = insert_text(tree, "f", place, "new")
    assert lines_of(edited.tree.read("f").decode()) == [*before[:place], "new", *before[place:]]
    assert edited.first == edited.last == place + 1
