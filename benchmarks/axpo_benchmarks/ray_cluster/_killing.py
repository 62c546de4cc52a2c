"""Defines `Killer`, which kills workers that have something to do, and the cluster that tells it of them."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import ray

from axpo.cluster.on_ray import RayCluster, RayWorker
from axpo.settings.config import RayConfig
from axpo_envs.outposts import WorkerLost


class WatchedWorker(RayWorker):
    """A worker that is known to be at work, or not.

    Args:
        kind: `environments` or `rollouts`.
        given: see `RayWorker`.
    """

    def __init__(self, kind: str, *given: Any) -> None:
        super().__init__(*given)
        self.kind = kind
        self.killed = False
        self._under_way = 0

    def ask(self, method: str, *given: Any) -> bytes:
        """See `Worker`."""
        self._under_way += method != "ready"
        try:
            return super().ask(method, *given)
        finally:
            self._under_way -= method != "ready"

    def at_work(self) -> bool:
        """Whether it runs, and is in the middle of a call."""
        return self._under_way > 0 and not self.killed and bool(ray.wait([self._process], timeout=0)[0])


class WatchedCluster(RayCluster):
    """A cluster whose workers are known.

    Args:
        config: its settings.
    """

    def __init__(self, config: RayConfig) -> None:
        super().__init__(config)
        self.workers: list[WatchedWorker] = []

    def hired(self, ordered: Any, options: Mapping[str, Any]) -> RayWorker:
        """See `RayCluster`."""
        kind = "rollouts" if options["max_concurrency"] == 1 else "environments"
        worker = WatchedWorker(kind, ordered, options, self._config.timeout_s)
        self.workers.append(worker)
        return worker


class Killer:
    """Kills workers in the middle of calls, from a thread, within a `with` block.

    Args:
        cluster: the workers.
        kills: how many.
        seed: of the moments and the choice.
    """

    def __init__(self, cluster: WatchedCluster, kills: int, seed: int) -> None:
        self._cluster, self._kills = cluster, kills
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.killed = Counter[str]()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Whether all were made."""
        return self.killed.total() >= self._kills

    def _work(self) -> None:
        while not self._ended.is_set() and not self.done:
            self._ended.wait(self._random.uniform(0.0, 0.5))
            # Most moments are those of workers that sample.
            kind = self._random.choices(["rollouts", "environments"], weights=[1, 2])[0]
            while not self._ended.is_set() and not self._kill_one(kind):
                time.sleep(0.002)

    def _kill_one(self, kind: str) -> bool:
        working = [worker for worker in self._cluster.workers if worker.kind == kind and worker.at_work()]
        if not working:
            return False
        worker = self._random.choice(working)
        try:
            _, process = worker.process()
        except WorkerLost:
            return False
        # Somewhere within the call.
        time.sleep(self._random.uniform(0.0, 0.05))
        worker.killed = True
        os.kill(process, signal.SIGKILL)
        self.killed[kind] += 1
        print(f"killed {self.killed.total()} of {self._kills}: {kind}", flush=True)
        return True
