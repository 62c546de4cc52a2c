"""Attempts of sandboxed code on the machinery that executes it, and through it on the sessions beside it."""

from __future__ import annotations

import errno
import textwrap
from collections.abc import Iterator

import pytest

from axpo_envs.backends.python_sandbox._seccomp import Question
from axpo_envs.backends.python_sandbox._supervision import Allowance
from axpo_envs.backends.python_sandbox.host import Outcome, Sandbox
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import BranchingKind
from axpo_envs.backends.python_sandbox.start import available_isolations
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.backends.python_sandbox.syscalls import number

LIMITS = SandboxLimits(memory_mb=192, scratch_mb=8, threads=16, processes=2)
FIND = """
import os, sys
frame = sys._getframe()
while not hasattr(frame.f_locals.get("self"), "serve"):
    frame = frame.f_back
own = type(frame.f_locals["self"])
names = own.serve.__globals__
del frame
"""
"""Code that finds the class `Interpreter`, as `own`, and the names of its module: its object is in a frame
below the cell's."""
SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return result if result >= 0 else os.strerror(ctypes.get_errno())
"""


@pytest.fixture(scope="module", params=available_isolations())
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    sandbox = Sandbox(LIMITS, SandboxSettings(isolation=request.param, preload=()))
    yield sandbox
    sandbox.close()


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[PythonState]:
    """A session with a variable and a file; whatever was done after it or beside it, it goes on as it was."""
    state = run(sandbox, "x = 41; open('kept', 'w').write('kept');").state
    yield state
    assert run(sandbox, "x + 1, open('kept').read()", after=state).text == "(42, 'kept')\n"
    assert run(sandbox, "6 * 7", seed=4).text == "42\n"


def run(sandbox: Sandbox, code: str, *, after: PythonState | None = None, seed: int = 3) -> Outcome:
    return sandbox.run(after or PythonState(), textwrap.dedent(code), seed=seed)


class TestReports:
    def test_a_forged_one_says_no_more_than_printing_would(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import os, struct, json
            text = json.dumps({"succeeded": True, "figures": []}).encode()
            os.write(1, b"forged")
            os.write(200, struct.pack("!II", len(text), 0) + text)
            raise ValueError
        """
        assert run(sandbox, code, after=start).text.startswith("forged")

    @pytest.mark.parametrize(
        "frame",
        [
            'struct.pack("!II", 4, 0) + b"null"',
            'struct.pack("!II", 2**31, 0)',
            'struct.pack("!II", 2, 2**31) + b"{}"',
            'struct.pack("!II", 40, 0) + b\'{"succeeded": 1, "figures": [[9999, 9999]]}\'[:40]',
            'struct.pack("!II", 43, 3) + b\'{"succeeded": true, "figures": [[-1, -1]]}  \'[:43] + b"abc"',
            'struct.pack("!II", 6000, 0) + b"[" * 6000',
        ],
    )
    def test_a_nonsensical_one_ends_the_cell(self, sandbox: Sandbox, start: PythonState, frame: str) -> None:
        outcome = run(sandbox, f"import os, struct, time\nos.write(200, {frame})\ntime.sleep(5)", after=start)
        assert outcome.status is Status.DIED
        assert outcome.state is start


class TestSiblings:
    def test_are_out_of_the_reach_of_signals(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import fcntl, os, struct
            def attempt(ask, *arguments):
                try:
                    return ask(1, *arguments)
                except OSError as error:
                    return type(error).__name__
            own = struct.pack("i", os.getpid())
            # F_SETOWN, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP
            print(attempt(fcntl.fcntl, 8, os.getpid()), attempt(fcntl.fcntl, 15, struct.pack("ii", 1, os.getpid())))
            print(attempt(fcntl.ioctl, 0x8901, own), attempt(fcntl.ioctl, 0x8902, own))
        """
        assert run(sandbox, code, after=start).text.split() == ["PermissionError"] * 4

    def test_are_not_watched_or_kept_waiting_by_leases(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import fcntl, os
            for command, argument in ((1024, fcntl.F_RDLCK), (1026, 1)):
                try:
                    print(fcntl.fcntl(os.open(os.path.dirname(os.__file__), os.O_RDONLY), command, argument))
                except OSError as error:
                    print(type(error).__name__)
        """
        assert run(sandbox, code, after=start).text.split() == ["PermissionError"] * 2

    def test_share_no_memory_with_a_process_of_the_code(self, sandbox: Sandbox, start: PythonState) -> None:
        namespaces = (0x10000000, 0x20000, 0x40000000)
        calls = ", ".join(f"call({number('clone')}, {flags} | 17, 0, 0, 0, 0)" for flags in namespaces)
        assert run(sandbox, f"{SYSCALL}\n{calls}", after=start).text == f"{('Operation not permitted',) * 3}\n"

    @pytest.mark.parametrize("flags", [0x100, 0x200, 0x400, 0x800, 0x100 | 0x4000])
    def test_share_nothing_with_the_interpreter_they_are_forked_from(self, flags: int) -> None:
        allowance = Allowance(fork=True)

        def ask(call: str, flags: int) -> int:
            question = Question(id=1, process=2, call=call, arguments=(flags, 0, 0, 0, 0, 0))
            return allowance.take(question, is_interpreter=True)

        assert ask("clone", flags | 17) == errno.EAGAIN
        assert ask("vfork", 0) == errno.EAGAIN
        assert ask("clone", 0x8000 | 17) == errno.EAGAIN
        assert ask("clone", 0x1200000 | 17) == 0
        assert ask("clone", 0x1200000 | 17) == errno.EAGAIN

    def test_are_made_without_a_step_of_the_interpreter_they_are_forked_from(
        self, sandbox: Sandbox, start: PythonState
    ) -> None:
        code = """
            frames = own.serve.__globals__["frames"]
            read, waits, given = frames.read, 0, []
            def watch(descriptor):
                global waits
                waits += 1
                frame = read(descriptor)
                given.append(sorted(frame.header))
                return frame
            frames.read = watch
        """
        spoilt = run(sandbox, FIND + textwrap.dedent(code), seed=5).state
        seen = {run(sandbox, "waits, given", after=spoilt).text for _ in range(3)}
        assert sandbox.report.branching is BranchingKind.REPLAY or seen == {
            "(1, [['code', 'images', 'scratch', 'seed']])\n"
        }

    def test_are_not_changed_by_replacing_the_interpreter_s_functions(
        self, sandbox: Sandbox, start: PythonState
    ) -> None:
        code = """
            import types
            names = own.serve.__globals__
            things = [*vars(own).values(), *names.values(), *vars(names["frames"]).values()]
            replaced = [thing for thing in things if isinstance(thing, types.FunctionType)]
            print(len(replaced) > 10)
            for thing in replaced:
                thing.__code__ = (lambda *arguments, **named: None).__code__
        """
        assert run(sandbox, FIND + textwrap.dedent(code), after=start).status is Status.DIED


SPOILS = {
    "keeps a pipe": "names['_close_connections'] = lambda: None; kept = os.pipe()",
    "keeps a folder": "names['_close_connections'] = lambda: None; kept = os.open('/', os.O_RDONLY)",
    "keeps the path of a file": "names['_close_connections'] = lambda: None; kept = os.open('kept', os.O_PATH)",
    "keeps a socket": "import socket; names['_close_connections'] = lambda: None; kept = socket.socketpair()",
    "keeps a poll": "import select; names['_close_connections'] = lambda: None; kept = select.epoll()",
    "keeps its link twice": "names['_close_connections'] = lambda: None; kept = os.dup(200)",
    "keeps its output twice": "names['_close_connections'] = lambda: None; kept = os.dup(1)",
    "has another link": "os.dup2(os.dup(1), 200)",
    "reads elsewhere": "os.dup2(200, 199); read = names['frames'].read\nnames['frames'].read = lambda at: read(199)",
    "says it forked": "import threading, time; names['_renew'] = lambda: os.write(200, b'r')\n"
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "ends when it should fork": "import threading, time; names['_renew'] = lambda: os._exit(0)\n"
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "ends when it should wait": "names['frames'].read = lambda at: os._exit(0)",
}


class TestTampering:
    @pytest.mark.parametrize("code", SPOILS.values(), ids=SPOILS)
    def test_ends_a_session_where_it_would_reach_out_of_it(
        self, sandbox: Sandbox, start: PythonState, code: str
    ) -> None:
        if sandbox.report.branching is not BranchingKind.FORK:
            code = "pass"
        spoilt = run(sandbox, FIND + code, after=start)
        outcomes = [run(sandbox, "os.getcwd()", after=spoilt.state) for _ in range(2)]
        expected = Status.DIED if sandbox.report.branching is BranchingKind.FORK else Status.DONE
        ends = {spoilt.status} if spoilt.status is Status.DIED else {outcome.status for outcome in outcomes}
        assert ends == {expected}


class TestSurroundings:
    def test_no_file_descriptor_of_the_host_is_inherited(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import os, stat
            kinds = {}
            for fd in range(1024):
                try:
                    mode = os.fstat(fd).st_mode
                except OSError:
                    continue
                kinds[fd] = stat.filemode(mode)[0]
            print(kinds)
        """
        device, pipe, link = "c", "p", "s"
        assert eval(run(sandbox, code, after=start).text) == {0: device, 1: pipe, 2: pipe, 200: link}

    def test_this_project_cannot_be_imported(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            for name in ("axpo_envs", "axpo_envs.questions.sources", "axpo_agents", "axpo", "axpo_benchmarks"):
                try:
                    __import__(name)
                except Exception as error:
                    print(type(error).__name__)
        """
        assert run(sandbox, code, after=start).text.split() == ["ModuleNotFoundError"] * 5

    def test_no_program_is_executed(self, sandbox: Sandbox, start: PythonState) -> None:
        # What it is refused for is not that it does not exist.
        code = f"{SYSCALL}\ncall({number('execve')}, b'/no/such', 0, 0)"
        assert run(sandbox, code, after=start).text == "'Operation not permitted'\n"

    def test_what_is_left_behind_ends_with_the_cell(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import atexit, signal, threading, time
            count = 0
            def work():
                global count
                while True:
                    count += 1
                    time.sleep(0.001)
            threading.Thread(target=work, daemon=True).start()
            atexit.register(lambda: print("left behind"))
            signal.signal(signal.SIGALRM, lambda *a: print("alarm"))
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        """
        left = run(sandbox, code, after=start).state
        look = "import time\nbefore = count\ntime.sleep(0.1)\ncount - before"
        assert run(sandbox, look, after=left).text == "0\n"
        if sandbox.report.branching is BranchingKind.FORK:
            # Nothing went on in the interpreter that they are forked from.
            assert len({run(sandbox, "count", after=left).text for _ in range(8)}) == 1


def test_the_host_s_environment_is_not_passed_on(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXPO_TEST_KEY", "271828")
    own = Sandbox(LIMITS, SandboxSettings(isolation=sandbox.report.isolation, preload=()))
    assert run(own, "import os; [name for name in os.environ if 'AXPO' in name]").text == "[]\n"
    own.close()
