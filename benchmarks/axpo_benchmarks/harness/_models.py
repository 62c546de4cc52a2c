"""Defines `open_engine`: what a model's name stands for, ready to make rollouts."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig
from axpo.settings.config import ConfigError
from axpo_agents.policy import TextAgent
from axpo_agents.types import Sampling, Truncation
from axpo_benchmarks.harness._engines import Engine, SpeakerEngine, TokenEngine
from axpo_benchmarks.harness._said import Speaker, Spoken
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.plumbing.named_object import load_named, make_plain
from axpo_envs.plumbing.web import EnvironmentKey

_NAMED: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_ENV: Final = "axpo/Benchmark-v0"


def names_agent(config: BenchmarkEvalConfig) -> bool:
    """Whether the model is `package.module:NAME`."""
    return not config.is_server and is_agent_name(config.model)


def is_agent_name(model: str) -> bool:
    """Whether a name is `package.module:NAME`."""
    return _NAMED.fullmatch(model) is not None


@contextmanager
def open_engine(config: BenchmarkEvalConfig, *, warn: Callable[[str], None]) -> Iterator[tuple[Engine, str | None]]:
    """Makes ready what makes rollouts; yields it with what tells the model's weights.

    Args:
        config: what is evaluated.
        warn: told of damaged checkpoints that were passed over.

    Raises:
        ConfigError: a setting does not suit the model.
        PolicyError: the checkpoint cannot be loaded, or the server cannot do what is needed.
        MissingExtraError: a package is not installed.
        InfrastructureFault: the server stayed unreachable.
    """
    protocol = config.protocol
    if names_agent(config):
        speaker = agent_named(config.model)
        yield SpeakerEngine(speaker=speaker, seed=protocol.seed), config.revision
    elif config.is_server and config.tokenizer is None:
        with closing(_chat(config)) as chat:
            yield SpeakerEngine(speaker=chat, seed=protocol.seed, threads=config.workers), config.revision
    else:
        with _tokens(config, warn) as opened:
            yield opened


@contextmanager
def _tokens(config: BenchmarkEvalConfig, warn: Callable[[str], None]) -> Iterator[tuple[Engine, str | None]]:
    require_extra("remote" if config.is_server else "train", f"`axpo eval --benchmark` of {config.model}")
    from axpo import EvalConfig, locate_checkpoint
    from axpo.checkpoint_evaluation import open_policy

    protocol = config.protocol
    located = locate_checkpoint(
        EvalConfig(
            checkpoint=config.model,
            tokenizer=config.tokenizer,
            key_variable=config.key_variable,
            env=_ENV,
            seed=protocol.seed,
            policy=config.policy,
        ),
        warn=warn,
    )
    sampling = Sampling(
        temperature=protocol.temperature,
        truncation=Truncation(top_k=protocol.top_k, top_p=protocol.top_p),
        presence_penalty=protocol.presence_penalty,
        max_turn_tokens=protocol.max_turn_tokens,
        max_episode_tokens=protocol.max_episode_tokens,
    )
    revision = config.revision or _weights(located.checkpoint)
    with open_policy(located) as policy:
        # What waits for a server is asked question by question, so that none waits for the slowest of a batch.
        at_a_time, threads = (1, config.workers) if config.is_server else (config.at_a_time, 1)
        yield (
            TokenEngine(policy=policy, sampling=sampling, seed=protocol.seed, at_a_time=at_a_time, threads=threads),
            revision,
        )


def _weights(checkpoint: str) -> str | None:
    """A hash over the weights of a folder; None where the checkpoint is no folder."""
    folder = Path(checkpoint)
    if checkpoint == "tiny":
        from axpo_agents.tiny import tiny_folder

        folder = tiny_folder()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def agent_named(name: str) -> Speaker:
    """The agent of `package.module:NAME`: an agent, its class, or a function that makes one.

    Raises:
        ConfigError: it is none.
    """
    found: Any = load_named(name, "model")
    if inspect.isclass(found):
        found = make_plain(found, "model")
    elif inspect.isroutine(found):
        found = found()
    if isinstance(found, Speaker):
        return found
    if not callable(getattr(found, "act", None)):
        raise ConfigError(f"model: expected an agent with act(observation, state), or its class; got {name}")
    agent: TextAgent = found
    return Spoken(agent)


def _chat(config: BenchmarkEvalConfig) -> Any:
    require_extra("remote", f"`axpo eval --benchmark` of {config.model}")
    from axpo_benchmarks.harness.chat_agent import ChatAgent, ChatSettings

    protocol = config.protocol
    return ChatAgent(
        ChatSettings(
            url=config.model,
            model=config.served_model,
            key=None if config.key_variable is None else EnvironmentKey(config.key_variable),
            temperature=protocol.temperature,
            top_p=protocol.top_p,
            top_k=protocol.top_k,
            presence_penalty=protocol.presence_penalty,
            max_tokens=protocol.max_turn_tokens,
        )
    )
