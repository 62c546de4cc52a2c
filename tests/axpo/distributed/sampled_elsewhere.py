"""Runs whose turns come from servers, or from workers of a cluster, on one process and on two."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

from forked_runs import apart, config_of, on_two, rank, went

import axpo
from axpo.cluster import opening
from axpo.cluster._entrance import Entrance
from axpo.cluster._weights import HereShelf
from axpo.run import trainer
from axpo.settings.config import RayConfig, ServingConfig, TrainConfig, WorkersConfig
from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.transformers_policy import load_policy
from axpo_envs.outposts import LocalWorker, WorkerLost, Workforce

MANY = 10**6
PROBES = 4
"""Turns that a server is asked for before any work."""


class Observed(CompletionsServer):
    """A server that remembers the versions of the weights that it was given, and dies behind so many turns."""

    def __init__(self, model: Path, *, lives: int) -> None:
        super().__init__(load_policy(str(model)), quick=True)
        self.versions: list[str] = []
        self.left = lives
        control, named = self.weights.control, self.weights.named

        def noted(path: str, body: Any) -> Any:
            if path == "/update_weight_version":
                self.versions.append(body["new_version"].rpartition("-")[2])
            return control(path, body)

        def counted(model: str | None) -> Any:
            self.left -= 1
            self._server.ended = self.left <= 0
            return named(model)

        self.weights.control, self.weights.named = noted, counted  # type: ignore[method-assign]


@contextmanager
def serving(model: Path, *lives: int) -> Iterator[list[Observed]]:
    """Servers, on the first process."""
    with ExitStack() as until_done:
        yield [until_done.enter_context(Observed(model, lives=each)) for each in lives if rank() == 0]


def addresses(servers: list[Observed]) -> str:
    """The setting `sampler`; a process that is no client needs no true ones."""
    return ",".join(server.url for server in servers) or "http://nobody:1"


def served_config(model: Path, out: Path, *, steps: int) -> TrainConfig:
    config = config_of(model, out, steps=steps)
    sampling = replace(config.sampling, questions=2, max_turn_tokens=6)
    return replace(config, sampling=sampling, serving=ServingConfig(timeout_s=60.0))


class StopBehind(axpo.Callback):
    """Breaks a run off behind a checkpoint."""

    def __init__(self, step: int) -> None:
        self._step = step

    def after_checkpoint(self, moment: axpo.RunMoment, folder: Path) -> None:
        if moment.step == self._step:
            raise RuntimeError("as if killed")


@dataclass(frozen=True)
class Case:
    """A run whose first step is made on so many processes, and the others on so many others."""

    staleness: int
    steps: int
    strategy: Literal["ddp", "fsdp"]
    processes: tuple[int, int]


def served_runs(folder: Path, model: Path) -> dict[str, Any]:
    """By staleness: a run on one process, and one that goes from two to one, or from one to two."""
    cases = (
        Case(staleness=0, steps=2, strategy="fsdp", processes=(2, 1)),
        Case(staleness=1, steps=3, strategy="ddp", processes=(1, 2)),
    )
    return {str(case.staleness): _served(folder / f"served-{case.staleness}", model, case) for case in cases}


def _served(folder: Path, model: Path, case: Case) -> dict[str, Any]:
    folder.mkdir()
    straight, moved = folder / "straight", folder / "moved"

    def settings(out: Path, servers: list[Observed]) -> TrainConfig:
        config = served_config(model, out, steps=case.steps)
        ranks = replace(config.ranks, strategy=case.strategy)
        return replace(config, sampler=addresses(servers), max_staleness=case.staleness, ranks=ranks)

    def part(first: bool, lives: tuple[int, ...]) -> list[list[str]]:
        with serving(model, *lives) as servers:
            if first:
                ends_with(lambda: trainer.train(settings(moved, servers), callbacks=(StopBehind(1),)))
            else:
                trainer.resume(moved, changes={"sampler": addresses(servers)})
            return [server.versions for server in servers]

    with serving(model, MANY) as servers:
        trainer.train(settings(straight, servers))
        versions = servers[0].versions
    ends: Any = None
    for number, count in enumerate(case.processes):
        if count == 1:
            part(number == 0, (MANY,))
        else:
            # The second one dies as soon as it was tried, before it is given any weights.
            ends = on_two(folder, lambda first=number == 0: part(first, (MANY, PROBES)))
    found = {"straight": went(straight), "moved": went(moved), "apart": apart(straight, moved)}
    return {**found, "versions": versions, "ends": ends}


def ends_with(action: Callable[[], Any]) -> None:
    """Passes over the end that was asked for."""
    try:
        action()
    except Exception as error:
        if "as if killed" not in str(error):
            raise


def without_servers(folder: Path, model: Path) -> dict[str, Any]:
    """Two processes whose only server dies in the second step."""
    out = folder / "unserved"

    def trained() -> None:
        with serving(model, 20) as servers:
            config = served_config(model, out, steps=9)
            sampling = replace(config.sampling, fault_retries=0, fault_wait_s=0.0)
            config = replace(config, sampling=sampling, log=replace(config.log, eval_questions=0))
            config = replace(config, sampler=addresses(servers), serving=replace(config.serving, attempts=1))
            trainer.train(config)

    ends = on_two(folder, trained)
    return {"ends": ends, **went(out)}


# Workers in place of Ray's: in this process, of which each of a kind dies once, in the middle of its work.


class DiesOnce(LocalWorker):
    died: ClassVar[Counter[str]] = Counter()

    def ask(self, method: str, *given: Any) -> bytes:
        if method in ("sample", "advance") and not self.died[method]:
            self.died[method] += 1
            raise WorkerLost("as if killed")
        return super().ask(method, *given)


class Workers:
    """A cluster that notes who connected, and what was asked for."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        noted["addresses"].append(config.address)

    def entrance(self) -> Entrance:
        return Entrance(address="first:1", environment={"AXPO_TEST_TOKEN": "asked for"})

    def workforce(self, kind: str, ordered: bytes, wanted: WorkersConfig, *, calls: int = 1) -> Workforce:
        noted["workers"][kind] = wanted.workers
        workers = Workforce(lambda: DiesOnce(ordered), wanted.workers)
        noted["workforces"].append(workers)
        return workers


noted: dict[str, Any] = {"addresses": [], "workers": {}, "workforces": []}


class Stand(ModuleType):
    """In place of the module that imports Ray."""

    RayShelf = HereShelf

    @contextmanager
    def connected(self, config: RayConfig) -> Iterator[Workers]:
        yield Workers(config)


def placed_runs(folder: Path, model: Path) -> dict[str, Any]:
    """A run without a cluster, and on two processes with one: workers that sample, and that take turns alone."""
    sys.modules["axpo.cluster.on_ray"] = Stand("axpo.cluster.on_ray")
    opening.require_extra = lambda *_: None  # type: ignore[assignment]
    plain = folder / "plain"
    trainer.train(served_config(model, plain, steps=2))
    found: dict[str, Any] = {"plain": went(plain)}
    for name, rollouts, strategy in (("rollouts", 2, "fsdp"), ("turns", 0, "ddp")):
        out = folder / name
        kinds = {"rollouts": WorkersConfig(workers=rollouts), "environments": WorkersConfig(workers=3)}
        config = served_config(model, out, steps=2)
        config = replace(config, ray=RayConfig(address="local", **kinds))
        config = replace(config, ranks=replace(config.ranks, strategy=strategy))
        ends = on_two(folder, lambda given=config: _placed(given))
        found[name] = {"ends": ends, **went(out), "apart": apart(plain, out)}
    return found


def _placed(config: TrainConfig) -> dict[str, Any]:
    trainer.train(replace(config, sampling=replace(config.sampling, fault_wait_s=0.0)))
    lost = sum(workers.lost for workers in noted["workforces"])
    return {"addresses": noted["addresses"], "workers": noted["workers"], "lost": lost}
