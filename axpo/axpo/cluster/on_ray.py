"""Defines `RayCluster`: workers as actors of Ray, and weights in its object store."""

from __future__ import annotations

import math
import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from axpo.cluster._amounts import amounts
from axpo.cluster._entrance import Entrance
from axpo.settings._ray import RayConfig, WorkersConfig
from axpo.settings.config import ConfigError
from axpo_envs.outposts import Post, WorkerLost, Workforce
from axpo_envs.plumbing.extras import requiring

with requiring("ray", "ray.address"):
    import ray
    from ray.exceptions import GetTimeoutError, RayError

if TYPE_CHECKING:
    # Workers of the environment import this module, and need no torch.
    from axpo.cluster._weights import Parcel

LOCAL: Final = "local"
"""A cluster of this machine, for the run alone."""
AUTO: Final = "auto"
"""The cluster that this machine is part of."""
AUTH_MODE: Final = "RAY_AUTH_MODE"
"""The environment variable that says whether a cluster asks for a token."""
_REACHED_S: Final = 10.0
"""Seconds in which a cluster must answer."""


class RayShelf:
    """Weights in Ray's object store, which each node fetches once, and whose workers read them without a copy."""

    def put(self, parcel: Parcel) -> Any:
        """See `Shelf`."""
        return ray.put(parcel)

    def get(self, key: Any) -> Any:
        """See `Shelf`."""
        return ray.get(key)


class _RayPost(Post):
    """A post that tells where it is."""

    def process(self) -> tuple[str, int]:
        """Its node, and the number of its process."""
        return ray.get_runtime_context().get_node_id(), os.getpid()


class RayWorker:
    """A worker process of Ray's; Ray starts none in its place, and repeats no call.

    Args:
        ordered: what its object is made of, in Ray's object store.
        options: what it takes of the cluster, and how many calls at a time it answers.
        timeout_s: when it is given up.
    """

    def __init__(self, ordered: Any, options: Mapping[str, Any], timeout_s: float) -> None:
        once: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._actor: Any = ray.remote(_RayPost).options(**once, **options).remote(ordered)
        # Asked for first, so that it is known before there is work to do.
        self._process = self._actor.process.remote()
        self._timeout_s = timeout_s

    def process(self) -> tuple[str, int]:
        """The node that it runs on, and the number of its process there; waits until it is there.

        Raises:
            WorkerLost: it is gone.
        """
        return self._got(self._process)  # type: ignore[no-any-return]

    def ask(self, method: str, *given: Any) -> bytes:
        """See `Worker`."""
        return self._got(self._actor.answer.remote(method, *given))  # type: ignore[no-any-return]

    def _got(self, promised: Any) -> Any:
        try:
            return ray.get(promised, timeout=self._timeout_s)
        except GetTimeoutError as error:
            raise WorkerLost(f"a worker did not answer within {self._timeout_s:g} s and is given up") from error
        except RayError as error:
            raise WorkerLost(f"a worker was lost ({type(error).__name__})") from error

    def end(self) -> None:
        """See `Worker`."""
        with suppress(RayError):
            ray.kill(self._actor)


class RayCluster:
    """A cluster that this process is connected to.

    Args:
        config: the run's settings.
    """

    def __init__(self, config: RayConfig) -> None:
        self._config = config

    def entrance(self) -> Entrance:
        """How other processes reach it."""
        if self._config.address != LOCAL:
            return Entrance(address=str(self._config.address))
        address = ray.get_runtime_context().gcs_address
        # Ray asks for a token at a cluster that it starts, and lets this process alone know that it does.
        mode = os.environ.get(AUTH_MODE)
        return Entrance(address=str(address), environment={} if mode is None else {AUTH_MODE: mode})

    def hired(self, ordered: Any, options: Mapping[str, Any]) -> RayWorker:
        """Starts a worker.

        Args:
            ordered: what its object is made of, in the object store.
            options: what it takes of the cluster.
        """
        return RayWorker(ordered, options, self._config.timeout_s)

    def workforce(self, kind: str, ordered: bytes, wanted: WorkersConfig, *, calls: int = 1) -> Workforce:
        """Starts workers, and waits until each has answered.

        Args:
            kind: name of their settings, `environments` or `rollouts`.
            ordered: what their object is made of.
            wanted: how many, and what each takes.
            calls: how many calls at a time each answers.

        Raises:
            ConfigError: the cluster did not start them in time.
            Exception: what making the object raised.
        """
        options = {
            "num_cpus": wanted.num_cpus,
            "num_gpus": wanted.num_gpus,
            "resources": amounts(kind, wanted),
            "max_concurrency": calls,
        }
        kept = ray.put(ordered)
        workers = Workforce(lambda: self.hired(kept, options), wanted.workers)
        try:
            self._start(kind, workers, options)
        except BaseException:
            workers.end()
            raise
        return workers

    def _start(self, kind: str, workers: Workforce, options: Mapping[str, Any]) -> None:
        late = workers.start("ready", within_s=self._config.start_s)
        if late:
            asked = {name: value for name, value in options.items() if name != "max_concurrency" and value}
            raise ConfigError(
                f"ray.{kind}: expected {workers.seats} workers with {asked} each within {self._config.start_s:g} s "
                f"(ray.start_s); {late} did not start. The cluster has {ray.cluster_resources()}, of which free: "
                f"{ray.available_resources()}"
            )


@contextmanager
def connected(config: RayConfig) -> Iterator[RayCluster]:
    """The cluster of the settings; a connection that was there is used, and stays.

    Raises:
        ConfigError: there is no such cluster.
    """
    if ray.is_initialized():
        yield RayCluster(config)
        return
    _check_reachable(str(config.address))
    # Nothing is told to others of what a user runs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if config.address == LOCAL:
        options |= _of_this_machine(config)
    try:
        ray.init(address=config.address, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise ConfigError(f"ray.address: expected a cluster at {config.address!r}; {error}") from error
    try:
        yield RayCluster(config)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Holds an address to somebody listening there: Ray itself would try for minutes.

    Raises:
        ConfigError: it is none, or nobody does.
    """
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"ray.address: expected {LOCAL}, {AUTO}, HOST:PORT or ray://HOST:PORT; got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=_REACHED_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"ray.address: expected a cluster at {address!r}; {error}") from error


def _of_this_machine(config: RayConfig) -> dict[str, Any]:
    """A cluster that has what the workers take: on one machine Ray's counts keep nobody from sharing CPUs."""
    needed, own = 0.0, Counter[str]()
    for name, kind in (("rollouts", config.rollouts), ("environments", config.environments)):
        needed += kind.workers * kind.num_cpus
        for resource, amount in amounts(name, kind).items():
            own[resource] += kind.workers * amount  # type: ignore[assignment]  # counts of resources may be fractions
    return {"num_cpus": max(os.cpu_count() or 1, math.ceil(needed)), "resources": own, "include_dashboard": False}
