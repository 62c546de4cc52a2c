"""Defines `picture`: the last moment of an expert's episode as a PNG file, as the documentation shows it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

import gymnasium
from PIL import Image

from axpo_agents.rolling import roll_agent
from axpo_benchmarks.envs._row import EnvRow
from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.whole_files import write_whole

_COLOURS: Final = 128
"""Enough for a picture of a page that is read in a browser, at a third of the bytes."""


def picture(row: EnvRow, folder: Path) -> Path:
    """Plays the first held-out question and writes how it looks in the end; returns the file.

    Raises:
        OSError: the file cannot be written.
    """
    env = gymnasium.make(row.env_id, render_mode="rgb_array", **row.settings).unwrapped
    assert isinstance(env, ToolEnv)
    start = env.begin(env.questions.question(0), seed=0)
    (rollout,) = roll_agent(row.agents[row.expert](env), env, [start])
    env.restore(rollout.snapshots[-1])
    env.step(rollout.episode.turns[-1].text)
    content = io.BytesIO()
    Image.fromarray(env.render()).quantize(_COLOURS).save(content, "png", optimize=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_name(row.name)}.png"
    write_whole(path, content.getvalue())
    return path


def file_name(name: str) -> str:
    """What a row's picture is called, without its suffix.

    Worked value: `axpo/MultiHopSearch-v0` gives `multi-hop-search`.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name.removeprefix("axpo/").removesuffix("-v0"))
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
