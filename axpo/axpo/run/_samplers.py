"""Defines `opened_sampler`: what samples for a run, the learner itself or what follows its weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from axpo.cluster.opening import NOWHERE, Cluster
from axpo.distributed.ranks import ALONE, Ranks
from axpo.settings._engine import engine_options, prompt_settings, weight_form
from axpo.settings._serving import LEARNER, VLLM, samples_elsewhere
from axpo.settings.config import ConfigError, TrainConfig
from axpo_agents.policy import Sampler
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.plumbing.web import EnvironmentKey, Retries

WEIGHTS: Final = "weights"
"""Folder of a run in which weights lie that servers read."""
_SGLANG: Final = ("sglang", "sglang-lora")


def addresses(sampler: str) -> tuple[str, ...]:
    """The addresses of servers that a setting `sampler` names, none where it names another sampler.

    Raises:
        ConfigError: it names none.
    """
    if sampler in (LEARNER, VLLM):
        return ()
    urls = tuple(part.strip() for part in sampler.split(","))
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise ConfigError(
            f"sampler: expected {LEARNER}, {VLLM}, or addresses of servers such as http://host:8000 with commas in "
            f"between; got {sampler!r}"
        )
    if len(set(urls)) != len(urls):
        raise ConfigError(f"sampler: expected every server once; got {sampler!r}")
    return urls


def check_sampler(config: TrainConfig) -> None:
    """Checks what can be known of a run's sampler before any work.

    Raises:
        ConfigError: the sampler is unknown, or what is asked of it contradicts the other settings.
        MissingExtraError: a package is not installed.
    """
    urls = addresses(config.sampler)
    if urls:
        require_extra("remote", f"--sampler {config.sampler}")
        _check_addresses(urls)
    folder = config.serving.folder
    if config.sampler != LEARNER and folder is not None and Path(folder).exists() and not Path(folder).is_dir():
        raise ConfigError(f"serving.folder: expected a folder, in which weights are written; {folder} is a file")
    check_weight_form(config)
    if config.sampler == VLLM:
        from axpo_agents.remote import require_vllm

        # Workers of a cluster make sure of their own.
        if config.ray.address is None or not config.ray.rollouts.workers:
            require_vllm()
        engine_options(config)


def _check_addresses(urls: Sequence[str]) -> None:
    from axpo_envs.plumbing.web.service import checked_url

    for place, url in enumerate(urls, start=1):
        try:
            checked_url(url)
        except EnvConfigError as error:
            raise ConfigError(f"sampler: {error}; address {place} of {len(urls)} is none") from error


def check_weight_form(config: TrainConfig) -> None:
    """Checks that new weights can reach the sampler as they are asked to, whatever is installed.

    Raises:
        ConfigError: they cannot, or turns cannot be trained on as they would be sampled.
    """
    form = config.serving.weights
    if config.sampler == VLLM and form in _SGLANG:
        raise ConfigError(f"serving.weights: expected reload or lora, as weights reach vLLM; got {form}")
    if config.sampler != LEARNER and form in ("lora", "sglang-lora") and not config.policy.lora_rank:
        raise ConfigError(f"serving.weights: {form} takes adapters, so it needs policy.lora_rank above 0")
    whole = config.sampling.top_k == 0 and config.sampling.top_p == 1.0
    if config.sampler != LEARNER and form in _SGLANG and not whole:
        raise ConfigError(
            "sampling: SGLang tells log-probabilities of the whole distribution, so expected top_k 0 and top_p 1; "
            f"got {config.sampling.top_k} and {config.sampling.top_p}"
        )


def check_sharing(config: TrainConfig, *, learners: int) -> None:
    """Checks that what samples can do so for several learning processes.

    Raises:
        ConfigError: it cannot.
    """
    if config.sampler == VLLM and not samples_elsewhere(config):
        raise ConfigError(
            f"sampler: expected {LEARNER}, addresses of servers, or {VLLM} in workers of Ray (ray.rollouts), on "
            f"{learners} processes; got {VLLM} in this one"
        )
    if config.max_staleness and not samples_elsewhere(config):
        raise ConfigError(
            f"max_staleness: expected 0 where {learners} processes sample for themselves, which they do between their "
            f"updates; got {config.max_staleness}. Servers (sampler), or workers of Ray (ray.rollouts), sample ahead"
        )
    turns = config.ray.environments.workers
    if config.ray.address is not None and not samples_elsewhere(config) and 0 < turns < learners:
        raise ConfigError(
            f"ray.environments.workers: expected one at least for each of {learners} processes that sample for "
            f"themselves; got {turns}"
        )


@contextmanager
def opened_sampler(
    config: TrainConfig, policy: TransformersPolicy, cluster: Cluster = NOWHERE, ranks: Ranks = ALONE
) -> Iterator[Sampler | None]:
    """What samples for a run, closed behind the block.

    Args:
        config: the run's, checked.
        policy: what learns.
        cluster: workers that may sample.
        ranks: the processes of the run; where others sample, they do so for the first one.

    Returns:
        None on a process for which nothing samples.

    Raises:
        PolicyError: a server, or vLLM, cannot do what is needed.
        InfrastructureFault: a server stayed unreachable.
        PeerFailed: either happened to the first process.
    """
    with ExitStack() as until_done:
        here = ranks.is_first or not samples_elsewhere(config)
        yield ranks.each(lambda: until_done.enter_context(_opened(config, policy, cluster)) if here else None)


@contextmanager
def _opened(config: TrainConfig, policy: TransformersPolicy, cluster: Cluster) -> Iterator[Sampler]:
    if cluster.sampler is not None:
        yield cluster.sampler
        return
    if config.sampler == LEARNER:
        # Sampling ahead needs weights that stay while the learner's change.
        yield policy.follower() if config.max_staleness else policy
        return
    own = Path(config.out) / WEIGHTS
    # What a killed run left there; a folder that others may share is left alone.
    shutil.rmtree(own, ignore_errors=True)
    folder = own if config.serving.folder is None else Path(config.serving.folder)
    with _served(config, folder) if config.sampler != VLLM else _in_process(config, folder) as sampler:
        yield sampler


@contextmanager
def _served(config: TrainConfig, folder: Path) -> Iterator[Sampler]:
    from axpo_agents.remote import RemoteSettings, WeightForm, load_served_sampler

    serving = config.serving
    url, *more = addresses(config.sampler)
    settings = RemoteSettings(
        url=url,
        more=tuple(more),
        model=serving.model,
        key=None if serving.key_variable is None else EnvironmentKey(serving.key_variable),
        timeout_s=serving.timeout_s,
        retries=Retries(attempts=serving.attempts),
        concurrency=serving.concurrency,
        images=serving.images,
    )
    form, prompts = WeightForm(weight_form(config)), prompt_settings(config.policy)
    with load_served_sampler(config.model, settings, form, folder, prompts) as sampler:
        yield sampler


@contextmanager
def _in_process(config: TrainConfig, folder: Path) -> Iterator[Sampler]:
    from axpo_agents.remote import WeightForm, load_vllm_sampler

    form, prompts = WeightForm(weight_form(config)), prompt_settings(config.policy)
    with load_vllm_sampler(config.model, form, folder, engine_options(config), prompts) as sampler:
        yield sampler
