"""Defines `list_modules`, which names the modules of saved adapters one by one, as SGLang wants them named."""

from __future__ import annotations

import json
from pathlib import Path

from axpo_envs.plumbing.whole_files import write_whole


def list_modules(folder: Path) -> None:
    """Replaces the pattern of modules in a folder of adapters by the names of those that have weights there.

    peft takes a pattern, SGLang a list. The names stand in the header of the weights: 8 bytes of length, then JSON.
    """
    with (folder / "adapter_model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    names = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in header if ".lora_" in name})
    config = folder / "adapter_config.json"
    told = json.loads(config.read_text(encoding="utf-8"))
    write_whole(config, json.dumps({**told, "target_modules": names}, indent=2).encode())
