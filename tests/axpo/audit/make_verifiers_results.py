"""Makes `verifiers_results.jsonl`: what verifiers before its version 0.2 saves of rollouts whose model is scripted.

    pip install verifiers==0.1.14
    python tests/axpo/audit/make_verifiers_results.py FOLDER

writes `results.jsonl` into the folder, which is the fixture.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import verifiers as vf
from datasets import Dataset
from scripted_server import calls, says, scripted_server
from verifiers.types import ClientConfig


async def lookup(country: str) -> str:
    """Look up the capital of a country.

    Args:
        country: its name.
    """
    if country == "Peru":
        return "Lima"
    raise ValueError(f"no entry for {country}")


async def right(completion: list[dict[str, str]], answer: str) -> float:
    return float(answer in str(completion[-1]["content"]))


LOOKS = calls("lookup", '{"country": "Peru"}')
ROLLOUTS = [
    [LOOKS, says("It is Lima.")],
    [says("It is Lima.", thinking="I could use lookup, but I know it.")],
    [calls("lookup", '{"country": "Chad"}'), says("I cannot tell.")],
    [calls("lookup", '{"country": '), says("It is Quito.")],
]
"""Two of each question."""


def main(folder: Path) -> None:
    os.environ["SCRIPTED_KEY"] = "none"
    rows = [
        {"question": "What is the capital of Peru?", "answer": "Lima"},
        {"question": "What is the capital of Chad?", "answer": "N'Djamena"},
    ]
    env = vf.ToolEnv(dataset=Dataset.from_list(rows), tools=[lookup], rubric=vf.Rubric(funcs=[right]), max_turns=4)
    with scripted_server(ROLLOUTS) as url:
        scored = env.evaluate(
            ClientConfig(api_key_var="SCRIPTED_KEY", api_base_url=url),
            "scripted",
            num_examples=2,
            rollouts_per_example=2,
            max_concurrent=1,
            independent_scoring=True,
            results_path=folder,
            save_results=True,
        )
        asyncio.run(scored)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
