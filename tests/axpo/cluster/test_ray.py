"""Workers and clusters of Ray against a stand-in for its interface; Ray itself is tried by `axpo-bench ray`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from axpo.settings.config import ConfigError, RayConfig, WorkersConfig
from axpo_envs.outposts import WorkerLost, order


class RayError(Exception):
    """What Ray raises of a worker that died."""


class Actor:
    """An actor in this process; calls are made when they are asked for."""

    def __init__(self, kind: Any, ray: Any, options: dict[str, Any]) -> None:
        self.kind, self.ray, self.options_given = kind, ray, options
        self.alive = True

    def remote(self, ordered: bytes) -> Any:
        self.post = self.kind(ordered)
        self.ray.actors.append(self)
        return self

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *given: lambda: getattr(self.post, name)(*given))


class Ray(ModuleType):
    """The names that are used."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.actors: list[Actor] = []
        self.initialized = False
        self.given: dict[str, Any] = {}
        self.trouble: Exception | None = None
        self.ObjectRef = object

    def remote(self, kind: Any) -> Any:
        return SimpleNamespace(options=lambda **options: Actor(kind, self, options))

    def put(self, value: Any) -> Any:
        return value

    def get(self, promised: Any, timeout: float | None = None) -> Any:
        if self.trouble is not None:
            raise self.trouble
        return promised() if callable(promised) else promised

    def kill(self, actor: Actor) -> None:
        if not actor.alive:
            raise RayError
        actor.alive = False

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **given: Any) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.given, self.initialized = given, True

    def shutdown(self) -> None:
        self.initialized = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    available_resources = cluster_resources

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "node")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    stand_in = Ray()
    errors = ModuleType("ray.exceptions")
    errors.RayError = RayError  # type: ignore[attr-defined]
    errors.GetTimeoutError = type("GetTimeoutError", (RayError,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    monkeypatch.setitem(sys.modules, "ray.exceptions", errors)
    monkeypatch.delitem(sys.modules, "axpo.cluster.on_ray", raising=False)
    stand_in.errors = errors  # type: ignore[attr-defined]
    yield stand_in
    sys.modules.pop("axpo.cluster.on_ray", None)


def module() -> Any:
    import axpo.cluster.on_ray

    return axpo.cluster.on_ray


class Adder:
    def ready(self) -> None:
        return

    def add(self, a: int, b: int) -> int:
        return a + b


WANTED = WorkersConfig(workers=2, num_cpus=0.5, num_gpus=1.0, resources=("browsers=2",))


def test_workers_take_what_the_settings_say_and_are_neither_restarted_nor_asked_twice_by_ray(ray: Ray) -> None:
    with module().connected(RayConfig(address="auto")) as cluster:
        workers = cluster.workforce("environments", order(Adder), WANTED, calls=8)
        assert workers.ask(1, "add", 2, 3) == 5
        for actor in ray.actors:
            assert actor.options_given == {
                "num_cpus": 0.5,
                "num_gpus": 1.0,
                "resources": {"browsers": 2.0},
                "max_concurrency": 8,
                "max_restarts": 0,
                "max_task_retries": 0,
                "scheduling_strategy": "SPREAD",
            }
        workers.end()
        assert not any(actor.alive for actor in ray.actors)
        assert ray.given["address"] == "auto"
        assert "num_cpus" not in ray.given
    assert not ray.initialized


def test_what_ray_says_of_a_lost_worker_is_a_lost_worker(ray: Ray) -> None:
    with module().connected(RayConfig(address="auto", timeout_s=7.0)) as cluster:
        workers = cluster.workforce("rollouts", order(Adder), WorkersConfig(workers=1))
        assert cluster.hired(order(Adder), {}).process()[0] == "node"
        for trouble, told in ((RayError(), "RayError"), (ray.errors.GetTimeoutError(), "within 7 s")):  # type: ignore[attr-defined]
            ray.trouble = trouble
            with pytest.raises(WorkerLost, match=told):
                workers.ask(0, "add", 1, 1)
        ray.trouble = None
        assert workers.ask(0, "add", 1, 1) == 2
        assert workers.lost == 2


def test_workers_that_do_not_start_are_told_with_what_the_cluster_has(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axpo_envs.outposts import Workforce

    monkeypatch.setattr(Workforce, "start", lambda *_, **__: 2)
    with (
        module().connected(RayConfig(address="auto", start_s=9.0)) as cluster,
        pytest.raises(ConfigError, match=r"ray\.environments: expected 2 workers .*9 s.*2 did not start.*'CPU': 2\.0"),
    ):
        cluster.workforce("environments", order(Adder), WANTED)


def test_a_local_cluster_has_what_its_workers_take(ray: Ray) -> None:
    rollouts = WorkersConfig(workers=3, num_cpus=50.5, resources=("a=1", "b=2"))
    with module().connected(RayConfig(address="local", rollouts=rollouts, environments=WANTED)):
        assert ray.given["num_cpus"] == 153
        assert ray.given["resources"] == {"a": 3.0, "b": 6.0, "browsers": 4.0}


def test_a_connection_that_was_there_stays_and_one_that_cannot_be_made_is_named(ray: Ray) -> None:
    for address, told in (
        ("127.0.0.1:9", r"expected a cluster at '127\.0\.0\.1:9'; .*refused"),
        ("ray://127.0.0.1:9", "refused"),
        ("somewhere", "expected local, auto, HOST:PORT or ray://HOST:PORT; got 'somewhere'"),
    ):
        with pytest.raises(ConfigError, match=told), module().connected(RayConfig(address=address)):
            pass
    ray.trouble = ConnectionError("nobody answers")
    with (
        pytest.raises(ConfigError, match=r"ray\.address: expected a cluster at 'auto'; nobody answers"),
        module().connected(RayConfig(address="auto")),
    ):
        pass
    ray.trouble, ray.initialized = None, True
    with module().connected(RayConfig(address="auto")):
        pass
    assert ray.initialized
    shelf = module().RayShelf()
    assert shelf.get(shelf.put([np.zeros(2)]))[0].size == 2
