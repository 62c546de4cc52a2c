"""Attempts to escape from the `python` tool's sandbox and to exhaust the machine, and what the policy reads of each."""

from __future__ import annotations

import ast
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from axpo_envs.backends.python_sandbox.first_process import Started
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.start import available_isolations
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.backends.python_sandbox.syscalls import number
from axpo_envs.tool.protocol import ToolContext
from axpo_envs.tools.python import PythonTool
from axpo_envs.types import Question, ToolResult, ToolStatus

SECRET = "the answer is 271828"
LIMITS = SandboxLimits(wall_s=30.0, memory_mb=192, scratch_mb=8, threads=16, output_bytes=4000)
HASTE = replace(LIMITS, wall_s=1.5)
QUESTION = Question(id="q", prompt=("How much?",), answer=SECRET)


@pytest.fixture(scope="module", params=available_isolations())
def tool(request: pytest.FixtureRequest) -> Iterator[PythonTool]:
    os.environ["AXPO_TEST_SECRET"] = SECRET
    tool = PythonTool(LIMITS, settings=SandboxSettings(isolation=request.param, preload=("numpy",)))
    yield tool
    tool.close()
    del os.environ["AXPO_TEST_SECRET"]


@pytest.fixture(scope="module")
def hasty_tool(tool: PythonTool) -> Iterator[PythonTool]:
    hasty = PythonTool(HASTE, settings=SandboxSettings(isolation=tool.report.isolation, preload=()))
    yield hasty
    hasty.close()


class Session:
    """An episode's calls, one after the other."""

    def __init__(self, tool: PythonTool, seed: int = 3) -> None:
        self.tool = tool
        self.state = PythonState()
        self.context = ToolContext(question=QUESTION, images=(), seed=seed)

    def run(self, code: str) -> ToolResult:
        arguments = self.tool.validate({"code": textwrap.dedent(code)})
        result, self.state = self.tool.step(arguments, self.state, self.context)
        return result

    def read(self, code: str) -> str:
        result = self.run(code)
        return "".join(part for part in result.content if isinstance(part, str))

    def branch(self) -> Session:
        other = Session(self.tool)
        other.state = self.state
        return other


@pytest.fixture
def session(tool: PythonTool) -> Iterator[Session]:
    """A session with a variable and a file; whatever was done in it, it and others go on afterwards."""
    yield from unharmed(Session(tool))


@pytest.fixture
def hasty(hasty_tool: PythonTool) -> Iterator[Session]:
    """The same with little time for a cell."""
    yield from unharmed(Session(hasty_tool))


def unharmed(session: Session) -> Iterator[Session]:
    assert session.run("x = 41; open('kept', 'w').write('kept');").status is ToolStatus.OK
    yield session
    assert session.read("x + 1, open('kept').read()") == "(42, 'kept')\n"
    assert Session(session.tool, seed=4).read("6 * 7") == "42\n"


def outcomes(session: Session, *attempts: str) -> list[str]:
    """What each attempt raises: the name of the exception, or "nothing: VALUE"."""
    lines = ["import os, ctypes, socket, signal, sys, resource, mmap, pathlib", "results = []"]
    for attempt in attempts:
        lines += ["try:", f"    value = {attempt}", "    results.append(f'nothing: {value!r}')"]
        lines += ["except BaseException as error:", "    results.append(type(error).__name__)"]
    return session.read("\n".join([*lines, "print('\\n'.join(results))"])).splitlines()


SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return result if result >= 0 else os.strerror(ctypes.get_errno())
"""


def answers(session: Session, calls: list[tuple[object, ...]]) -> set[str | int]:
    """What the kernel says to system calls: the numbers, each with its arguments."""
    answer: set[str | int] = eval(session.read(f"{SYSCALL}\n{{call(*arguments) for arguments in {calls!r}}}"))
    return answer


class TestNetwork:
    def test_no_socket_can_be_made(self, session: Session) -> None:
        kinds = ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK")
        assert outcomes(session, *(f"socket.socket(socket.{kind})" for kind in kinds)) == ["PermissionError"] * 4

    def test_names_are_not_resolved(self, session: Session) -> None:
        assert outcomes(session, "socket.getaddrinfo('localhost.example', 80)") == ["gaierror"]

    def test_http_fails(self, session: Session) -> None:
        assert "Operation not permitted" in session.read(
            "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/', timeout=1)"
        )


class TestFiles:
    def test_files_of_the_machine_cannot_be_read(self, session: Session) -> None:
        paths = ["/etc/passwd", "/etc/shadow", str(Path(__file__)), str(Path(__file__).parents[4] / "pyproject.toml")]
        raised = outcomes(session, *(f"open({path!r}).read()" for path in paths))
        assert set(raised) <= {"FileNotFoundError", "PermissionError"}

    def test_folders_of_the_machine_cannot_be_listed(self, session: Session) -> None:
        paths = [str(Path.home()), "/tmp", "/home", "/proc", "/sys", "/etc", str(Path(__file__).parent)]
        listed = outcomes(session, *(f"sorted(os.listdir({path!r}))" for path in paths))
        for path, raised in zip(paths, listed, strict=True):
            if raised in ("FileNotFoundError", "PermissionError"):
                continue
            # Parents of readable paths exist, and lead to nothing else.
            names = set(ast.literal_eval(raised.removeprefix("nothing: ")))
            installed = {sys.prefix, sys.base_prefix, *sys.path}
            below = [Path(place).relative_to(path) for place in installed if Path(place).is_relative_to(path)]
            assert names <= {place.parts[0] for place in below if place.parts} | {"alternatives", "ld.so.cache"}

    def test_nothing_outside_the_scratch_folder_can_be_written(self, session: Session) -> None:
        module = "os.path.join(os.path.dirname(os.__file__), 'sitecustomize.py')"
        paths = ("'/tmp/axpo-x'", "'/axpo-x'", "'/etc/axpo-x'", module, "os.__file__")
        attempts = [f"open({path}, 'w')" for path in paths]
        attempts += [
            "os.remove(os.__file__)",
            "os.mkdir('/axpo-new')",
            "os.rename(os.__file__, 'os.py')",
            "os.truncate(os.__file__, 0)",
        ]
        assert set(outcomes(session, *attempts)) <= {"FileNotFoundError", "PermissionError", "OSError"}
        assert Path(os.__file__).stat().st_size

    def test_permissions_of_files_outside_stay(self, session: Session) -> None:
        before = Path(os.__file__).stat().st_mode, Path(os.__file__).stat().st_mtime_ns
        outcomes(session, "os.chmod(os.__file__, 0)", "os.utime(os.__file__, (0, 0))")
        assert (Path(os.__file__).stat().st_mode, Path(os.__file__).stat().st_mtime_ns) == before

    def test_links_lead_nowhere(self, session: Session) -> None:
        session.run(
            "import os; os.symlink('/etc/passwd', 'soft'); os.symlink('/', 'root'); os.symlink('../../..', 'up')"
        )
        raised = outcomes(
            session,
            *(f"open({path!r}).read()" for path in ("soft", "root/etc/passwd", "up/etc/passwd", "../../../etc/passwd")),
            "os.link('/etc/passwd', 'hard')",
        )
        assert set(raised) <= {"FileNotFoundError", "PermissionError", "OSError"}

    def test_links_are_not_followed_when_a_branch_copies_the_scratch_folder(self, session: Session) -> None:
        session.run("import os; os.symlink('/proc/self/environ', 'soft'); os.symlink('/proc', 'folder')")
        assert set(outcomes(session.branch(), "open('soft').read()", "os.listdir('folder')")) <= {
            "FileNotFoundError",
            "PermissionError",
        }

    def test_a_file_larger_than_the_scratch_folder_is_an_error(self, session: Session) -> None:
        assert session.run("open('big', 'wb').write(bytes(1 << 20) * 64)").status is ToolStatus.ERROR

    def test_many_files_fill_no_more_than_the_scratch_folder(self, session: Session) -> None:
        code = "import time\nfor i in range(40):\n    open(f'f{i}', 'wb').write(bytes(1 << 20))\ntime.sleep(60)"
        text = session.read(code)
        assert "No space left on device" in text or "its files took more than 8 MB" in text

    def test_empty_files_run_out(self, session: Session) -> None:
        text = session.read("import time\nfor i in range(5000):\n    open(f'f{i}', 'wb').close()\ntime.sleep(60)")
        assert "No space left on device" in text or "4096 entries" in text

    def test_folders_too_deep_to_copy_are_no_other_sessions_problem(self, session: Session) -> None:
        deep = session.branch()
        deep.run("import os\nfor i in range(900):\n    os.mkdir('d' * 20); os.chdir('d' * 20)")
        deep.run("1")
        assert session.branch().read("x") == "41\n"


class TestOtherProcesses:
    def test_the_parent_s_environment_and_memory_cannot_be_read(self, session: Session) -> None:
        paths = [
            f"/proc/{process}/{name}"
            for process in ("1", "self", os.getpid(), os.getppid())
            for name in ("environ", "mem", "maps", "root")
        ]
        raised = outcomes(session, *(f"open({path!r}, 'rb').read(10)" for path in paths))
        assert set(raised) <= {"FileNotFoundError", "PermissionError"}

    def test_the_secret_is_in_no_variable_of_the_process(self, session: Session) -> None:
        code = f"""
            import gc, os
            hidden = {SECRET[::-1]!r}[::-1]
            gc.unfreeze()
            def find():
                held = (text for holder in gc.get_objects() for text in gc.get_referents(holder))
                return sum(isinstance(text, str) and text is not hidden and hidden in text for text in held)
            planted = [hidden + "!"]
            print(find(), planted.clear(), find(), any(hidden in value for value in os.environ.values()))
        """
        assert session.read(code) == "1 None 0 False\n"

    def test_tracing_and_reading_memory_of_others_is_refused(self, session: Session) -> None:
        attach = 16
        calls = [(number("ptrace"), attach, process, 0, 0) for process in (os.getpid(), 1)]
        calls += [(number("process_vm_readv"), os.getpid(), 0, 0, 0, 0, 0)]
        assert answers(session, calls) == {"Operation not permitted"}

    def test_others_cannot_be_killed(self, session: Session) -> None:
        targets = ("-1", "1", "2", "os.getppid() or 1", str(os.getpid()), f"-{os.getpgid(0)}")
        assert outcomes(session, *(f"os.kill({target}, 9)" for target in targets)) == ["PermissionError"] * len(targets)

    def test_a_session_may_kill_itself(self, session: Session) -> None:
        result = session.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        assert result.status is ToolStatus.ERROR
        assert result.content == (
            "[Stopped: it was killed by SIGKILL. The interpreter is as it was before this call.]",
        )

    def test_stopping_oneself_is_a_time_out(self, hasty: Session) -> None:
        assert hasty.run("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)").status is ToolStatus.TIMEOUT

    def test_forking_is_refused(self, session: Session) -> None:
        assert "BlockingIOError" in session.read("import os\nwhile True:\n    os.fork()")

    def test_a_fork_bomb_that_catches_errors_is_stopped(self, hasty: Session) -> None:
        result = hasty.run("import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass")
        assert result.status is ToolStatus.TIMEOUT

    def test_no_program_can_be_started(self, session: Session) -> None:
        attempts = ("os.system('ls')", "__import__('subprocess').run(['/bin/ls'])", "os.execv(sys.executable, ['p'])")
        raised = outcomes(session, *attempts)
        assert raised[0] in ("nothing: -1", "nothing: 32512")
        assert set(raised[1:]) <= {"BlockingIOError", "FileNotFoundError", "PermissionError"}

    def test_threads_run_out(self, session: Session) -> None:
        code = """
            import threading, time
            for i in range(100):
                threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        """
        assert "can't start new thread" in session.read(code)


class TestExhaustion:
    @pytest.mark.parametrize(
        "code",
        [
            "bytearray(1 << 34)",
            "a = []\nwhile True:\n    a.append(bytearray(1 << 20))",
            "import numpy\nnumpy.ones(1 << 32)",
            "'x' * (1 << 40)",
        ],
    )
    def test_memory_runs_out_as_an_exception(self, session: Session, code: str) -> None:
        text = session.branch().read(code)
        assert "MemoryError" in text
        assert "<cell 2>" in text

    @pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)", "10 ** 10 ** 9"])
    def test_an_endless_call_is_stopped(self, hasty: Session, code: str) -> None:
        result = hasty.run(code)
        assert result.status is ToolStatus.TIMEOUT
        assert "[Stopped: it " in str(result.content[0])

    def test_processor_time_of_threads_adds_up(self, tool: PythonTool) -> None:
        limits = SandboxLimits(wall_s=20.0, cpu_s=0.3, threads=4, memory_mb=LIMITS.memory_mb)
        own = PythonTool(limits, settings=SandboxSettings(isolation=tool.report.isolation, preload=()))
        result = Session(own).run("while True: pass")
        own.close()
        assert result.status is ToolStatus.TIMEOUT
        assert "processor time" in str(result.content[0])

    def test_endless_output_is_cut_and_stopped(self, session: Session) -> None:
        result = session.run("while True: print('x' * 1000)")
        assert result.status is ToolStatus.ERROR
        assert "bytes left out" in str(result.content[0])
        assert len(str(result.content[0])) < 2 * LIMITS.output_bytes

    def test_a_huge_value_is_cut(self, session: Session) -> None:
        text = session.read("'y' * 10**7")
        assert "left out" in text
        assert len(text) < 2 * LIMITS.output_bytes

    @pytest.mark.parametrize(
        "code",
        [
            "import os; os._exit(0)",
            "import sys; sys.setrecursionlimit(10**9)\na = []\nfor i in range(200_000): a = [a]\nrepr(a)",
            "import ctypes; ctypes.string_at(0)",
            "import os; os.closerange(0, 1000)",
            "import builtins; builtins.len = builtins.isinstance = None",
        ],
    )
    def test_an_interpreter_that_ends_is_as_before(self, session: Session, code: str) -> None:
        result = session.run(code)
        assert result.status is ToolStatus.ERROR
        assert "The interpreter is as it was before this call" in str(result.content[-1])

    def test_open_files_run_out(self, session: Session) -> None:
        assert "Too many open files" in session.read("import os\nfiles = [open(os.__file__) for _ in range(300)]")

    def test_limits_cannot_be_lifted(self, session: Session) -> None:
        raised = outcomes(
            session,
            "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
            "resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))",
            "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))",
            "resource.prlimit(os.getppid() or 1, resource.RLIMIT_CPU, (1, 1))",
        )
        assert set(raised) <= {"PermissionError", "ValueError"}


class TestPrivileges:
    def test_mounts_and_namespaces_are_refused(self, session: Session) -> None:
        calls = [
            *(("unshare", 0x10000000), ("unshare", 0x20000), ("setns", 0, 0), ("clone3", 0, 0)),
            *(("mount", 0, 0, 0, 0, 0), ("umount2", b"/", 2), ("pivot_root", b"/", b"/"), ("chroot", b"/")),
            *(("open_tree", -100, b"/", 0), ("fsopen", b"tmpfs", 0)),
        ]
        numbered = [(number(name), *arguments) for name, *arguments in calls]
        assert answers(session, numbered) <= {"Operation not permitted", "Function not implemented"}

    def test_exotic_calls_are_refused(self, session: Session) -> None:
        names = (
            *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "memfd_create", "shmget", "mq_open"),
            *("seccomp", "kexec_load", "open_by_handle_at", "personality", "pidfd_open"),
        )
        not_known_yet = 500
        numbers = (*map(number, names), not_known_yet)
        calls = [(name, 0, 0, 0, 0, 0) for name in numbers]
        assert answers(session, calls) <= {"Operation not permitted", "Function not implemented"}

    def test_calls_of_other_architectures_are_unknown(self, session: Session) -> None:
        assert session.read(SYSCALL + "call(0x40000000 + 41, 2, 1, 0)") == "'Function not implemented'\n"

    def test_what_takes_privileges_is_refused(self, session: Session) -> None:
        attempts = ("os.setgroups([0])", "os.nice(-5)", "os.chroot('/')", "os.mknod('n', 0o60600)")
        assert outcomes(session, *attempts) == ["PermissionError"] * len(attempts)

    def test_no_privilege_is_left(self, session: Session) -> None:
        started = session.tool._sandbox._started
        assert isinstance(started, Started)
        held, around = set(), set()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getsid(int(folder.name)) != started._process.pid:
                    continue
                lines = (folder / "status").read_text().splitlines()
                fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
                around.add((int(fields["CapEff"], 16), int(fields["Uid"].split()[0])))
                if fields["Seccomp"] == "2":
                    held.add((*(fields[name] for name in ("CapInh", "CapPrm", "CapEff")), fields["NoNewPrivs"]))
        chroot_only, none = f"{1 << 18:016x}", f"{0:016x}"
        # The right to change the root serves the warden's branches; the filter lets only the warden make the call.
        assert held in ({(none, chroot_only, chroot_only, "1")}, {(none, none, none, "1")})
        mount_only = 1 << 21
        assert {capabilities for capabilities, _ in around} <= {0, 1 << 18, mount_only}
        assert os.geteuid() or 0 not in {user for _, user in around}
