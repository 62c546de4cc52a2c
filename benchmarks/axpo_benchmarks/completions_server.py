"""Defines `axpo-bench completions-server`: a policy on loopback over the interface of vLLM, as the tests use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from axpo.settings.config_file import checked
from axpo.terminal.unfailing import tell
from axpo_agents.testing import CompletionsServer
from axpo_agents.transformers_policy import load_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionsServerConfig:
    """Serve a policy over vLLM's interface until Ctrl-C: turns, new weights, adapters. For tries, not for speed."""

    model: str = "tiny"
    """The policy: `tiny`, `tiny-random`, a checkpoint folder, or a Hugging Face id."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on, on loopback; 0 takes a free one."""
    kind: Literal["vllm", "sglang"] = "vllm"
    """Whose interface."""


def run_completions_server(config: CompletionsServerConfig) -> int:
    """Serves; returns the exit code."""
    config = checked(config)
    torch.set_num_threads(1)
    server = CompletionsServer(load_policy(config.model), kind=config.kind, quick=True, port=config.port)
    tell(f"serving  {server.url.removesuffix('/v1')}")
    server.serve()
    return 0
