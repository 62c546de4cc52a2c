"""Makes `inspect_log.eval` and `inspect_log.json`: what inspect_ai logs of a scripted model, with a real tool.

    pip install inspect_ai==0.3.285 openai
    python tests/axpo/audit/make_inspect_logs.py FOLDER

writes both into the folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from inspect_ai import Task, eval, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ContentReasoning, ContentText, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, ToolError, tool


@tool
def lookup() -> Tool:
    async def execute(country: str) -> str:
        """Look up the capital of a country.

        Args:
            country: its name.
        """
        if country == "Peru":
            return "Lima"
        raise ToolError(f"no entry for {country}")

    return execute


def looks(arguments: dict[str, str], name: str = "lookup") -> ModelOutput:
    return _counted(ModelOutput.for_tool_call("mockllm/model", name, arguments))


def says(text: str) -> ModelOutput:
    return _counted(ModelOutput.from_content("mockllm/model", text))


def _counted(output: ModelOutput) -> ModelOutput:
    # Without it the mock counts tokens with a vocabulary that it downloads.
    output.usage = ModelUsage(input_tokens=10, output_tokens=5, total_tokens=15)
    return output


def thinks(thought: str, text: str) -> ModelOutput:
    output = says(text)
    message = ChatMessageAssistant(content=[ContentReasoning(reasoning=thought), ContentText(text=text)])
    output.choices[0].message = message
    return output


TURNS = [
    # Peru and Chad, then once more.
    *(looks({"country": "Peru"}), says("It is Lima.")),
    *(looks({"country": "Chad"}), says("I cannot tell.")),
    *(thinks("I could use lookup, but I know it.", "It is Lima."),),
    *(looks({}, "find"), says("I cannot tell.")),
]


@task
def capitals() -> Task:
    samples = [
        Sample(id="peru", input="What is the capital of Peru?", target="Lima", metadata={"hops": 1}),
        Sample(id="chad", input="What is the capital of Chad?", target="N'Djamena", metadata={"hops": 1}),
    ]
    return Task(dataset=samples, solver=[use_tools(lookup()), generate()], scorer=includes())


def main(folder: Path) -> None:
    # A log names the repository that it is made in.
    folder.mkdir()
    os.chdir(folder)
    for kind in ("eval", "json"):
        (log,) = eval(
            capitals(),
            model=get_model("mockllm/model", custom_outputs=TURNS),
            epochs=2,
            max_samples=1,
            max_tasks=1,
            log_dir=str(folder / kind),
            log_format=kind,
            display="none",
        )
        Path(log.location).rename(folder / f"inspect_log.{kind}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
