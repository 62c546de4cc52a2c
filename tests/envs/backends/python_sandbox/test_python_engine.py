"""Sessions in containers of an engine, whose program is played by a script: no engine runs where tests do."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from axpo_envs.backends.python_sandbox.host import Outcome, Sandbox
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import Isolation
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.errors import EnvConfigError

LIMITS = SandboxLimits(wall_s=3.0, output_bytes=1000)
SETTINGS = SandboxSettings(isolation=Isolation.ENGINE, preload=(), engine_image="cells:1", live=4)
STAND_IN = """#!{python}
import json, os, sys, tempfile
given = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(given) + "\\n")
image = given.index("cells:1")
volumes = [word.removeprefix("--volume=").split(":") for word in given if word.startswith("--volume=")]
mounts = {{inside: outside for outside, inside, _ in volumes}}
package = os.path.dirname(mounts["/axpo/errors.py"])
os.chdir(tempfile.mkdtemp(dir={folder!r}))
os.execv({python!r}, [package if word == "/axpo" else word for word in given[image + 1 :]])
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The arguments with which the stand-in was called, a line each."""
    log = tmp_path / "log"
    program = tmp_path / "docker"
    program.write_text(STAND_IN.format(python=sys.executable, log=str(log), folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return log


@pytest.fixture
def sandbox(log: Path) -> Iterator[Sandbox]:
    del log
    sandbox = Sandbox(LIMITS, SETTINGS)
    yield sandbox
    sandbox.close()


def run(sandbox: Sandbox, code: str, *, after: PythonState | None = None) -> Outcome:
    return sandbox.run(after or PythonState(), textwrap.dedent(code), seed=3)


def test_a_session_goes_on_and_branches_by_replay(sandbox: Sandbox) -> None:
    first = run(sandbox, "import random; x = [random.random()]; open('f', 'w').write('a'); print('made')")
    assert first.text == "made\n"
    seen = [run(sandbox, f"x.append({n}); len(x), x[1:], open('f').read()", after=first.state).text for n in (1, 2)]
    assert seen == ["(2, [1], 'a')\n", "(2, [2], 'a')\n"]


def test_a_container_is_given_no_network_no_rights_and_the_limits(sandbox: Sandbox, log: Path) -> None:
    run(sandbox, "1")
    given = json.loads(log.read_text().splitlines()[-1])
    expected = {
        *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--runtime=runsc"),
        *("--pids-limit=80", "--memory=768m", "--user=65534:65534", "--rm"),
    }
    assert expected <= set(given)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("while True: pass", Status.TIMEOUT),
        ("import os; os._exit(3)", Status.DIED),
        (
            "import os\nfor n in range(3, 20):\n    try: os.write(n, b'\\xff' * 64)\n    except OSError: pass",
            Status.DIED,
        ),
    ],
)
def test_a_container_that_hangs_ends_or_forges_costs_its_own_call(sandbox: Sandbox, code: str, status: Status) -> None:
    first = run(sandbox, "x = 1")
    assert run(sandbox, code, after=first.state).status is status
    assert run(sandbox, "x", after=first.state).text == "1\n"


def test_long_output_and_errors_are_shown_within_bounds(sandbox: Sandbox) -> None:
    assert len(run(sandbox, "print('x' * 100_000)").text) <= LIMITS.output_bytes
    assert run(sandbox, "1 / 0").text.endswith("ZeroDivisionError: division by zero\n")


def test_what_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    with pytest.raises(EnvConfigError, match="engine_image must name an image"):
        Sandbox(LIMITS, SandboxSettings(isolation=Isolation.ENGINE, preload=()))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(EnvConfigError, match="none of the programs docker, podman is on the PATH"):
        Sandbox(LIMITS, SETTINGS)
