"""Defines the part `episodes`: many episodes with live interpreters and branches; nothing may pile up."""

from __future__ import annotations

import gc
import random
from dataclasses import asdict
from typing import Any, Final

from axpo_benchmarks.soak._command import SoakConfig
from axpo_benchmarks.soak._watch import Usage, own_temporary_folder
from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.tools import PythonTool, SandboxLimits

_BRANCHES: Final = 9
"""Episodes that go on from the moment in the middle of another."""
_SEEN: Final = 20
"""How often what is held is looked at."""
_LEAST_SEEN: Final = 5
_SLACK_MB: Final = 8.0
"""What this process may grow by while four fifths of the episodes are played: 0.5 kB an episode at the default."""
_CELLS: Final = (
    "total = globals().get('total', 0) + {n}; print(total)",
    "open('log', 'a').write('{n} '); print(open('log').read())",
    "table = [[i * {n} for i in range(50)] for _ in range(50)]; print(sum(map(sum, table)))",
    "import os; os.makedirs('d{n}', exist_ok=True); print(sorted(os.listdir('.')))",
    "1 / ({n} % 2)",
)


def soak(config: SoakConfig) -> dict[str, Any]:
    """Plays the episodes; returns what was held in the course of it, and whether it stayed flat and came back."""
    with own_temporary_folder():
        return _soak(config)


def _soak(config: SoakConfig) -> dict[str, Any]:
    before = Usage.now()
    limits = SandboxLimits(wall_s=30.0, memory_mb=192, scratch_mb=4)
    tool = PythonTool(limits)
    questions = ListQuestions(Question(id=f"q{n}", prompt=("How much?",), answer="7") for n in range(64))
    spec = ToolEnvSpec(env_id="soak/Python-v0", questions=questions, tools=(tool,), reward=ExactMatch(), max_turns=8)
    env = ToolEnv(spec)
    source = random.Random(config.seed)
    seen: list[Usage] = []
    played = 0
    every = max(1, config.episodes // _SEEN)
    try:
        while played < config.episodes:
            before_family = played // every
            played += _family(env, source, config.episodes - played)
            if played // every > before_family:
                seen.append(Usage.now())
    finally:
        tool.close()
    gc.collect()
    after = Usage.now()
    return {
        "held": _is_flat(seen) and _came_back(before, after),
        "episodes": played,
        "before": asdict(before),
        "in_between": [asdict(usage) for usage in seen],
        "after": asdict(after),
    }


def _family(env: ToolEnv, source: random.Random, most: int) -> int:
    """An episode, and others from its middle; they must see what it had left, and nothing of each other."""
    state = env.begin(env.questions.question(source.randrange(64)), seed=source.randrange(1 << 30))
    for _ in range(source.randrange(1, 4)):
        state = env.advance(state, _cell(source)).state
    mark = source.randrange(1 << 30)
    state = env.advance(state, call_turn("python", {"code": f"mark = {mark}"})).state
    moment = env.snapshot_of(state)
    branches = min(_BRANCHES + 1, most)
    for branch in range(branches):
        own = moment.state
        for _ in range(source.randrange(1, 3)):
            own = env.advance(own, _cell(source)).state
        own = env.advance(
            own, call_turn("python", {"code": f"print(mark, 'mine' in globals()); mine = {branch}"})
        ).state
        told = "".join(part for part in own.turns[-1].observation if isinstance(part, str))
        if f"{mark} False" not in told:
            raise AssertionError(f"a branch does not see what was left to it, or sees a sibling: {told[:200]!r}")
        ended = env.advance(own, "<answer>7</answer>").state
        if ended.stop is None:
            raise AssertionError("an answer did not end the episode")
    return branches


def _cell(source: random.Random) -> str:
    return call_turn("python", {"code": source.choice(_CELLS).format(n=source.randrange(100))})


def _is_flat(seen: list[Usage]) -> bool:
    """Nothing is held at the end that was not held when a fifth was done; of fewer than five looks nothing is said."""
    if len(seen) < _LEAST_SEEN:
        return True
    first, last = seen[len(seen) // 5], seen[-1]
    early = seen[: len(seen) // 5 + 1]
    most = max(usage.processes for usage in early)
    return (
        last.memory_mb <= first.memory_mb + _SLACK_MB
        and last.children_mb <= 1.25 * max(usage.children_mb for usage in early) + _SLACK_MB
        and last.descriptors <= first.descriptors + most
        and last.threads <= first.threads + 8
        and last.processes <= 2 * most + 8
        and last.shared <= first.shared
    )


def _came_back(before: Usage, after: Usage) -> bool:
    return (
        after.processes <= before.processes
        and after.shared <= before.shared
        and after.temporary <= before.temporary
        and after.descriptors <= before.descriptors + 8
    )
