"""Defines `axpo play`: a person takes the policy's place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from axpo.commands.arguments import parse
from axpo.run._env_making import make_env
from axpo.settings._arguments import parse_env_args
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import CountOrNone, Name
from axpo_envs.env import ToolEnv
from axpo_envs.observation import Observation
from axpo_envs.plumbing.printable import printable
from axpo_envs.snapshot import Snapshot

HELP: Final = """\
What you type is a turn of the assistant, tags included (\\n starts a new line). Shorter:
  /call TOOL {"argument": value}   call a tool
  /answer TEXT                     give the final answer
  /undo                            take the last turn back
  /new                             begin another question
  /tools                           show the tools and their arguments
  /help                            show this
  /quit                            leave"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayArguments:
    """Step through an environment by hand. Images are saved to a folder; every turn can be taken back."""

    env: Name = "axpo/VisualZoom-v0"
    """Gymnasium id of the environment (`module:id` or `folder/module.py:id` imports the module first)."""
    env_args: tuple[str, ...] = ()
    """Keyword arguments of the environment as NAME=VALUE, VALUE in JSON (or a bare word)."""
    seed: CountOrNone = 0
    """Chooses the questions."""
    images: Path | None = None
    """Folder for the images; by default a new one among the temporary files."""


def run(arguments: Sequence[str]) -> int:
    """Plays until the person leaves; returns the exit code."""
    parsed = checked(parse(PlayArguments, "play", arguments))
    if parsed.images is not None and parsed.images.exists() and not parsed.images.is_dir():
        raise ConfigError(f"images: expected a folder; {parsed.images} is a file")
    env = make_env(parsed.env, parse_env_args(parsed.env_args))
    folder = parsed.images or Path(tempfile.mkdtemp(prefix="axpo-play-"))
    folder.mkdir(parents=True, exist_ok=True)
    game = Game(env, folder)
    print(HELP)
    game.begin(seed=parsed.seed)
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            return 0
        if line == "/quit":
            return 0
        game.take(line)


class Game:
    """An episode played by a person.

    Args:
        env: the environment; it holds the current episode.
        folder: where images are saved.
    """

    def __init__(self, env: ToolEnv, folder: Path) -> None:
        self._env = env
        self._folder = folder
        self._past: list[Snapshot] = []
        self._images = 0

    def begin(self, *, seed: int | None = None) -> None:
        """Begins an episode; a seed makes it and those after it reproducible."""
        observation, _ = self._env.reset(seed=seed)
        self._past = []
        self._show(observation)

    def take(self, line: str) -> None:
        """Carries out what the person typed."""
        word, _, rest = line.partition(" ")
        commands: dict[str, Callable[[], None]] = {
            "": lambda: None,
            "/help": lambda: print(HELP),
            "/tools": self._show_tools,
            "/new": self.begin,
            "/undo": self._undo,
            "/answer": lambda: self._act(f"<answer>{rest}</answer>"),
            "/call": lambda: self._act(_call(rest)),
        }
        if word in commands:
            commands[word]()
        elif word.startswith("/"):
            print(printable(f"unknown command {word}; /help lists them"))
        else:
            self._act(line.replace("\\n", "\n"))

    def _act(self, turn: str) -> None:
        if self._env.state.stop is not None:
            print("the episode has ended: /undo takes the last turn back, /new begins another question")
            return
        self._past.append(self._env.snapshot())
        observation, reward, terminated, truncated, _ = self._env.step(turn)
        self._show(observation)
        if terminated or truncated:
            stop = self._env.state.stop
            print(f"the episode has ended ({stop}) with reward {reward:g}; /undo, /new or /quit")

    def _undo(self) -> None:
        if not self._past:
            print("nothing to take back: no turn has been taken")
            return
        self._env.restore(self._past.pop())
        print(f"back before turn {len(self._past) + 1}")

    def _show(self, observation: Observation) -> None:
        if observation["text"]:
            print(printable(observation["text"]))
        for pixels in observation["images"]:
            self._images += 1
            path = self._folder / f"image-{self._images:03d}.png"
            Image.fromarray(np.asarray(pixels)).save(path)
            print(f"[image {pixels.shape[1]}x{pixels.shape[0]}: {path}]")

    def _show_tools(self) -> None:
        for tool in self._env.tools:
            print(printable(f"{tool.name}: {tool.description}\n  {json.dumps(dict(tool.parameters))}"))


def _call(text: str) -> str:
    """A turn with one call; what the person wrote wrongly is for the environment to answer."""
    name, _, arguments = text.strip().partition(" ")
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments.strip() or "{}"}}}\n</tool_call>'
