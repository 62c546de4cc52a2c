"""Holds an installation without extras to what it claims: imports, VisualZoom, the conformance kit, and the commands.

Run it with the interpreter of an environment that holds axpo and its dependencies alone, from a folder of no project;
once more with the argument `tiny` when `axpo-tiny` has been added.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import gymnasium

import axpo
import axpo_agents
import axpo_envs
from axpo.records.run_log import RunLog
from axpo_agents.rolling import roll_agent
from axpo_agents.tiny import Tiny, tiny_folder
from axpo_envs.plumbing.extras import EXTRAS, MissingExtraError
from axpo_envs.testing import check_tool_env

PROGRAMS = ("axpo_envs.rewards._math_worker",)
"""Modules that are run, not imported."""


class Guesser:
    def act(self, observation: object, state: object) -> str:
        return "<answer>3</answer>"


def expect(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"without extras: expected {what}")


def check_weights(*, there: bool) -> None:
    for model in Tiny:
        try:
            folder = tiny_folder(model)
        except MissingExtraError as error:
            expect(not there, f"the weights of `{model}` to be found")
            expect("pip install 'axpo[tiny]'" in str(error), f"missing weights to name their extra; got: {error}")
        else:
            expect(there, f"no trained weights of `{model}` in the wheel")
            expect((folder / "config.json").is_file(), f"the weights of `{model}` beside their configuration")


def check_imports() -> None:
    for package in {package for packages in EXTRAS.values() for package in packages}:
        expect(importlib.util.find_spec(package) is None, f"an environment without {package}")
    for package in (axpo_envs, axpo_agents, axpo):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=lambda name: None):
            if module.name in PROGRAMS:
                continue
            try:
                importlib.import_module(module.name)
            except MissingExtraError as error:
                expect("pip install 'axpo[" in str(error), f"{module.name} to name an extra; got: {error}")
    for name in axpo.__all__:
        try:
            getattr(axpo, name)
        except ImportError as error:
            expect("pip install 'axpo[train]'" in str(error), f"axpo.{name} to name its extra; got: {error}")
    axpo.TrainConfig()


def check_environments() -> None:
    check_tool_env(lambda: gymnasium.make("axpo/VisualZoom-v0"))
    env = gymnasium.make("axpo/VisualZoom-v0", split="validation").unwrapped
    starts = [env.begin(env.questions.question(index)) for index in range(20)]
    rewards = [rollout.reward for rollout in roll_agent(Guesser(), env, starts)]
    expect(set(rewards) <= {0.0, 1.0}, f"rewards of 0 and 1; got {rewards}")


def check_commands() -> None:
    with RunLog.create(Path("run"), 'env = "axpo/VisualZoom-v0"\n', tensorboard=False) as log:
        log.append_step({"step": 1, "reward_mean": 0.25, "rollouts": 8.0, "tokens": 90.0, "seconds_step": 1.5})
    run("axpo.cli", "view", "run", "--report")
    expect("<html" in Path("run/report.html").read_text(encoding="utf-8"), "`axpo view --report` to write a report")
    said = run("axpo.cli", "view", "run", code=1)
    expect("needs starlette: pip install 'axpo[view]'" in said, f"`axpo view` to name its extra; got: {said}")
    row = {"id": "q", "reward": 1.0, "messages": [{"role": "assistant", "content": "<search>a</search>"}]}
    Path("rollouts.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    said = run("axpo.cli", "audit", "rollouts.jsonl", "--fail-if", "tool_attempt_rate<1")
    expect("1 rollouts of 1 questions" in said, f"`axpo audit` to count; got: {said}")
    for arguments in (("axpo.cli", "--help"), ("axpo.cli", "envs"), ("axpo_benchmarks.cli", "--help")):
        run(*arguments)
    for arguments in (("axpo.cli", "train"), ("axpo_benchmarks.cli", "speed")):
        said = run(*arguments, code=1)
        expect("needs torch: pip install 'axpo[train]'" in said, f"{arguments} to name its extra; got: {said}")


def run(module: str, *arguments: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    expect(done.returncode == code, f"{module} {' '.join(arguments)} to end with {code}; got {done.returncode}: {said}")
    return said


if __name__ == "__main__":
    if sys.argv[1:] == ["tiny"]:
        check_weights(there=True)
        sys.exit()
    check_weights(there=False)
    check_imports()
    check_environments()
    check_commands()
    print(f"without extras: all that is claimed holds on Python {sys.version.split()[0]}")
