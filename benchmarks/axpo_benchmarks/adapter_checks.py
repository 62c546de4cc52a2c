"""Runs the checks of the adapters against real libraries, each installed into a temporary environment beside this one.

What is installed here stays as it is: the new environment sees it, and holds what the library wants otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo.settings.config import ConfigError
from axpo_benchmarks.machine import provenance
from axpo_envs.plumbing.whole_files import write_whole

_RESULTS: Final = Path(__file__).parent / "results" / "adapters.json"
_VERSIONS: Final = (
    "import json, sys; from importlib.metadata import version; "
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library with checks in `axpo_benchmarks.adapters`."""

    requirement: str = ""
    """What pip installs, with its dependencies; nothing where no index has the library, which then is a checkout."""
    alone: tuple[str, ...] = ()
    """What pip installs without dependencies: libraries that would bring CUDA, or another torch or transformers."""
    checks: str
    """The module with its checks."""
    shown: tuple[str, ...]
    """Packages whose versions are recorded."""


LIBRARIES: Final = {
    "openenv-core": Library(
        requirement="openenv-core==0.3.0", checks="openenv", shown=("openenv-core", "fastmcp", "pillow")
    ),
    "openenv": Library(requirement="openenv==0.10.0", checks="openenv", shown=("openenv", "fastmcp", "pillow")),
    "skyrl-gym": Library(requirement="skyrl-gym==0.4.0", checks="skyrl_gym", shown=("skyrl-gym",)),
    "inspect_ai": Library(requirement="inspect_ai==0.3.285", checks="inspect_ai", shown=("inspect_ai",)),
    "verifiers": Library(requirement="verifiers==0.4.0", checks="verifiers", shown=("verifiers", "mcp", "openai")),
    "verl": Library(
        requirement=(
            "ray>=2.41 tensordict>=0.8,<=0.10,!=0.9.0 hydra-core codetiming dill pylatexenc torchdata cachetools "
            "fastapi IPython"
        ),
        alone=("verl==0.9.1",),
        checks="verl",
        shown=("verl", "ray", "tensordict", "transformers", "torch"),
    ),
    "rllm": Library(checks="rllm", shown=("rllm",)),
}
"""By the names of their distributions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptersConfig:
    """Check the adapters against the real libraries, in temporary environments (downloads from the package index)."""

    libraries: tuple[str, ...] = tuple(name for name, library in LIBRARIES.items() if library.requirement)
    """Which ones: openenv-core, openenv, skyrl-gym, inspect_ai, verifiers, verl; rllm with a checkout."""
    checkout: Path | None = None
    """The folder of rLLM's repository, which no package index has; its outcome is kept by version."""
    json: Path = _RESULTS
    """Where the outcome is written; that of other libraries there stays."""
    timeout_s: int = 1800
    """Seconds that a library may take."""


def run_adapters(config: AdaptersConfig) -> int:
    """Checks them one after another; returns 0 if every check passed.

    Raises:
        ConfigError: there is no such library, or no checkout of it.
    """
    sources = {name: _source(name, config.checkout) for name in config.libraries}
    found = json.loads(config.json.read_text(encoding="utf-8"))["libraries"] if config.json.exists() else {}
    passed = True
    for name in config.libraries:
        library = LIBRARIES[name]
        outcome = _checked(library, sources[name], config.timeout_s)
        made = provenance()
        place = name if library.requirement else f"{name} {outcome['versions'][name]}"
        found[place] = {"command": made["command"], "date": made["date"], **outcome}
        passed = passed and bool(outcome["checks"]) and all(check["passed"] for check in outcome["checks"])
        write_whole(config.json, json.dumps({**made, "libraries": found}, indent=1).encode() + b"\n")
        for check in outcome["checks"]:
            print(f"{name}: {'passed' if check['passed'] else 'FAILED'} {check['check']}")
    return 0 if passed else 1


def _source(name: str, checkout: Path | None) -> tuple[str, ...]:
    """What pip installs of a library, with its dependencies."""
    if name not in LIBRARIES:
        raise ConfigError(f"libraries: expected some of {', '.join(LIBRARIES)}; got {name!r}")
    if requirement := LIBRARIES[name].requirement:
        return tuple(requirement.split())
    if checkout is None or not (checkout / "pyproject.toml").exists():
        raise ConfigError(f"checkout: expected the folder of {name}'s repository, for no index has it; got {checkout}")
    return (str(checkout.resolve()),)


def _checked(library: Library, source: tuple[str, ...], timeout_s: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="axpo-adapters-") as folder:
        python = _environment(Path(folder) / "venv")
        began = time.monotonic()
        for options, packages in (((), source), (("--no-deps",), library.alone)):
            if packages:
                command = [python, "-m", "pip", "install", "--quiet", *options, *packages]
                subprocess.run(command, check=True, timeout=timeout_s)
        seconds = time.monotonic() - began
        outcomes = Path(folder) / "outcomes.json"
        command = [python, "-m", "axpo_benchmarks.adapters", library.checks, str(outcomes)]
        subprocess.run(command, check=False, timeout=timeout_s, cwd=folder)
        told = subprocess.run([python, "-c", _VERSIONS, *library.shown], check=True, capture_output=True, text=True)
        return {
            "versions": json.loads(told.stdout),
            "installed_in_s": round(seconds),
            "checks": json.loads(outcomes.read_text(encoding="utf-8")) if outcomes.exists() else [],
        }


def _environment(folder: Path) -> str:
    """A new environment that sees the packages of this one behind its own; the path of its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    seen = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(own) / "axpo_beneath.pth").write_text(seen, encoding="utf-8")
    return str(python)
