"""Runs on two processes that are forks of this one, short runs to make there, and what they left."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import toy_env
from safetensors.torch import load_file

from axpo.settings.config import LossConfig, RanksConfig, TrainConfig

TIMEOUT_S = 120.0


@contextmanager
def launched(number: int, port: int) -> Iterator[None]:
    """The environment that a launcher makes."""
    names = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "127.0.0.1"}
    yield


def on_two(folder: Path, scenario: Callable[[], Any]) -> list[Any]:
    """What a scenario returned on each of two processes, the error it ended with, or how the process was killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = [folder / f"rank{number}.json" for number in range(2)]
    children = []
    for number, file in enumerate(files):
        if child := os.fork():
            children.append(child)
            continue
        with launched(number, port):
            try:
                result = scenario()
            except BaseException as error:
                result = {"error": type(error).__name__, "message": str(error)}
        file.write_text(json.dumps(result))
        os._exit(0)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    results = [
        json.loads(file.read_text()) if file.exists() else {"exit": code}
        for file, code in zip(files, codes, strict=True)
    ]
    for file in files:
        file.unlink(missing_ok=True)
    return results


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def config_of(model: Path, out: Path, *, steps: int) -> TrainConfig:
    config = toy_env.toy_config(out, steps=steps, log={"checkpoint_every": 1, "eval_questions": 2, "eval_samples": 1})
    sampling = replace(config.sampling, questions=3, max_turn_tokens=10)
    loss, ranks = LossConfig(kl=0.05), RanksConfig(timeout_s=TIMEOUT_S)
    return replace(config, method="grpo", model=str(model), sampling=sampling, loss=loss, ranks=ranks)


def went(out: Path) -> dict[str, Any]:
    """What a run left: its records, and the names of its checkpoints."""
    files = {name: out / f"{name}.jsonl" for name in ("metrics", "evaluations")}
    lines = {name: file.read_text().splitlines() if file.exists() else [] for name, file in files.items()}
    records = {name: [json.loads(line) for line in found] for name, found in lines.items()}
    return {**records, "checkpoints": sorted(folder.name for folder in (out / "checkpoints").iterdir())}


def apart(first: Path, second: Path) -> dict[str, float]:
    """The largest difference between the tensors of two runs' newest checkpoints, by file."""
    newest = [max((out / "checkpoints").iterdir()) for out in (first, second)]
    found = {}
    for file in ("model.safetensors", "trainer.safetensors"):
        one, other = (load_file(folder / file) for folder in newest)
        assert one.keys() == other.keys()
        found[file] = max(float((one[name] - other[name]).abs().max()) for name in one)
    return found
