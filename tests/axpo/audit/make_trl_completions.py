"""Makes `trl_completions.parquet`: what TRL logs of two steps of a small random model.

    python tests/axpo/audit/make_trl_completions.py FOLDER

writes `completions/completions_0000N.parquet` into the folder; the first is the fixture.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from axpo_agents.testing import save_small_qwen3


def short(completions: list[str], **_: object) -> list[float]:
    return [float(len(completion) % 2) for completion in completions]


def some(completions: list[str], **_: object) -> list[float | None]:
    return [0.5 if completion[:1] < "m" else None for completion in completions]


def main(folder: Path) -> None:
    model = save_small_qwen3(folder / "model")
    prompts = [f"Which city is number {number}?" for number in range(4)]
    config = GRPOConfig(
        output_dir=str(folder),
        max_steps=2,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=12,
        log_completions=True,
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        seed=0,
    )
    GRPOTrainer(
        model=str(model), reward_funcs=[short, some], args=config, train_dataset=Dataset.from_dict({"prompt": prompts})
    ).train()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
