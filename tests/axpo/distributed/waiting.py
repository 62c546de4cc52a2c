"""Two processes of which the second waits for the first: one that works for long, and one that falls silent."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from forked_runs import on_two

from axpo.distributed.errors import PeerLost
from axpo.distributed.joining import joined

SILENCE_S = 6.0


def waits(folder: Path) -> dict[str, Any]:
    return {"long": on_two(folder, _long), "silent": on_two(folder, _silent)}


def _long() -> list[str]:
    def work() -> str:
        time.sleep(1.3 * SILENCE_S)
        return "sampled"

    with joined("cpu", timeout_s=SILENCE_S) as ranks:
        return [ranks.first(lambda: "quick"), ranks.first(work), ranks.first(lambda: "quick")]


def _silent() -> str | None:
    with joined("cpu", timeout_s=SILENCE_S) as ranks:
        first, _ = ranks.exchange(os.getpid())
        try:
            return ranks.first(lambda: os.kill(first, signal.SIGSTOP))
        except PeerLost:
            if ranks.is_first:
                raise
            os.kill(first, signal.SIGCONT)
            return "gave up"
