"""Defines which paths sandboxed code may read: this Python installation and the shared libraries that it needs."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import Final

_SYSTEM: Final = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/usr/share/zoneinfo"),
)
_OWN: Final = ("axpo", "axpo_agents", "axpo_benchmarks", "axpo_envs")


def readable_paths() -> tuple[Path, ...]:
    """The folders of libraries and modules; what `sys.path` was given besides is not among them."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    paths = {Path(prefix) / name for prefix in prefixes for name in ("lib", "lib64")}
    paths |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    paths |= {*_module_folders(), *map(Path, _SYSTEM)}
    return tuple(sorted(path for path in paths if os.access(path, os.R_OK)))


def hidden_paths() -> tuple[Path, ...]:
    """The folders of this project's own packages: code that reads them could read answers."""
    folders = {Path(__file__).parents[3], *_module_folders()}
    paths = (folder / name for folder in folders for name in _OWN)
    return tuple(sorted(path for path in paths if os.access(path, os.F_OK)))


def _module_folders() -> set[Path]:
    """Where installed packages lie."""
    folders = {*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    return set(map(Path, folders))
