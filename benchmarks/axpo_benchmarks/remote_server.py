"""Defines `axpo-bench remote-server`: whether a server samples and scores as this package computes it.

The server must run the same checkpoint with the same weights. Log-probabilities that it reports while sampling are held
against a full forward pass here, at every temperature, after plain prompts, branches and prompts with images.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from rich.console import Console

from axpo.commands.arguments import check_output, write_json
from axpo.run.validation import check_model
from axpo.settings.config_file import checked
from axpo.settings.model import ModelConfig
from axpo.settings.values import Count, NonNegative
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import say
from axpo_agents.policy import Prefix, Sampled, Sampler
from axpo_agents.remote import Dialect, RemotePolicy, RemoteSettings, load_remote_policy
from axpo_agents.transformers_policy import LoadSettings, PolicyError, TransformersPolicy, load_policy
from axpo_agents.types import Sampling, TokenSequence
from axpo_benchmarks.machine import provenance
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.web import EnvironmentKey

_TEMPERATURES: Final = (1.0, 0.7, 0.0)
_QUESTIONS: Final = ("What is written on the sign?", "How many birds are there?", "Which door is open?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteServerConfig:
    """Hold a server's log-probabilities against a forward pass of the same checkpoint here."""

    url: str
    """Where its API begins, such as `http://host:8000/v1`."""
    checkpoint: str
    """The checkpoint that it runs: a folder in Hugging Face layout, or a Hugging Face id."""
    model: str | None = None
    """The model's name at the server."""
    dialect: Literal["completions", "vllm", "sglang"] = "completions"
    """Which endpoints are asked."""
    key_variable: str | None = None
    """The environment variable that holds the server's key."""
    images: bool = True
    """Send images, if the model sees them."""
    samples: Count = 8
    """Turns after each prompt."""
    tokens: Count = 48
    """Most tokens of a turn."""
    device: str = "cpu"
    """Where the forward pass runs."""
    dtype: str = "float32"
    """Its precision; the server's own shows in the differences."""
    limit: NonNegative = 1e-3
    """Largest difference of a log-probability recorded while sampling."""
    json: Path | None = None
    """Write the figures to this file."""


def run_remote_server(config: RemoteServerConfig) -> int:
    """Measures, prints, writes; returns the exit code: 1 if a difference exceeds the limit."""
    config = checked(config)
    check_output(config.json)
    check_model(config.checkpoint, ModelConfig(device=config.device))
    key = None if config.key_variable is None else EnvironmentKey(config.key_variable)
    settings = RemoteSettings(
        url=config.url,
        model=config.model,
        key=key,
        images=config.images,
        samples_per_request=config.samples,
        dialect=Dialect(config.dialect),
    )
    local = load_policy(config.checkpoint, LoadSettings(device=config.device, dtype=config.dtype))
    with (
        load_remote_policy(config.checkpoint, settings) as remote,
        Heartbeat(lambda line: say(f"axpo-bench: {line}")) as heartbeat,
    ):
        heartbeat.doing("comparing")
        rows = measure(local, remote, config)
    write_json(config.json, {**provenance(), "rows": rows})
    console = Console()
    for row in rows:
        limit = "" if "limit" not in row else f"  (at most {row['limit']:g})"
        console.print(f"{row['name']:<44}{row['value']:>12.3g} {row['unit']}{limit}", highlight=False, soft_wrap=True)
    return int(any(row["value"] > row.get("limit", row["value"]) for row in rows))


def measure(local: TransformersPolicy, remote: RemotePolicy, config: RemoteServerConfig) -> list[dict[str, Any]]:
    """The rows of the table: differences, and how fast the server answered.

    Args:
        local: the checkpoint here.
        remote: the checkpoint at the server.
        config: how much is sampled.
    """
    kinds = {"text": [_prompt(remote, question) for question in _QUESTIONS]}
    if remote.supports_images:
        kinds["images"] = [_prompt(remote, _image(seed), question) for seed, question in enumerate(_QUESTIONS)]
    rows: list[dict[str, Any]] = []
    for kind, prompts in kinds.items():
        group = [prompt for prompt in prompts for _ in range(config.samples)]
        for temperature in _TEMPERATURES:
            where = f"{kind}, temperature {temperature:g}"
            sampling = Sampling(temperature=temperature, max_turn_tokens=config.tokens)
            start = time.perf_counter()
            turns = remote.sample(group, sampling, seed=0)
            seconds = time.perf_counter() - start
            different = {(prefix, turn.ids) for prefix, turn in zip(group, turns, strict=True)}
            branches = [_branch(prefix, turn) for prefix, turn in zip(group, turns, strict=True)]
            for name, prefixes in (("turns", group), ("branches", branches)):
                written = turns if prefixes is group else remote.sample(branches, sampling, seed=1)
                sequences = _sequences(prefixes, written)
                recorded = [torch.tensor(turn.logprobs) for turn in written]
                worst = _largest(recorded, _scores(local, sequences, temperature or 1.0))
                rows.append({"name": f"{where}: {name}", "value": worst, "unit": "nats", "limit": config.limit})
            rows.append({"name": f"{where}: different of {len(group)}", "value": len(different), "unit": "turns"})
            speed = sum(len(ids) for _, ids in different) / seconds
            rows.append({"name": f"{where}: sampling", "value": speed, "unit": "tokens/s"})
        scored = _sequences(group, turns)
        try:
            worst = _largest(remote.logprobs(scored), _scores(local, scored, 1.0))
        except PolicyError as error:
            print(f"{kind}: {error}", file=sys.stderr)
            continue
        rows.append({"name": f"{kind}: scoring over all ids", "value": worst, "unit": "nats"})
    return rows


def _prompt(policy: Sampler, *parts: str | ImageRef) -> Prefix:
    context = policy.encode_observation(parts, after=())
    return Prefix(sequence=TokenSequence.of((), then=context))


def _image(seed: int) -> ImageRef:
    # Of a size that every preprocessor changes.
    return ImageRef(np.random.default_rng(seed).integers(0, 256, (230, 450, 3), dtype=np.uint8))


def _branch(prefix: Prefix, turn: Sampled) -> Prefix:
    """The same prompt, the first half of the turn forced."""
    return Prefix(sequence=prefix.sequence, forced=turn.ids[: len(turn.ids) // 2])


def _sequences(prefixes: Sequence[Prefix], turns: Sequence[Sampled]) -> list[TokenSequence]:
    """Prefixes and what was sampled after them."""
    sequences = []
    for prefix, turn in zip(prefixes, turns, strict=True):
        given = prefix.sequence.ids + prefix.forced
        sequences.append(
            TokenSequence(
                ids=given + turn.ids,
                images=prefix.sequence.images,
                sampled=(False,) * len(given) + (True,) * len(turn.ids),
                logprobs=(0.0,) * len(given) + turn.logprobs,
            )
        )
    return sequences


def _scores(policy: TransformersPolicy, sequences: Sequence[TokenSequence], temperature: float) -> list[torch.Tensor]:
    with torch.no_grad():
        return policy.logprobs(sequences, temperature=temperature)


def _largest(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    return max(float((a - b.cpu()).abs().max()) for a, b in zip(ours, theirs, strict=True) if len(a))
