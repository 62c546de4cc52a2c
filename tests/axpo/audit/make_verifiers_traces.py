"""Makes `verifiers_traces.jsonl`: what verifiers writes of rollouts whose model is scripted, with a real tool server.

    pip install verifiers==0.4.0 uv
    python tests/axpo/audit/make_verifiers_traces.py FOLDER

runs `vf-eval` in a new folder and leaves `run/traces.jsonl` in it, which is the fixture.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripted_server import calls, says, scripted_server

INIT = """
from capitals.taskset import CapitalsTaskset

__all__ = ["CapitalsTaskset"]
"""
TASKSET = """
import verifiers.v1 as vf

from capitals.servers.tool import CapitalsToolset

ROWS = (("Peru", "Lima"), ("Chad", "N'Djamena"))


class CapitalsData(vf.TaskData):
    answer: str


class CapitalsTaskConfig(vf.TaskConfig):
    tools: vf.ToolsetConfig = vf.ToolsetConfig()


class CapitalsTask(vf.Task[CapitalsData, vf.State, CapitalsTaskConfig]):
    @classmethod
    def toolsets(cls, config: CapitalsTaskConfig) -> list[vf.Toolset]:
        return [CapitalsToolset(config.tools)]

    @vf.reward(weight=1.0)
    async def right(self, trace: vf.Trace) -> float:
        return float(self.data.answer in trace.last_reply)


class CapitalsConfig(vf.TasksetConfig):
    task: CapitalsTaskConfig = CapitalsTaskConfig()


class CapitalsTaskset(vf.Taskset[CapitalsTask, CapitalsConfig]):
    def load(self) -> list[CapitalsTask]:
        return [
            CapitalsTask(
                CapitalsData(id=country, prompt=f"What is the capital of {country}?", answer=capital),
                self.config.task,
            )
            for country, capital in ROWS
        ]
"""
TOOL = """
import verifiers.v1 as vf


class CapitalsToolset(vf.Toolset[vf.ToolsetConfig]):
    TOOL_PREFIX = None

    @vf.tool
    async def lookup(self, country: str) -> str:
        '''Look up the capital of a country.'''
        if country == "Peru":
            return "Lima"
        raise ValueError(f"no entry for {country}")


if __name__ == "__main__":
    CapitalsToolset.run()
"""
PROJECT = """
[project]
name = "capitals"
version = "0.1.0"
dependencies = ["verifiers"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
LOOKS = calls("lookup", '{"country": "Peru"}')
ROLLOUTS = [
    [LOOKS, says("It is Lima.")],
    [LOOKS, says("It is Cusco.")],
    [says("It is Lima.", thinking="I could use lookup, but I know it.")],
    [calls("lookup", '{"country": '), says("It is Quito.")],
    [calls("lookup", '{"country": "Chad"}'), says("I cannot tell.")],
    [says("It is Abéché.")],
    [says("It is N'Djamena.")],
    [calls("find", "{}"), says("I cannot tell.")],
]
"""Four of each question."""


def main(folder: Path) -> None:
    package = folder / "capitals"
    (package / "servers").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text(INIT)
    (package / "taskset.py").write_text(TASKSET)
    (package / "servers" / "__init__.py").write_text("")
    (package / "servers" / "tool.py").write_text(TOOL)
    with scripted_server(ROLLOUTS) as url:
        command = [str(Path(sys.executable).parent / "vf-eval"), "capitals", "-r", "4", "-c", "1", "--no-push"]
        command += ["-m", "scripted", "--client.base-url", url, "--client.api-key-var", "SCRIPTED_KEY"]
        command += [
            "--env.agent.harness.id",
            "null",
            "--env.agent.runtime.type",
            "subprocess",
            "-o",
            str(folder),
            "--run.dir",
            "run",
        ]
        paths = {"PYTHONPATH": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(command, env={**os.environ, **paths, "SCRIPTED_KEY": "none"}, cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
