"""Measures whole AXPO steps of the embedded policy: time per phase and peak memory."""

from __future__ import annotations

import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch

import axpo
from axpo.compare.comparison import EMBEDDED
from axpo.run.display import Silent
from axpo.settings.config import LogConfig
from axpo_benchmarks.speed.rows import Absolute, Row

STEPS = 12
"""Steps measured; the first of them, in which caches and kernels warm up, is left out."""
_PHASES = ("environment", "sampling", "resampling", "reference", "update", "step")
_LIMITS = {"step": 3.0}


def measure() -> list[Row]:
    """Median seconds per phase of a step of 16 x 8 rollouts and 25 % continuations, and its process's peak memory."""
    # A process of its own, so that the peak is not that of what was measured before.
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, torch.get_num_threads()).result()


def _measure(threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        config = replace(
            EMBEDDED,
            steps=STEPS,
            out=str(Path(folder) / "run"),
            log=LogConfig(eval_questions=0, tensorboard=False, rollouts_every=0, checkpoint_every=STEPS),
        )
        result = axpo.train(config, display=Silent())
    records = result.metrics[1:]
    rows: list[Row] = [
        Absolute(
            name=f"AXPO step, {phase}" if phase != "step" else "AXPO step",
            value=median(record[f"seconds_{phase}"] for record in records),
            unit="s",
            limit=_LIMITS.get(phase),
        )
        for phase in _PHASES
    ]
    rows.append(Absolute(name="peak memory of the process", value=_peak_gib(), unit="GiB", limit=2.0))
    return rows


def _peak_gib() -> float:
    """Most memory that this program held; elsewhere than on Linux, that its process ever held."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux counts in `ru_maxrss` what the process held before it became this program.
        return (
            next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 2**20
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
