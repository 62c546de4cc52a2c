"""Defines `axpo-bench attacks`: random system calls and file trees in the Python sandbox, and what must stay.

Every round is a cell that does random things, then branches of what it left. Beside it live a sibling, of the same
episode, and a stranger, of another: each holds a variable and a file. What is found is told with the round's seed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import tyro

from axpo.settings.config import ConfigError
from axpo_envs import InfrastructureFault
from axpo_envs.backends.python_sandbox.host import Outcome, Sandbox
from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.protocol import Status
from axpo_envs.backends.python_sandbox.report import BranchingKind, Isolation
from axpo_envs.backends.python_sandbox.start import available_isolations
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.backends.python_sandbox.syscalls import NUMBERS, architecture

_LIMITS: Final = SandboxLimits(wall_s=2.0, cpu_s=2.0, memory_mb=128, scratch_mb=4, threads=4, processes=2)
_SLOW_S: Final = 30.0
"""A call that takes longer, on however busy a machine, has been waited for without a limit."""
_CALLER: Final = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(bytes(range(256)) * 16, 4096)
at = ctypes.addressof(buffer)
def call(number, *arguments):
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(at + a[0] if isinstance(a, tuple) else a) for a in arguments])
"""
_VALUES: Final = (0, 1, 2, 3, 5, 8, 17, 19, 200, 255, 4096, -1, -100, 1 << 31, (1 << 63) - 1, 0x10000000, 0x7E020000)
_OWN: Final = frozenset({"exit", "exit_group", "read", "write", "close", "close_range", "pause", "rt_sigreturn"})
"""Calls that would do no more than end or confuse the cell itself."""
_TREE: Final = (
    "os.mkdir(name())",
    "open(name(), 'w').write('x' * source.randrange(9000))",
    "open(name(), 'wb').truncate(source.randrange(6 << 20))",
    "os.link(name(), name())",
    "os.symlink(source.choice(['/', '..', '/proc/self/fd', 'a/b', name()]), name())",
    "os.rename(name(), name())",
    "os.chmod(name(), source.choice([0, 0o111, 0o444, 0o777]))",
    "os.chdir(name())",
    "os.chdir('/scratch')",
    "kept.append(open(name(), source.choice(['r', 'r+', 'w', 'a'])))",
    "os.remove(name())",
    "os.mkfifo(name())",
    "os.truncate(name(), source.randrange(1 << 20))",
)
_LOOK: Final = """
import hashlib, os
found = []
for folder, folders, files in os.walk("."):
    folders.sort()
    for name in sorted(files):
        path = os.path.join(folder, name)
        status = os.lstat(path)
        found.append((path, status.st_mode, status.st_size, status.st_nlink))
print(hashlib.sha256(repr(found).encode("utf-8", "surrogateescape")).hexdigest())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttacksConfig:
    """What to try, and for how long.

    Raises:
        ConfigError: no time is given, or an isolation that does not exist.
    """

    minutes: Annotated[float, tyro.conf.arg(help="how long each isolation is attacked")] = 10.0
    seed: Annotated[int, tyro.conf.arg(help="seed of the first round; each later one has the next")] = 0
    isolations: Annotated[tuple[str, ...], tyro.conf.arg(help="what to attack; all that can be had here")] = ()

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise ConfigError(f"minutes must be positive; got {self.minutes}")
        if unknown := sorted(set(self.isolations) - set(Isolation)):
            raise ConfigError(f"isolations must be of {', '.join(Isolation)}; got {unknown[0]!r}")


def run_attacks(config: AttacksConfig) -> int:
    """Attacks every isolation, prints what was found, and returns 1 where something was."""
    findings = 0
    for isolation in map(Isolation, config.isolations or available_isolations()):
        deadline = time.monotonic() + 60.0 * config.minutes
        ends: Counter[str] = Counter()
        rounds = config.seed
        with _Target(isolation) as target:
            while time.monotonic() < deadline:
                for finding in target.attack(rounds, ends):
                    findings += 1
                    print(f"{isolation}: seed {rounds}: {finding}", flush=True)
                rounds += 1
        told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        print(f"{isolation}: {rounds - config.seed} rounds ({told}), {findings} findings so far", flush=True)
    return 1 if findings else 0


class _Target:
    """A sandbox under attack, with a sibling and a stranger to look after."""

    def __init__(self, isolation: Isolation) -> None:
        self._sandbox = Sandbox(_LIMITS, SandboxSettings(isolation=isolation, preload=()))
        self._sibling = self._plant(seed=1)
        self._stranger = self._plant(seed=2)

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.close()

    def attack(self, seed: int, ends: Counter[str]) -> Iterator[str]:
        """One round; yields what should not have happened.

        Args:
            seed: what the round is a function of.
            ends: counts how cells ended.
        """
        source = random.Random(seed)
        began = time.monotonic()
        try:
            left = self._sandbox.run(self._sibling, source.choice((_calls, _files))(source), seed=1)
            ends[left.status] += 1
            yield from self._compare(left)
            for name, state, planted in (("sibling", self._sibling, 1), ("stranger", self._stranger, 2)):
                text = self._sandbox.run(state, "x, open('kept').read()", seed=planted).text
                if text != f"({planted}, 'kept {planted}')\n":
                    yield f"the {name} was changed: {text[:200]!r}"
        except InfrastructureFault as fault:
            yield f"the machinery failed: {fault}"
            self._sibling, self._stranger = self._plant(seed=1), self._plant(seed=2)
        if time.monotonic() - began > _SLOW_S:
            yield f"it took {time.monotonic() - began:.0f} s"

    def _compare(self, left: Outcome) -> Iterator[str]:
        """Branches of the same moment must find the same files."""
        if left.status is not Status.DONE or self._sandbox.report.branching is not BranchingKind.FORK:
            return
        seen = {
            outcome.text
            for outcome in (self._sandbox.run(left.state, _LOOK, seed=1) for _ in range(2))
            if outcome.status is Status.DONE
        }
        if len(seen) > 1:
            yield f"two branches of one moment saw different files: {sorted(seen)}"

    def _plant(self, *, seed: int) -> PythonState:
        return self._sandbox.run(PythonState(), f"x = {seed}; open('kept', 'w').write('kept {seed}');", seed=seed).state


def _calls(source: random.Random) -> str:
    """A cell that makes random system calls, half of them ones with a name."""
    this = architecture()
    assert this is not None
    named = [numbers[this.column] for name, numbers in NUMBERS.items() if name not in _OWN]
    lines = [_CALLER]
    for _ in range(source.randrange(1, 60)):
        number = source.choice(named) if source.random() < 0.7 else source.randrange(470)
        arguments = (
            (source.randrange(4000),) if source.random() < 0.3 else source.choice(_VALUES)
            for _ in range(source.randrange(7))
        )
        if number is not None:
            lines.append(f"call({number}, {', '.join(map(repr, arguments))})")
    return "\n".join(lines)


def _files(source: random.Random) -> str:
    """A cell that does random things to its files."""
    lines = [
        "import os, random",
        f"source, kept = random.Random({source.randrange(1 << 30)}), []",
        "def name(): return '/'.join(source.choice('abcd') for _ in range(source.randrange(1, 4)))",
    ]
    for _ in range(source.randrange(1, 200)):
        lines.append(f"try: {source.choice(_TREE)}\nexcept OSError: pass")
    return "\n".join(lines)
