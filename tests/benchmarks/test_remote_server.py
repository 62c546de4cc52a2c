"""Tests of axpo_benchmarks.remote_server, against a server on loopback that runs the shipped checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axpo_agents.testing.completions_server import CompletionsServer
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import load_policy
from axpo_benchmarks.remote_server import RemoteServerConfig, run_remote_server


@pytest.mark.parametrize(("model", "code"), [("tiny", 0), ("tiny-random", 1)])
def test_a_server_passes_if_it_runs_the_same_weights(model: str, code: int, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with CompletionsServer(load_policy(model)) as server:
        config = RemoteServerConfig(
            url=server.url, checkpoint=str(tiny_folder()), samples=2, tokens=4, limit=1e-4, json=figures
        )
        assert run_remote_server(config) == code
    rows = {row["name"]: row for row in json.loads(figures.read_text())["rows"]}
    assert rows["text, temperature 1: different of 6"]["value"] > 1
    assert (rows["images, temperature 0.7: branches"]["value"] <= 1e-4) is (code == 0)
    assert (rows["images: scoring over all ids"]["value"] <= 1e-4) is (code == 0)
