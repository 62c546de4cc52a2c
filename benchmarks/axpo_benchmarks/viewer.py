"""Defines `axpo-bench viewer`: how long the pages of `axpo view` take on a run with many rollouts."""

from __future__ import annotations

import html
import math
import os
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.commands.arguments import check_output, write_json
from axpo.records.run_log import RunLog
from axpo.run.validation import resolved
from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo.settings.config_file import checked, to_toml
from axpo.settings.values import Count
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_agents.types import Completion, Context, FinishReason, Rollout
from axpo_benchmarks.machine import provenance
from axpo_envs.images import ImageRef
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import (
    CallOutcome,
    CallRecord,
    Episode,
    EpisodeState,
    Question,
    RewardTerm,
    StopReason,
    ToolCall,
    ToolResult,
    Turn,
)

GROUP: Final = 8
"""Rollouts of a group."""
GROWN: Final = 4
"""Continuations of a source; every other group has one source."""
PAGES: Final = {
    "curves page": "/",
    "curves": "/curves.json",
    "newest step": "/rollouts?run=run",
    "a group": "/group?run=run&step={newest}&group=0",
    "another step": "/rollouts?run=run&step=1",
    "first groups of all steps that recovered": "/rollouts?run=run&step=all&show=recovered",
    "newest step again": "/rollouts?run=run",
    "state": "/state.json",
}
"""What is asked for, in this order, of a server that has just begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerConfig:
    """Measure how long the pages of `axpo view` take on a made-up run, from a cold start of the server on."""

    steps: Count = 1000
    """Training steps, all of which saved their rollouts."""
    rollouts: Count = 100
    """Rollouts saved of each step, continuations included; rounded to whole groups of 8, half of them with 4 more."""
    tokens: Count = 256
    """Sampled tokens of a rollout."""
    json: Path | None = None
    """Write the figures to this file."""


def run_viewer(config: ViewerConfig) -> int:
    """Makes the run, asks for the pages, prints, writes; returns the exit code."""
    config = checked(config)
    check_output(config.json)
    with TemporaryDirectory() as folder, Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat:
        run = Path(folder) / "run"
        heartbeat.doing("writing a run")
        saved, size = make_run(run, config)
        heartbeat.doing("asking for pages")
        seconds, memory = _measured(run, config.steps)
    print(f"{saved} rollouts in {config.steps} steps, {size / 1e6:.0f} MB of JSON")
    for name, value in seconds.items():
        print(f"{value:7.3f} s  {name}")
    print(f"{memory:7.0f} MB at most")
    figures = {"rollouts": saved, "steps": config.steps, "json_bytes": size, "seconds": seconds, "memory_mb": memory}
    write_json(config.json, {**provenance(), "viewer": figures})
    return 0


def make_run(folder: Path, config: ViewerConfig) -> tuple[int, int]:
    """Writes a run whose steps saved the same rollouts under numbers of their own.

    Returns:
        How many rollouts are saved, and the bytes of their files without images.
    """
    groups = _groups(config.rollouts, config.tokens)
    sampling = SamplingConfig(questions=len(groups), group_size=GROUP)
    settings = TrainConfig(steps=config.steps, out=str(folder), sampling=sampling, log=LogConfig(rollouts_every=1))
    with RunLog.create(folder, to_toml(resolved(settings)), tensorboard=False) as log:
        for step in range(1, config.steps + 1):
            share = step / config.steps
            rates = {"tool_attempt_rate": share, "all_wrong_tool_subgroups": 1 - share, "recovery_rate": 0.5}
            log.append_step({"step": step, "reward_mean": share, "tokens": 1e5, "seconds_step": 60.0, **rates})
        log.write_rollouts(1, groups, 0)
    first = _step(folder, 1)
    lines = (first / "rollouts.jsonl").read_bytes()
    for step in range(2, config.steps + 1):
        other = _step(folder, step)
        (other / "images").mkdir(parents=True)
        (other / "rollouts.jsonl").write_bytes(lines.replace(b'"step":1,', b'"step":%d,' % step))
        for image in (first / "images").iterdir():
            os.link(image, other / "images" / image.name)
    return lines.count(b"\n") * config.steps, len(lines) * config.steps


def _step(run: Path, step: int) -> Path:
    """Where a step's rollouts are: see docs/rollouts.md."""
    return run / "rollouts" / f"step-{step:06d}"


def _groups(rollouts: int, tokens: int) -> list[Group]:
    rng = random.Random(0)
    pairs = max(round(rollouts / (2 * GROUP + GROWN)), 1)
    groups = [_group(number, tokens, rng) for number in range(2 * pairs)]
    return [_branched(group, tokens, rng) if number % 2 else group for number, group in enumerate(groups)]


def _group(number: int, tokens: int, rng: random.Random) -> Group:
    shade = np.full((64, 64, 3), number % 256, np.uint8)
    question = Question(id=f"q{number}", prompt=(ImageRef(shade), "What is on the sign?"), answer="7", hops=1)
    return Group(question=question, rollouts=tuple(_rollout(question, tokens, rng) for _ in range(GROUP)))


def _branched(group: Group, tokens: int, rng: random.Random) -> Group:
    grown = tuple(_rollout(group.question, tokens, rng) for _ in range(GROWN))
    snapshot = group.rollouts[0].snapshots[0]
    point = BranchPoint(group=0, rollout=0, turn=0, token=4, confidence=0.5, snapshot=snapshot)
    return group.with_branches((Branch(point=point, continuations=grown),))


def _rollout(question: Question, tokens: int, rng: random.Random) -> Rollout:
    acts, right = rng.random() < 0.5, rng.random() < 0.5
    thought = " ".join(rng.choice(("the", "sign", "left", "red", "is", "small")) for _ in range(tokens // 2))
    call = ToolCall(name="image_zoom_in", arguments='{"bbox_2d": [0, 0, 200, 200]}')
    result = CallRecord(call=call, outcome=CallOutcome.EXECUTED, result=ToolResult(content=("a crop",)))
    asked = f'<tool_call>{{"name": "image_zoom_in", "arguments": {call.arguments}}}</tool_call>'
    answer = "7" if right else "1"
    ending = asked if acts else f"<answer>{answer}</answer>"
    turns = [Turn(text=f"<think>{thought}</think>{ending}", calls=(result,) if acts else ())]
    if acts:
        turns.append(Turn(text=f"<answer>{answer}</answer>", answer=answer))
    episode = Episode(
        question=question,
        turns=tuple(turns),
        stop=StopReason.ANSWERED,
        reward=float(right),
        terms=(RewardTerm(name="correct", value=float(right)),),
    )
    snapshot = Snapshot(state=EpisodeState(question=question, seed=0), env_id="made up")
    completions = tuple(_completion(tokens // len(turns), rng) for _ in turns)
    return Rollout(episode=episode, completions=completions, snapshots=(snapshot,) * len(turns))


def _completion(tokens: int, rng: random.Random) -> Completion:
    return Completion(
        context=Context(ids=tuple(rng.randrange(150_000) for _ in range(32))),
        ids=tuple(rng.randrange(150_000) for _ in range(tokens)),
        logprobs=tuple(math.log(rng.uniform(0.01, 1.0)) for _ in range(tokens)),
        finish=FinishReason.STOP,
        policy_version=0,
    )


def _measured(run: Path, newest: int) -> tuple[dict[str, float], float]:
    seconds = {}
    begin = time.perf_counter()
    with _served(run) as (url, process):
        seconds["start of the server, imports included"] = time.perf_counter() - begin
        for name, address in PAGES.items():
            begin = time.perf_counter()
            _get(url + address.format(newest=newest))
            seconds[name] = time.perf_counter() - begin
        (run / "metrics.jsonl").touch()
        begin = time.perf_counter()
        _get(f"{url}/curves.json")
        seconds["curves after a step"] = time.perf_counter() - begin
        for name in ("all steps looked through for what is not there", "the same again"):
            begin = time.perf_counter()
            _look_through(url)
            seconds[name] = time.perf_counter() - begin
        memory = _peak_mb(process)
    with _served(run) as (url, _process):
        begin = time.perf_counter()
        _look_through(url)
        seconds["the same asked of a server that has just begun"] = time.perf_counter() - begin
    return {name: round(value, 3) for name, value in seconds.items()}, memory


@contextmanager
def _served(run: Path) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "axpo.cli", "view", str(run), "--port", "0"]
    # What earlier servers have found out is not to help this one.
    environment = {**os.environ, "XDG_CACHE_HOME": str(run.parent / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            line = server.stdout.readline() if server.stdout is not None else ""
            found = re.search(r"http://[\d.]+:\d+", line)
            if found is None:
                raise RuntimeError(f"expected `axpo view` to say where it is; got {line!r}")
            yield found.group(), server.pid
        finally:
            server.terminate()


def _look_through(url: str) -> None:
    """Goes on with a search as a page does that is scrolled to its end."""
    address: str | None = "/rollouts?run=run&step=all&show=cut_off"
    while address is not None:
        further = re.search(r'id="more" href="([^"]+)"', _get(url + address).decode())
        address = html.unescape(further.group(1)) if further is not None else None


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=600) as answer:
        content: bytes = answer.read()
        return content


def _peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return math.nan
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found.group(1)) / 1e3 if found else math.nan
