"""The sandbox behind the `python` tool: which isolation it takes, what it cleans up, and its parts."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import axpo_envs
from axpo_envs.backends.python_sandbox.host import Outcome, Sandbox
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import BranchingKind, Isolation
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.errors import EnvConfigError, InfrastructureFault

LIMITS = SandboxLimits(wall_s=20.0, memory_mb=128)


def sandbox_of(**settings: object) -> Sandbox:
    return Sandbox(LIMITS, SandboxSettings(**{"preload": (), **settings}))


def run(sandbox: Sandbox, *cells: str, state: PythonState | None = None) -> Outcome:
    """Executes cells one after the other; returns what came of the last."""
    for cell in cells:
        outcome = sandbox.run(state or PythonState(), cell, seed=1)
        state = outcome.state
    return outcome


def launcher_of(sandbox: Sandbox) -> int:
    started = sandbox._started
    assert started is not None
    return started._process.pid


def members(session: int, *, at_rest: bool = False) -> list[int]:
    """The processes of a sandbox, which are a session in the sense of setsid; or its interpreters at rest only."""
    states = processes(session)
    return sorted(number for number, state in states.items() if (state == "t" if at_rest else state != "Z"))


def zombies(session: int) -> list[int]:
    return [number for number, state in processes(session).items() if state == "Z"]


def processes(session: int) -> dict[int, str]:
    """The state of each of a sandbox's processes, as /proc tells it."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found[int(entry.name)] = fields[0]
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute."""
    deadline = time.monotonic() + 8.0
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class TestIsolation:
    def test_refuses_to_go_without(self) -> None:
        with pytest.raises(EnvConfigError, match="allow_unsandboxed=True executes code with all rights"):
            sandbox_of(isolation=Isolation.NONE)

    def test_goes_without_when_told_to_and_says_so(self) -> None:
        settings = SandboxSettings(isolation=Isolation.NONE, preload=())
        sandbox = Sandbox(LIMITS, settings, allow_unsandboxed=True)
        assert sandbox.report.mechanisms == ("resource limits",)
        assert sandbox.report.branching is BranchingKind.REPLAY
        state = run(sandbox, "x = 1; open('f', 'w').write('a');").state
        branches = [
            run(sandbox, f"x += {n}; open('f', 'a').write('{n}');", "x, open('f').read()", state=state) for n in (1, 2)
        ]
        assert [branch.text for branch in branches] == ["(2, 'a1')\n", "(3, 'a2')\n"]
        sandbox.close()

    def test_of_the_wish_that_cannot_be_met_the_reason_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EnvConfigError, match="bubblewrap: there is no program bwrap on the PATH"):
            sandbox_of(isolation=Isolation.BUBBLEWRAP)
        (tmp_path / "bwrap").write_text("#!/bin/sh\necho No permissions to create a new namespace >&2\nexit 1\n")
        (tmp_path / "bwrap").chmod(0o755)
        with pytest.raises(EnvConfigError, match="bubblewrap: No permissions to create a new namespace"):
            sandbox_of(isolation=Isolation.BUBBLEWRAP)

    @pytest.mark.parametrize("allowed", [False, True])
    def test_needs_linux_and_says_so_at_once(self, monkeypatch: pytest.MonkeyPatch, allowed: bool) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(EnvConfigError, match="the Python sandbox needs Linux; this is darwin"):
            Sandbox(LIMITS, SandboxSettings(), allow_unsandboxed=allowed)

    def test_what_was_chosen_is_logged_and_no_isolation_is_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="axpo_envs.backends.python_sandbox.host")
        sandboxed = sandbox_of()
        settings = SandboxSettings(isolation=Isolation.NONE, preload=())
        unsandboxed = Sandbox(LIMITS, settings, allow_unsandboxed=True)
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("INFO", f"Python sandbox: {sandboxed.report}"),
            ("WARNING", "Python sandbox: none (resource limits); branches by replay"),
        ]
        sandboxed.close()
        unsandboxed.close()

    def test_goes_down_the_ladder_where_namespaces_are_forbidden(self) -> None:
        code = """
            import os, pathlib
            from axpo_envs.backends.python_sandbox import _kernel as kernel
            from axpo_envs.backends.python_sandbox.host import Sandbox
            from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
            try:
                user = os.geteuid()
                kernel.unshare(kernel.Namespaces.USER)
                # Root leaves for another user, who must exist there.
                pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} {65536 if user == 0 else 1}")
                if user == 0:
                    pathlib.Path("/proc/self/gid_map").write_text("0 0 65536")
                pathlib.Path("/proc/sys/user/max_user_namespaces").write_text("0")
            except OSError:
                pass  # They are forbidden already.
            print(Sandbox(SandboxLimits(), SandboxSettings(preload=())).report)
        """
        # A process with threads (those of numpy's library, say) may not enter a user namespace.
        environment = {"PATH": "/nowhere", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        assert said.startswith("landlock (")
        assert "branches by replay; namespaces: unshare: " in said

    def test_forks_show_what_replays_show(self) -> None:
        by_fork, by_replay = (sandbox_of(isolation=isolation, live=4) for isolation in (None, Isolation.LANDLOCK))
        source = random.Random(4)
        cells = (
            "x = globals().get('x', 1) * 3 + {n}; x",
            "open('f', 'a').write('{n}'); open('f').read()",
            "1 / ({n} % 3)",
        )
        states = [(PythonState(), PythonState())]
        for _ in range(25):
            pair = source.choice(states)
            cell = source.choice(cells).format(n=source.randrange(9))
            forked, replayed = run(by_fork, cell, state=pair[0]), run(by_replay, cell, state=pair[1])
            assert forked.text == replayed.text
            assert forked.state == replayed.state
            states.append((forked.state, replayed.state))
        by_fork.close()
        by_replay.close()


class TestSettings:
    @pytest.mark.parametrize(
        ("limits", "problem"),
        [
            ({"wall_s": 0}, "wall_s must be a positive number; got 0"),
            ({"cpu_s": float("nan")}, "cpu_s must be a positive number; got nan"),
            ({"wall_s": "10"}, "wall_s must be a positive number; got '10'"),
            ({"memory_mb": 0}, "memory_mb must be a whole number, at least 1; got 0"),
            ({"scratch_mb": 0.5}, "scratch_mb must be a whole number, at least 1; got 0.5"),
            ({"processes": -1}, "processes must be a whole number, at least 0; got -1"),
            ({"output_bytes": 1 << 20}, "output_bytes must be at most 500000; got 1048576"),
            ({"figures": 100}, r"figures \* figure_pixels must be at most 100000000; got 100 \* 2000000"),
        ],
    )
    def test_limits_are_checked(self, limits: dict[str, Any], problem: str) -> None:
        with pytest.raises(EnvConfigError, match=problem):
            SandboxLimits(**limits)

    def test_the_longest_output_is_shown(self) -> None:
        limits = SandboxLimits(output_bytes=500_000)
        sandbox = Sandbox(limits, SandboxSettings(preload=()))
        # As JSON, a byte that is no character takes six.
        assert len(run(sandbox, "import os; os.write(1, b'\\xff' * 499_000);").text) == 499_000
        sandbox.close()

    def test_numbers_and_paths_are_checked(self) -> None:
        with pytest.raises(EnvConfigError, match="at least 1"):
            SandboxSettings(live=0)
        with pytest.raises(EnvConfigError, match="absolute paths that exist; got data"):
            SandboxSettings(readable=(Path("data"),))
        with pytest.raises(EnvConfigError, match="preload and readable must be tuples; got 'numpy'"):
            sandbox_of(preload="numpy")
        with pytest.raises(
            EnvConfigError, match="isolation must be one of bubblewrap, namespaces, landlock, engine, none, or"
        ):
            sandbox_of(isolation="docker")

    @pytest.mark.parametrize("isolation", [None, Isolation.LANDLOCK])
    def test_readable_folders_can_be_read_and_not_written(self, tmp_path: Path, isolation: Isolation | None) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "table").write_text("1 2 3")
        (tmp_path / "other").write_text("4 5 6")
        sandbox = sandbox_of(readable=(tmp_path / "data",), isolation=isolation)
        read = f"open({str(tmp_path / 'data' / 'table')!r}"
        assert run(sandbox, f"{read}).read()").text == "'1 2 3'\n"
        assert "Error" in run(sandbox, f"{read}, 'a')").text
        assert "Error" in run(sandbox, f"open({str(tmp_path / 'other')!r})").text
        sandbox.close()

    @pytest.mark.parametrize("isolation", [None, Isolation.LANDLOCK])
    def test_this_project_is_hidden_where_it_is_installed_too(self, isolation: Isolation | None) -> None:
        installed = Path(axpo_envs.__file__).parents[1]
        sandbox = sandbox_of(readable=(installed,), isolation=isolation)
        code = f"import sys; sys.path.insert(0, {str(installed)!r})\nimport axpo_envs.questions.sources"
        assert run(sandbox, code).text.splitlines()[-1].partition(":")[0] in ("ModuleNotFoundError", "PermissionError")
        sandbox.close()

    def test_modules_that_are_not_installed_are_left_out(self) -> None:
        sandbox = sandbox_of(preload=("no_such_module", "json"))
        assert sandbox.report.missing == ("no_such_module",)
        assert str(sandbox.report).endswith("; not installed: no_such_module")
        assert run(sandbox, "import sys; 'json' in sys.modules").text == "True\n"
        assert run(sandbox, "import no_such_module").text.endswith("No module named 'no_such_module'\n")
        sandbox.close()

    def test_a_module_that_cannot_be_imported_is_a_mistake_of_the_settings(self) -> None:
        with pytest.raises(EnvConfigError, match="cannot be imported in the Python sandbox: ImportError: win32"):
            sandbox_of(preload=("asyncio.windows_events",))


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder like /tmp: of what root has left to another user, only that user is left to clean up."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


class TestEnd:
    def test_closing_ends_every_process(self) -> None:
        sandbox = sandbox_of()
        state = run(sandbox, "x = 1").state
        run(sandbox, "x", state=state)
        session = launcher_of(sandbox)
        assert len(members(session)) >= 4
        sandbox.close()
        assert eventually(lambda: not members(session))

    def test_an_unreachable_sandbox_ends(self) -> None:
        sandbox = sandbox_of()
        session = launcher_of(sandbox)
        run(sandbox, "x = 1")
        del sandbox
        gc.collect()
        assert eventually(lambda: not members(session))

    @pytest.mark.parametrize("isolation", [None, Isolation.LANDLOCK])
    def test_killing_the_host_ends_every_process(self, isolation: Isolation | None, shared_folder: Path) -> None:
        code = """
            import sys, threading, time
            from axpo_envs.backends.python_sandbox.host import Sandbox
            from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
            from axpo_envs.backends.python_sandbox.state import PythonState
            from axpo_envs.backends.python_sandbox.report import Isolation
            isolation = Isolation(sys.argv[1]) if sys.argv[1] else None
            sandbox = Sandbox(SandboxLimits(wall_s=60, processes=5), SandboxSettings(preload=(), isolation=isolation))
            state = sandbox.run(PythonState(), "import os, time", seed=1).state
            endless = "for i in range(2):\\n    os.fork()\\nos.write(1, b'x')\\nwhile True: time.sleep(1)"
            threading.Thread(target=lambda: sandbox.run(state, endless, seed=1), daemon=True).start()
            time.sleep(0.3)
            print(sandbox._started._process.pid, flush=True)
            time.sleep(60)
        """
        command = [sys.executable, "-c", textwrap.dedent(code), isolation or ""]
        environment = {**os.environ, "TMPDIR": str(shared_folder)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as host:
            assert host.stdout is not None
            session = int(host.stdout.readline())
            assert len(members(session)) >= 4
            host.kill()
        assert eventually(lambda: not members(session))
        assert eventually(lambda: not any(shared_folder.iterdir()))

    @pytest.mark.parametrize("isolation", [None, Isolation.LANDLOCK])
    def test_processes_end_with_the_cell_that_started_them(self, isolation: Isolation | None) -> None:
        limits = SandboxLimits(processes=3, memory_mb=128)
        sandbox = Sandbox(limits, SandboxSettings(preload=(), isolation=isolation))
        code = """
            import os, time
            x = 1
            for _ in range(3):
                if not os.fork():
                    time.sleep(60)
            try:
                os.fork()
            except BlockingIOError as error:
                print(type(error).__name__)
        """
        session = launcher_of(sandbox)
        run(sandbox, "1")
        assert eventually(lambda: len(members(session, at_rest=True)) == 1)
        before = len(members(session))
        outcome = run(sandbox, textwrap.dedent(code))
        assert outcome.text == "BlockingIOError\n"
        # The interpreter before the cell stays, to branch from; whatever was still ending earlier may be gone.
        assert eventually(lambda: len(members(session)) <= before + 1)
        assert run(sandbox, "x + 1", state=outcome.state).text == "2\n"
        assert eventually(lambda: not zombies(session))
        sandbox.close()

    def test_dropped_states_free_their_interpreters(self) -> None:
        sandbox = sandbox_of()
        states = [run(sandbox, f"x = {number}").state for number in range(5)]
        same = [run(sandbox, f"x = {number}").state for number in range(5)]
        session = launcher_of(sandbox)
        first_and_five = 6
        assert eventually(lambda: len(members(session, at_rest=True)) == first_and_five)
        del states
        gc.collect()
        assert run(sandbox, "x", state=same[3]).text == "3\n"
        assert eventually(lambda: len(members(session, at_rest=True)) == first_and_five)
        del same
        gc.collect()
        assert eventually(lambda: len(members(session, at_rest=True)) == 1)
        sandbox.close()

    def test_interpreters_at_rest_are_bounded(self) -> None:
        sandbox = sandbox_of(live=3)
        states = [run(sandbox, f"x = {number}").state for number in range(8)]
        session = launcher_of(sandbox)
        assert eventually(lambda: len(members(session, at_rest=True)) == 1 + 3)
        assert [run(sandbox, "x", state=state).text for state in states] == [f"{number}\n" for number in range(8)]
        sandbox.close()

    @pytest.mark.parametrize("victim", ["all", "first"])
    def test_a_killed_sandbox_is_a_fault_and_the_next_call_starts_anew(self, victim: str) -> None:
        sandbox = sandbox_of()
        state = run(sandbox, "x = 5").state
        session = launcher_of(sandbox)
        assert eventually(lambda: len(members(session, at_rest=True)) == 2)
        if victim == "first":
            os.kill(members(session, at_rest=True)[0], signal.SIGKILL)
        else:
            os.killpg(session, signal.SIGKILL)
        # What is left where a family ends alone is the process that forks others.
        assert eventually(lambda: not members(session, at_rest=True))
        assert victim == "first" or eventually(lambda: not members(session))
        with pytest.raises(InfrastructureFault, match="does not answer"):
            run(sandbox, "x", state=state)
        assert run(sandbox, "x", state=state).text == "5\n"
        sandbox.close()

    def test_a_forked_host_starts_its_own(self) -> None:
        code = """
            import os
            from axpo_envs.backends.python_sandbox.host import Sandbox
            from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
            from axpo_envs.backends.python_sandbox.state import PythonState
            sandbox = Sandbox(SandboxLimits(), SandboxSettings(preload=()))
            state = sandbox.run(PythonState(), "x = 1", seed=1).state
            child = os.fork()
            text = sandbox.run(state, "x += 1; x", seed=1).text
            if child:
                assert os.waitpid(child, 0)[1] == 0
                print(text, sandbox.run(state, "x", seed=1).text, end="")
            sandbox.close()
            if not child:
                os._exit(0 if text == "2\\n" else 1)
        """
        said = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
        assert said.stdout == "2\n 1\n"

    def test_statuses_are_what_the_warden_says(self) -> None:
        sandbox = sandbox_of()
        assert run(sandbox, "1").status is Status.DONE
        assert run(sandbox, "import os; os._exit(7)").note == "it exited with code 7"
        sandbox.close()
