"""Makes `verl_rollouts.jsonl`, `verl_rollouts_v1.jsonl` and `verl_validation.jsonl`: what verl's own trainers dump.

    pip install verl==0.9.1 ray tensordict==0.10.0 torchdata hydra-core codetiming TransferQueue cachetools
    python tests/axpo/audit/make_verl_dumps.py FOLDER

The policy is scripted, the tokens are those of a Qwen3 chat template, and the functions that write are verl's: what
`trainer.rollout_data_dir` switches on in the Ray trainer and in the trainer of its `v1` package, and what writes
`trainer.validation_data_dir`, called with what `_validate` gathers. No engine, queue or worker runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict
from transformers import AutoTokenizer
from verl import DataProto
from verl.trainer.ppo.ray_trainer import RayPPOTrainer
from verl.trainer.ppo.v1 import trainer_base

from axpo_agents.testing import save_small_qwen3

CAPITALS = {"Peru": "Lima", "Chad": "N'Djamena"}
LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look up the capital of a country.",
        "parameters": {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]},
    },
}


def calls(country: str) -> list[dict[str, Any]]:
    call = json.dumps({"name": "lookup", "arguments": {"country": country}})
    found = "Lima" if country == "Peru" else "Error: no entry for Chad"
    text = f"<think>\nI look it up.\n</think>\n\n<tool_call>\n{call}\n</tool_call>"
    return [{"role": "assistant", "content": text}, {"role": "tool", "content": found}]


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


ROLLOUTS = [
    ("Peru", [*calls("Peru"), *says("<think>\nThere it is.\n</think>\n\nIt is Lima.")], 1.0),
    ("Peru", says("<think>\nI could use lookup, but I know it.\n</think>\n\nIt is Quito."), 0.0),
    ("Chad", [*calls("Chad"), *says("<think>\nNo entry.\n</think>\n\nI cannot tell.")], 0.0),
    ("Chad", says("<think>\nI know it.\n</think>\n\nIt is N'Djamena."), 1.0),
]
"""Two of each question: what is asked for, what follows, and the score."""


class Tokens:
    """The rollouts as token ids.

    Args:
        tokenizer: brings the chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        pairs = [self._pair(country, turns) for country, turns, _ in ROLLOUTS]
        self.prompts = [prompt for prompt, _ in pairs]
        self.responses = [response for _, response in pairs]

    def _pair(self, country: str, turns: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
        asked = [{"role": "user", "content": f"What is the capital of {country}?"}]
        prompt = self._ids(asked, add_generation_prompt=True)
        whole = self._ids([*asked, *turns])
        assert whole[: len(prompt)] == prompt
        return prompt, whole[len(prompt) :]

    def _ids(self, messages: list[dict[str, Any]], **options: Any) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, tools=[LOOKUP], tokenize=False, **options)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def padded(self, rows: list[list[int]], *, left: bool) -> torch.Tensor:
        longest = max(map(len, rows))
        filled = [[self.tokenizer.pad_token_id] * (longest - len(row)) for row in rows]
        return torch.tensor([gap + row if left else row + gap for row, gap in zip(rows, filled, strict=True)])


def scores_at_ends(responses: torch.Tensor) -> torch.Tensor:
    scores = torch.zeros(responses.shape)
    scores[:, -1] = torch.tensor([score for _, _, score in ROLLOUTS])
    return scores


def trainer(kind: type, tokenizer: Any) -> Any:
    """A trainer that can do nothing but write."""
    made = object.__new__(kind)
    made.tokenizer, made.global_steps = tokenizer, 7
    made._init_dump_executor()
    return made


def truths() -> np.ndarray:
    return np.array([{"ground_truth": CAPITALS[country], "style": "rule"} for country, _, _ in ROLLOUTS], dtype=object)


def dump_rollouts(tokens: Tokens, folder: Path) -> None:
    """`RayPPOTrainer._log_rollout_data`."""
    responses = tokens.padded(tokens.responses, left=False)
    batch = DataProto.from_dict(
        tensors={
            "prompts": tokens.padded(tokens.prompts, left=True),
            "responses": responses,
            "token_level_scores": scores_at_ends(responses),
        },
        non_tensors={
            "reward_model": truths(),
            "request_id": np.array([f"request-{number}" for number in range(4)], dtype=object),
        },
    )
    made = trainer(RayPPOTrainer, tokens.tokenizer)
    extra = {"acc": np.array([score > 0 for _, _, score in ROLLOUTS]), "data_source": ["capitals"] * 4}
    made._log_rollout_data(batch, extra, {}, str(folder))
    made._shutdown_dump_executor()


def dump_rollouts_v1(tokens: Tokens, folder: Path) -> None:
    """`_log_rollout_data` of the trainer of verl's `v1`, whose queue is answered by a function."""
    responses = tokens.padded(tokens.responses, left=False)
    jagged = {
        name: torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)
        for name, rows in (("prompts", tokens.prompts), ("responses", tokens.responses))
    }
    keys = [
        f"{'abcd' if country == 'Peru' else 'ef01'}_{number % 2}_0" for number, (country, *_) in enumerate(ROLLOUTS)
    ]
    data = TensorDict(
        {
            **jagged,
            "rm_scores": scores_at_ends(responses),
            "uid": NonTensorStack(*(key.rsplit("_", 2)[0] for key in keys)),
            "reward_model": NonTensorStack(*truths().tolist()),
        },
        batch_size=[4],
    )
    trainer_base.tq.kv_batch_get = lambda **_: data
    writing = type("Writing", (trainer_base.PPOTrainer,), {})
    writing.__abstractmethods__ = frozenset()
    made = trainer(writing, tokens.tokenizer)
    made._log_rollout_data(SimpleNamespace(keys=keys, partition_id="train"), {}, str(folder))
    made._shutdown_dump_executor()


def dump_validation(tokens: Tokens, folder: Path) -> None:
    """`RayPPOTrainer._dump_generations`, with what `_validate` gives it."""
    made = trainer(RayPPOTrainer, tokens.tokenizer)
    scores = [score for _, _, score in ROLLOUTS]
    made._dump_generations(
        inputs=[tokens.tokenizer.decode(ids, skip_special_tokens=True) for ids in tokens.prompts],
        outputs=[tokens.tokenizer.decode(ids, skip_special_tokens=True) for ids in tokens.responses],
        gts=[truth["ground_truth"] for truth in truths()],
        scores=scores,
        reward_extra_infos_dict={"reward": scores, "acc": [score > 0 for score in scores]},
        dump_path=str(folder),
    )
    made._shutdown_dump_executor()


def main(folder: Path) -> None:
    tokens = Tokens(AutoTokenizer.from_pretrained(save_small_qwen3(folder / "model")))
    writers = {
        "verl_rollouts": dump_rollouts,
        "verl_rollouts_v1": dump_rollouts_v1,
        "verl_validation": dump_validation,
    }
    for name, write in writers.items():
        write(tokens, folder / name)
        (folder / name / "7.jsonl").replace(folder / f"{name}.jsonl")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
