"""Defines `open_log`: one log for a folder in a process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from axpo_envs.governance.audit_log._writing import AuditLog, LogSettings


class _Opened:
    """The logs of this process, by folder."""

    def __init__(self) -> None:
        self.logs: dict[Path, AuditLog] = {}
        self.lock = threading.Lock()

    def renew_lock(self) -> None:
        """Another thread may have held it when the process was forked."""
        self.lock = threading.Lock()


_OPENED: Final = _Opened()


def open_log(folder: str | Path, settings: LogSettings | None = None) -> AuditLog:
    """The log of a folder, one for all environments of this process; settings are those of the first that opens it.

    Raises:
        AuditLogError: as of `AuditLog`.
    """
    path = Path(folder).expanduser().absolute()
    with _OPENED.lock:
        if path not in _OPENED.logs:
            _OPENED.logs[path] = AuditLog(path, settings)
        return _OPENED.logs[path]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPENED.renew_lock)
