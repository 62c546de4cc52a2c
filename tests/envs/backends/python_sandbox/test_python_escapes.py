"""Attacks on what keeps the `python` tool's episodes apart: rest, branching, limits, reports, shared counters."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterator

import pytest

from axpo_envs.backends.python_sandbox import _policy as policy
from axpo_envs.backends.python_sandbox import _seccomp as seccomp
from axpo_envs.backends.python_sandbox._policy import Verdict
from axpo_envs.backends.python_sandbox.host import Outcome, Sandbox
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import BranchingKind
from axpo_envs.backends.python_sandbox.start import available_isolations
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.backends.python_sandbox.syscalls import number

LIMITS = SandboxLimits(wall_s=10.0, memory_mb=192, scratch_mb=8, threads=16)
SYSCALL = """
import ctypes, errno, os, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return result if result >= 0 else errno.errorcode.get(ctypes.get_errno())
"""
FIND = """
import os, sys
frame = sys._getframe()
while not hasattr(frame.f_locals.get("self"), "serve"):
    frame = frame.f_back
names = type(frame.f_locals["self"]).serve.__globals__
del frame
"""


@pytest.fixture(scope="module", params=available_isolations())
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    sandbox = Sandbox(LIMITS, SandboxSettings(isolation=request.param, preload=()))
    yield sandbox
    sandbox.close()


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[PythonState]:
    """A session with a variable and a file; whatever was done beside it, it goes on as it was."""
    state = run(sandbox, "x = 41; open('kept', 'w').write('kept');").state
    yield state
    assert run(sandbox, "x + 1, open('kept').read()", after=state).text == "(42, 'kept')\n"
    assert run(sandbox, "6 * 7", seed=4).text == "42\n"


def run(sandbox: Sandbox, code: str, *, after: PythonState | None = None, seed: int = 3) -> Outcome:
    return sandbox.run(after or PythonState(), textwrap.dedent(code), seed=seed)


LATER = {
    "timer_create": (1, 0, 0),
    "timerfd_create": (1, 0),
    "setitimer": (0, 0, 0),
    "alarm": (5,),
    "io_setup": (4, 0),
    "io_submit": (0, 0, 0),
    "io_uring_setup": (4, 0),
    "mq_notify": (0, 0),
    "perf_event_open": (0, 0, -1, -1, 0),
    "eventfd2": (0, 0),
    "signalfd4": (-1, 0, 8, 0),
    "inotify_init1": (0,),
    "fanotify_init": (0, 0),
    "add_key": (0, 0, 0, 0, 0),
    "keyctl": (0, 0, 0, 0, 0),
    "pidfd_open": (1, 0),
    "ptrace": (0, 0, 0, 0),
    "process_vm_writev": (1, 0, 0, 0, 0, 0),
    "sysinfo": (0,),
    "mlock": (0, 0),
    "membarrier": (0, 0),
    "splice": (0, 0, 0, 0, 0, 0),
    "vmsplice": (0, 0, 0, 0),
    "sendmsg": (200, 0, 0),
    "sendmmsg": (200, 0, 0, 0),
    "setsockopt": (200, 1, 26, 0, 0),
    "mincore": (0, 0, 0),
    "fadvise64": (0, 0, 0, 4),
    "seccomp": (1, 0, 0),
    "chroot": (0,),
    "renameat2": (-100, 0, -100, 0, 4),
    "getpgid": (1,),
    "getsid": (1,),
    "get_robust_list": (1, 0, 0),
    "sched_getaffinity": (1, 8, 0),
    "getpriority": (2, 1000),
    "clock_gettime": (~1 << 3 | 2, 0),
    "capget": (0, 0),
    "sendto": (200, 0, 0, 1, 0, 0),
    "recvfrom": (200, 0, 0, 1, 0, 0),
    "unshare": (0x10000000,),
}
"""System calls that act later or on others, with arguments."""


class TestCalls:
    def test_that_act_later_or_on_others_are_refused(self, sandbox: Sandbox, start: PythonState) -> None:
        calls = {name: (number(name), *given) for name, given in LATER.items() if number(name) is not None}
        code = f"{SYSCALL}\nsorted({{(name, call(*given)) for name, given in {calls!r}.items()}})"
        refused = {"EPERM", "ENOSYS"}
        assert {name: said for name, said in eval(run(sandbox, code, after=start).text) if said not in refused} == {}

    @pytest.mark.parametrize(
        "attempt",
        [
            "fcntl.fcntl(r, 4, os.O_ASYNC)",
            "fcntl.fcntl(r, 10, 18)",
            "fcntl.fcntl(r, 1031, 1 << 20)",
            "fcntl.fcntl(r, 1032)",
            "os.pipe2(0o40000)",
            "ctypes.CDLL(None, use_errno=True).prctl(1, 18, 0, 0, 0) and 1 / 0",
            "ctypes.CDLL(None, use_errno=True).prctl(4, 0, 0, 0, 0) and 1 / 0",
            "ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) and 1 / 0",
            "mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)",
            "mmap.mmap(-1, 1 << 21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)",
            "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
            "socket.socketpair()[0].sendto(b'x', 0, '/dev/log')",
            "socket.send_fds(socket.socketpair()[0], [b'x'], [0])",
        ],
    )
    def test_with_arguments_that_reach_further_are_refused(
        self, sandbox: Sandbox, start: PythonState, attempt: str
    ) -> None:
        code = f"import ctypes, fcntl, mmap, os, socket\nr, w = os.pipe()\n{attempt}\nprint('done')"
        text = run(sandbox, code, after=start).text
        assert text.splitlines()[-1].partition(":")[0] in (
            "PermissionError",
            "OSError",
            "ZeroDivisionError",
            "ValueError",
        )

    def test_that_wait_on_pages_of_files_return_at_once(self, sandbox: Sandbox, start: PythonState) -> None:
        code = f"""
            {textwrap.indent(SYSCALL, " " * 12).strip()}
            libc.mmap.restype = ctypes.c_void_p
            f = os.open(os.__file__, os.O_RDONLY)
            page = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, f, ctypes.c_long(0))
            value = ctypes.c_uint32.from_address(page).value
            shared_wait, shared_wake = 0, 1
            futex = {number("futex")}
            print(call(futex, page, shared_wait, value, 0, 0, 0), call(futex, page, shared_wake, 9))
        """
        assert run(sandbox, textwrap.dedent(code), seed=6).text == "0 0\n"

    def test_that_lock_files_tell_nobody(self, sandbox: Sandbox, start: PythonState) -> None:
        lock = "import fcntl, os\nf = open(os.__file__)\nfcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB), fcntl.lockf"
        first = run(sandbox, f"{lock}\nfcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)", seed=8)
        assert first.succeeded
        assert run(sandbox, f"{lock}\nfcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)", seed=9).succeeded

    def test_that_work_with_files_still_do(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import os, shutil, sqlite3, tempfile
            base = sqlite3.connect("base")
            base.execute("create table t (n integer)"); base.execute("insert into t values (7)"); base.commit()
            open("a", "w").write("text"); shutil.copy("a", "b"); shutil.copy2("a", "c"); os.makedirs("d/e")
            shutil.copytree("d", "f"); os.rename("b", "d/b")
            with tempfile.TemporaryDirectory() as folder: pass
            print(base.execute("select n from t").fetchall(), open("d/b").read(), sorted(os.listdir()))
        """
        outcome = run(sandbox, code, seed=6)
        assert outcome.text == "[(7,)] text ['a', 'base', 'c', 'd', 'f']\n"


class TestTables:
    def test_of_calls_have_a_reason_for_every_row(self) -> None:
        assert all(row.why for row in (*policy.COMMON, *policy.ROOTED, *policy.CONFINED))

    @pytest.mark.parametrize("rooted", [True, False])
    def test_of_calls_do_not_name_a_call_twice_without_a_condition(self, rooted: bool) -> None:
        final: set[str] = set()
        for row in seccomp.rows(rooted=rooted):
            assert not final & set(row.calls)
            final |= set(row.calls) if not row.where else set()

    def test_become_jumps_that_stay_in_the_program(self) -> None:
        program = seccomp.compile_filter(seccomp.rows(rooted=True), Verdict.REFUSE)
        lines = [program[at : at + 8] for at in range(0, len(program), 8)]
        for place, line in enumerate(lines):
            if line[0] & 0x07 == 0x05:
                assert place + 1 + max(line[2], line[3]) < len(lines)


class TestRest:
    def test_does_not_end_for_code_that_polls_its_link(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import select
            frames = names["frames"]
            read, count = frames.read, 0
            def watch(descriptor):
                global count
                while not select.select([descriptor], [], [], 0.001)[0]:
                    count += 1
                return read(descriptor)
            frames.read = watch
        """
        quick = Sandbox(
            SandboxLimits(wall_s=2.0, memory_mb=192), SandboxSettings(isolation=sandbox.report.isolation, preload=())
        )
        spoilt = run(quick, FIND + textwrap.dedent(code))
        assert spoilt.status in (Status.TIMEOUT, Status.DIED)
        assert run(quick, "1").text == "1\n"
        quick.close()

    def test_is_not_left_for_signals_that_wake_stopped_processes(self, sandbox: Sandbox, start: PythonState) -> None:
        code = f"""
            {textwrap.indent(SYSCALL, " " * 12).strip()}
            import threading, time
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
            count = 0
            def wake():
                global count
                while True:
                    count += 1
                    os.kill(os.getpid(), signal.SIGCONT)
            threading.Thread(target=wake, daemon=True).start()
            time.sleep(0.05)
        """
        state = run(sandbox, textwrap.dedent(code), seed=7).state
        counts = {run(sandbox, "count", after=state, seed=7).text for _ in range(4)}
        assert sandbox.report.branching is BranchingKind.REPLAY or len(counts) == 1

    def test_begins_when_a_forged_report_is_followed_by_more_work(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import os, struct, time
            text = b'{"succeeded":true,"figures":[]}'
            os.write(200, struct.pack("!II", len(text), 0) + text)
            for n in range(20):
                time.sleep(0.01)
                open("late", "w").write(str(n))
        """
        state = run(sandbox, code, seed=5).state
        assert run(sandbox, "open('late').read()", after=state, seed=5).text in ("'19'\n", "")


class TestThreads:
    @pytest.mark.parametrize("pause", ["pass", "time.sleep(0.001)", "lock.acquire(timeout=0.01)"])
    def test_that_print_when_a_cell_ends_leave_no_stream_locked(
        self, sandbox: Sandbox, start: PythonState, pause: str
    ) -> None:
        code = f"""
            import threading, time
            lock = threading.Lock(); lock.acquire()
            def progress():
                while True:
                    print("working"); {pause}
            for _ in range(3): threading.Thread(target=progress, daemon=True).start()
            time.sleep(0.05)
        """
        state = run(sandbox, code, seed=2).state
        assert run(sandbox, "print('hello')", after=state, seed=2).text == "hello\n"

    def test_that_hold_a_lock_and_do_not_end_leave_it_open(self, sandbox: Sandbox, start: PythonState) -> None:
        code = """
            import threading, time
            lock = threading.Lock()
            def hold():
                with lock: time.sleep(60)
            threading.Thread(target=hold, daemon=True).start()
            while not lock.locked(): pass
        """
        state = run(sandbox, code, seed=2).state
        assert run(sandbox, "lock.acquire(timeout=1)", after=state, seed=2).text == "True\n"


TREES = {
    "sparse": (
        "for n in 'ab':\n    f = open(n, 'wb'); f.truncate(5 << 20); f.close()",
        "[os.stat(n).st_size for n in 'ab']",
    ),
    "deleted": ("f = open('d', 'wb+'); f.truncate(7 << 20); os.remove('d')", "os.fstat(f.fileno()).st_size"),
    "linked": ("open('a', 'w').write('1')\nfor i in range(200): os.link('a', f'l{i}')", "os.stat('a').st_nlink"),
    "deep": ("for i in range(900):\n    os.mkdir('d' * 20); os.chdir('d' * 20)", "os.listdir(), len(os.getcwd()) > 0"),
    "closed": (
        "os.mkdir('d'); open('d/f', 'w').write('x'); os.chmod('d/f', 0); os.chmod('d', 0)",
        "os.stat('d').st_mode",
    ),
    "full": ("for i in range(3000): open(f'f{i}', 'w').close()", "len(os.listdir())"),
    "renamed": ("f = open('a', 'w+'); f.write('abc'); f.flush(); os.rename('a', 'b')", "f.seek(0), f.read()"),
    "twice open": ("f = open('a', 'w+'); g = open('a'); f.write('abc'); f.flush()", "g.read()"),
    "deleted and open twice": (
        "f = open('d', 'wb+'); f.write(bytes(5 << 20)); f.flush(); g = open('d', 'rb'); os.remove('d')",
        "os.fstat(f.fileno()).st_ino == os.fstat(g.fileno()).st_ino",
    ),
    "a closed top": ("open('f', 'w').write('x'); os.chmod('.', 0)", "1 + 1"),
    "strange names": ("open('a\\n(deleted)', 'w').write('x'); open(b'\\xff', 'w').close()", "sorted(os.listdir())"),
}
"""Scratch folders within the limits, and what shows that a branch has them."""


class TestTrees:
    @pytest.mark.parametrize(("make", "look"), TREES.values(), ids=TREES)
    def test_survive_a_branch_and_leave_it_as_it_was(
        self, sandbox: Sandbox, start: PythonState, make: str, look: str
    ) -> None:
        made = run(sandbox, f"import os\n{make}\nprint(({look}))", seed=6)
        if sandbox.report.branching is BranchingKind.REPLAY and made.status is Status.DIED:
            assert "levels" in made.note
            return
        assert made.succeeded
        seen = {run(sandbox, f"print(({look}))", after=made.state, seed=6).text for _ in range(2)}
        # What was read before is read again from its position on, as it is in the copy.
        assert seen == {made.text} or look in ("g.read()",)


class TestNeighbours:
    def test_are_not_reached_by_processes_or_files(self, sandbox: Sandbox, start: PythonState) -> None:
        other = run(sandbox, "import os, time; open('secret', 'w').write('271828'); os.getpid()", seed=21)
        assert other.succeeded
        code = f"""
            {textwrap.indent(SYSCALL, " " * 12).strip()}
            found = []
            for pid in range(1, 400):
                for said in (call({number("kill")}, pid, 0), call({number("tgkill")}, pid, pid, 0)):
                    if pid != os.getpid() and said != "EPERM":
                        found.append((pid, said))
            found
        """
        assert run(sandbox, textwrap.dedent(code), seed=22).text in ("[]\n",)

    def test_go_on_while_one_cell_does_its_worst(self, sandbox: Sandbox, start: PythonState) -> None:
        code = f"""
            {textwrap.indent(SYSCALL, " " * 12).strip()}
            import threading
            def flood():
                while True: call({number("kill")}, 1, 0)
            for _ in range(8): threading.Thread(target=flood, daemon=True).start()
            while True: open("f", "w").write("x" * 1000)
        """
        worst = threading.Thread(target=lambda: run(sandbox, textwrap.dedent(code), seed=31))
        worst.start()
        texts = [run(sandbox, f"x + {n}", after=start).text for n in range(5)]
        worst.join()
        assert texts == [f"{41 + n}\n" for n in range(5)]


class TestReports:
    @pytest.mark.parametrize(
        "figures",
        [
            "[[1,1]]*9",
            "[[16000000,1]]",
            "[[1,16000000]]",
            "[[0,5]]",
            "[[True,1]]",
            "[[1e9,1]]",
            "[[2000,2000]]",
            "[{}]",
        ],
    )
    def test_of_figures_that_no_cell_can_have_end_it(self, sandbox: Sandbox, start: PythonState, figures: str) -> None:
        code = f"""
            import json, os, struct, time
            text = json.dumps({{"succeeded": True, "figures": {figures}}}).encode()
            os.write(200, struct.pack("!II", len(text), 27) + text + bytes(27))
            time.sleep(5)
        """
        assert run(sandbox, code, after=start).status is Status.DIED
