"""The `shell` tool as policies and environments see it: what commands show, what stays, and what they cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from axpo_envs import EnvConfigError, ListQuestions, Snapshot, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.backends.commands import runner
from axpo_envs.backends.commands.runner import available_isolations
from axpo_envs.backends.commands.trees import EntryKind
from axpo_envs.rewards import ExactMatch
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tool.protocol import Effects, PreviewingTool, ToolArgumentError, ToolContext, ToolError, ToolTimeout
from axpo_envs.tools import CommandLimits, FileTree, ShellState, ShellTool
from axpo_envs.types import Question, ToolResult, ToolStatus

QUESTION = Question(id="q", prompt=("How many?",), answer="2")
FILES = {"notes.txt": "one\ntwo\n", "bin/run": '#!/bin/sh\necho "ran $1"\n'}
SMALL = CommandLimits(seconds=30.0, folder_mb=2, files=50, processes=16, output_bytes=400)


class Session:
    """An episode's calls, one after the other."""

    def __init__(self, tool: ShellTool, state: ShellState | None = None, question: Question = QUESTION) -> None:
        self.tool = tool
        self.state = tool.initial_state(question) if state is None else state

    def run(self, command: str) -> ToolResult:
        context = ToolContext(question=QUESTION, images=(), seed=3)
        result, self.state = self.tool.step(self.tool.validate({"command": command}), self.state, context)
        return result

    def read(self, command: str) -> str:
        (text,) = self.run(command).content
        assert isinstance(text, str)
        return text

    def branch(self) -> Session:
        return Session(self.tool, self.state)


@pytest.fixture(scope="module", params=available_isolations()[:1])
def tool(request: pytest.FixtureRequest) -> ShellTool:
    return ShellTool(FILES, isolation=request.param)


@pytest.fixture(scope="module", params=available_isolations())
def small(request: pytest.FixtureRequest) -> ShellTool:
    return ShellTool(FILES, limits=SMALL, isolation=request.param)


@pytest.fixture(scope="module", params=available_isolations())
def hasty(request: pytest.FixtureRequest) -> ShellTool:
    return ShellTool(FILES, limits=replace(SMALL, seconds=0.3), isolation=request.param)


@pytest.fixture
def session(tool: ShellTool) -> Session:
    return Session(tool)


class TestCommands:
    def test_show_what_they_write_and_their_code(self, session: Session) -> None:
        result = session.run("wc -l < notes.txt; echo no >&2; ./bin/run 1; exit 3")
        assert result == ToolResult(status=ToolStatus.ERROR, content=("2\nno\nran 1\n[exit code 3]",))
        assert session.run("true") == ToolResult(content=("(no output)",))
        assert session.read("kill -SEGV $$") == "[exit code -11, killed by signal 11]"
        assert "line 1: nosuch: command not found" in session.read("nosuch")
        assert "syntax error" in session.read("if")

    def test_bytes_that_are_no_text_are_shown_as_such(self, session: Session) -> None:
        assert session.read(r"printf 'a\xff\x00\033[31m'") == "a\\xff\\x00\\x1b[31m"

    def test_run_python(self, session: Session) -> None:
        code = "import os; print(sorted(os.listdir('.')), os.environ['TZ'])"
        assert session.read(f'python -c "{code}"') == "['bin', 'notes.txt'] UTC\n"

    def test_share_memory_and_files_in_tmp_within_a_call(self, session: Session) -> None:
        code = "import multiprocessing as m; print(m.Lock(), open('/tmp/a').read())"
        assert session.read(f'echo x > /tmp/a; python -c "{code}"').startswith("<Lock(owner=None)> x")
        assert "No such file" in session.read("cat /tmp/a")


class TestMemory:
    def test_files_folder_and_exported_variables_stay(self, session: Session) -> None:
        session.run("mkdir d; cd d; echo three > f; export A='a b'; B=b; ln -s /etc/passwd l")
        assert session.read('pwd; cat f; echo "$A,$B"') == "/scratch/d\nthree\na b,\n"
        assert session.state.tree.read("d/f") == b"three\n"
        link = session.state.tree.find("d/l")
        assert link is not None
        assert (link.kind, link.data) == (EntryKind.LINK, b"/etc/passwd")

    def test_a_folder_that_is_gone_is_left(self, session: Session) -> None:
        session.run("mkdir d; cd d")
        session.run("rmdir /scratch/d")
        assert session.read("pwd") == "/scratch\n"

    def test_a_shell_that_does_not_tell_keeps_what_it_had(self, session: Session) -> None:
        session.run("export A=1; cd bin")
        session.run("export A=2; cd ..; exec true")
        assert session.read("echo $A; pwd") == "1\n/scratch/bin\n"

    def test_folders_and_variables_stay_whatever_they_are_called(self, session: Session) -> None:
        before = {name for name, _ in session.state.environment}
        session.run("mkdir $'a\\nb\\n'; cd $'a\\nb\\n'; export PATH=/scratch")
        assert session.state.cwd == "/scratch/a\nb\n"
        assert {name for name, _ in session.state.environment} == before | {"OLDPWD"}

    def test_branches_part_and_share_what_they_did_not_change(self, session: Session) -> None:
        session.run("echo base > base")
        one, two = session.branch(), session.branch()
        one.run("echo 1 > own; rm base")
        two.run("echo 2 > own")
        assert (one.read("cat own; ls"), two.read("cat own base")) == ("1\nbin\nnotes.txt\nown\n", "2\nbase\n")
        assert two.state.tree.read("notes.txt") is session.state.tree.read("notes.txt")

    def test_dates_tell_what_was_changed_later(self, session: Session) -> None:
        session.run("echo built > target; echo > source")
        assert session.read("[ source -nt target ] && echo newer") != "newer\n"
        session.run("echo changed > source")
        assert session.read("[ source -nt target ] && echo newer") == "newer\n"

    def test_odd_entries_are_kept_or_left_out(self, session: Session) -> None:
        session.run("mkfifo pipe; mkdir -m 000 locked; echo a > f; ln f g; chmod 000 f; touch $'n\\n' $'\\xff'")
        assert list(session.state.tree) == ["bin", "bin/run", "f", "g", "locked", "n\n", "notes.txt", "\udcff"]
        assert session.read("stat -c %a f locked; chmod 600 f; cat f") == "0\n0\na\n"

    def test_equal_calls_lead_to_equal_states(self, session: Session) -> None:
        other = session.branch()
        for each in (session, other):
            each.run("echo a > a; echo a >> notes.txt; export Z=1 Y=2")
        assert session.state == other.state
        moment = snapshot_of(session.tool)
        assert Snapshot.from_bytes(moment.to_bytes()) == moment


class TestAttacks:
    def test_what_outlives_the_call_is_ended(self, small: ShellTool) -> None:
        assert Session(small).read("(sleep 50; echo late > late) & setsid nohup sleep 50 & echo begun") == "begun\n"

    @pytest.mark.parametrize("command", ["sleep 50", ":(){ :|:& };: ; sleep 50", "yes"], ids=["sleep", "forks", "yes"])
    def test_what_takes_too_long_leaves_no_trace(self, hasty: ShellTool, command: str) -> None:
        session = Session(hasty)
        before = session.state
        result = session.run(f"echo > new; {command}")
        assert result.status is ToolStatus.TIMEOUT
        assert str(result.content[0]).endswith("[Stopped after 0.3 s. The folder is as before this call.]")
        assert session.state is before

    def test_the_system_cannot_be_changed(self, small: ShellTool) -> None:
        session = Session(small)
        assert "Read-only file system" in session.read("rm -rf /scratch /tmp /bin/ls /etc/passwd 2>&1 | grep ls")
        assert session.state.tree == FileTree()
        assert session.read("ls /bin/ls; touch /usr/x /etc/x /x 2>&1 | wc -l") == "/bin/ls\n3\n"

    def test_memory_files_and_folders_are_bounded(self, small: ShellTool) -> None:
        session = Session(small)
        assert "No space left" in session.read("head -c 9000000 /dev/zero > big; rm big")
        assert "File size limit exceeded" in session.read("head -c 9000000 /dev/zero > /tmp/big; truncate -s 9M big")
        assert "No space left" in session.read("for n in $(seq 60); do : > f$n || break; done; rm -f f*")
        assert "MemoryError" in session.read("python -c 'bytearray(1 << 31)'")
        before = session.state
        deep = "d=$(printf 'a%.0s' $(seq 250)); mkdir -p $d/$d/$d/$d"
        for command, problem in (("truncate -s 2M a b", "too many bytes"), (deep, "a path of more than 1000 bytes")):
            assert f"[The folder is as before this call: it holds {problem}.]" in session.read(command)
            assert session.state is before

    def test_nothing_of_the_machine_is_there(self, small: ShellTool) -> None:
        session = Session(small)
        assert session.read("ls /home /var 2>/dev/null; cat /etc/passwd; ls /proc | grep -c '^[0-9]'").startswith(
            "user:x:1000:1000::/scratch:/bin/sh\n"
        )
        assert "Permission denied" in session.read("cat /proc/1/environ")
        # By the socket that the guest answers on, a command could answer in its place.
        assert session.read("readlink /proc/$$/fd/* | grep -c socket") == "0\n[exit code 1]"
        assert session.read("kill -9 1; kill -9 -1 2>/dev/null; echo here") == "here\n"
        assert "axpo_envs" not in session.read("env; python -c 'import axpo_envs' 2>&1 | tail -1 | tr a-z A-Z")

    def test_there_is_no_network_and_no_namespace(self, small: ShellTool) -> None:
        code = (
            "import socket\n"
            "for family in (socket.AF_VSOCK, 38):\n"
            "    try: socket.socket(family)\n"
            "    except OSError as error: print(error.errno)\n"
            "print(socket.socket().connect_ex(('1.1.1.1', 53)))"
        )
        assert Session(small).read(f'python -c "{code}"') == "1\n1\n101\n"
        assert "not permitted" in Session(small).read("unshare -Ur true")

    def test_long_output_shows_its_beginning_and_end(self, small: ShellTool) -> None:
        text = Session(small).read("seq 1000")
        assert text.startswith("1\n2\n")
        assert text.endswith("999\n1000\n")
        assert "\n[... 3493 bytes left out ...]\n" in text


class TestSettings:
    def test_files_come_from_the_question(self, tool: ShellTool) -> None:
        question = Question(id="q", prompt=("",), answer="", extra={"shell": {"a": "of a column"}})
        isolation = available_isolations()[0]
        assert Session(ShellTool(isolation=isolation), question=question).read("cat a") == "of a column"
        assert Session(ShellTool(from_answer, isolation=isolation)).read("cat answer") == "2"

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("limits", 1), ("name", ""), ("environment", {"A=": ""}), ("environment", 1), ("isolation", "landlock")],
    )
    def test_are_checked(self, setting: str, value: Any) -> None:
        with pytest.raises(EnvConfigError, match=setting):
            ShellTool(**{setting: value})

    @pytest.mark.parametrize("command", [None, 1, "a\x00", "\ud800", "x" * 20_001])
    def test_arguments_that_do_not_fit(self, tool: ShellTool, command: Any) -> None:
        with pytest.raises(ToolArgumentError, match="command"):
            tool.validate({"command": command})

    def test_fingerprints_differ_where_results_may(self, tool: ShellTool) -> None:
        others = [ShellTool(), ShellTool(from_answer), ShellTool(FILES, environment={"A": "1"})]
        others.append(ShellTool(FILES, limits=SMALL))
        assert len({each.fingerprint for each in (tool, *others)}) == 5
        assert tool.effects is Effects.STATEFUL


def test_making_it_says_why_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(runner, "_GUEST", "import sys; sys.exit('it cannot start')")
    runner._refusal.cache_clear()
    try:
        with pytest.raises(EnvConfigError, match=r"no program bwrap on the PATH; namespaces: it cannot start\)"):
            ShellTool(FILES)
    finally:
        runner._refusal.cache_clear()


def test_a_preview_names_the_files(small: ShellTool) -> None:
    assert isinstance(small, PreviewingTool)
    state = small.initial_state(QUESTION)
    assert small.preview({"command": "rm notes.txt; echo > new; exit 4"}, state) == (
        "would end with code 4\nnew: created\nnotes.txt: removed"
    )
    assert small.preview({"command": "touch $'n\\n' $'\\xff'"}, state).endswith("\nn\\n: created\n\\udcff: created")
    assert small.preview({"command": "true"}, state) == "would end with code 0\nwould change no file"
    with pytest.raises(ToolError, match="too many bytes"):
        small.preview({"command": "truncate -s 2M a b"}, state)


def test_a_preview_is_stopped(hasty: ShellTool) -> None:
    with pytest.raises(ToolTimeout):
        hasty.preview({"command": "sleep 9"}, hasty.initial_state(QUESTION))


def from_answer(question: Question) -> Any:
    return {"answer": question.answer}


def env_of(tool: ShellTool) -> ToolEnv:
    questions = ListQuestions([QUESTION])
    return ToolEnv(ToolEnvSpec(env_id="test/Shell-v0", questions=questions, tools=(tool,), reward=ExactMatch()))


def snapshot_of(tool: ShellTool) -> Snapshot:
    env = env_of(tool)
    env.reset(seed=0)
    env.step(call_turn("shell", {"command": "echo a > a"}))
    return env.snapshot()


def test_the_tool_conforms(tool: ShellTool) -> None:
    check_tool(tool, arguments={"command": "echo three >> notes.txt; cat notes.txt"}, fuzz=2)
    check_tool_env(lambda: env_of(tool), fuzz=1)
