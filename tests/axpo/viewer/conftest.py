"""Fixtures that show runs to a client without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from axpo.settings.config import SamplingConfig, TrainConfig
from axpo.viewer._app import make_app
from axpo.viewer._library import Library
from axpo.viewer._pages import Pages
from axpo.viewer._runs import Shelf

Show = Callable[..., TestClient]


@pytest.fixture
def run(tmp_path: Path, finished_run: Callable[..., Path]) -> Path:
    """Two steps; of the second its one group: four rollouts, the first with two continuations."""
    sampling = SamplingConfig(group_size=4)
    return finished_run(TrainConfig(steps=2, out=str(tmp_path / "run"), sampling=sampling), pass1=0.75)


@pytest.fixture
def show() -> Iterator[Show]:
    """Makes a client of the viewer of some folders."""
    clients: list[TestClient] = []

    def make(*folders: Path, tools: Sequence[str] = ()) -> TestClient:
        app = make_app(Pages(Shelf(folders), Library(tools)))
        clients.append(TestClient(app, base_url="http://127.0.0.1"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
