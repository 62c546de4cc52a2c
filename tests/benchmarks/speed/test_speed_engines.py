from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from axpo.compare.comparison import EMBEDDED
from axpo_agents.testing import CompletionsServer
from axpo_agents.transformers_policy import load_policy
from axpo_benchmarks.speed import cuda, engines
from axpo_benchmarks.speed.engines import Size
from axpo_benchmarks.speed.left_out import LeftOut
from axpo_benchmarks.speed.rows import Absolute


@contextmanager
def in_a_thread() -> Iterator[str]:
    with CompletionsServer(load_policy("tiny"), quick=True) as server:
        yield server.url


def test_a_server_as_sampler_is_measured_against_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "EMBEDDED", replace(EMBEDDED, method="grpo"))
    with in_a_thread() as url:
        rows = engines.measure(size=Size(questions=2, group_size=2, steps=2, rounds=1, repeats=1), server=url)
    named = {row.name: row for row in rows}
    assert "time of a sampled token, server / in process" in named
    assert "new weights, server / in process" in named
    assert {"step on a server, max_staleness 0 / 1", "step on a server, max_staleness 0 / 2"} < set(named)
    shares = [row for name, row in named.items() if name.startswith("share of a step")]
    assert len(shares) == 3
    assert all(isinstance(row, Absolute) and 0 <= row.value <= 100 for row in shares)


def test_without_a_cuda_device_the_part_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(LeftOut, match="no CUDA device"):
        cuda.measure()


def test_what_a_gpu_would_measure_runs_on_a_cpu_at_toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    log_probabilities, gradients, ratio, speed, sampled = cuda.measure(device="cpu", shape="toy", repeats=1)
    assert log_probabilities.name == "parts against the dense mask, tiny, float32: log-probabilities"
    assert log_probabilities.is_met
    assert gradients.is_met
    assert ratio.name == "training pass, rows / packed, tiny"
    assert (speed.name, sampled.name) == (
        "training pass, packed, tiny",
        "sampling 8 turns, in process, tiny",
    )


def test_attention_that_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "MOST_APART", -1.0)
    rows = cuda.measure(device="cpu", shape="toy", repeats=1)
    assert len(rows) == 2
    assert not any(row.is_met for row in rows)
