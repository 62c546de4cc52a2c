"""Defines `ServedSampler`: servers that sample with the weights of a learner that is elsewhere, as they change."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from axpo_agents.errors import PolicyError
from axpo_agents.policy import Follower
from axpo_agents.remote._adapter_modules import list_modules
from axpo_agents.remote._fleet import Fleet
from axpo_agents.remote._loading import check_abilities, load_model
from axpo_agents.remote._model import RemoteModel
from axpo_agents.remote._policy import Engine, RemotePolicy
from axpo_agents.remote._settings import PLAIN_PROMPTS, PromptSettings, RemoteSettings
from axpo_agents.remote._weights import WeightForm, Weights


class FollowingEngine(Engine, Protocol):
    """What samples with weights that it takes over: servers, or an engine in this process."""

    @property
    def at_once(self) -> int:
        """Calls that it takes at a time."""
        ...

    def adopt(self, weights: Weights) -> None:
        """Samples with them from now on."""
        ...


class Written(Protocol):
    """A learner, as far as its weights are written down."""

    @property
    def version(self) -> int:
        """How many updates they have behind them."""
        ...

    def save(self, folder: str | Path) -> None:
        """Writes them, with everything that loads them again."""
        ...


@runtime_checkable
class AdaptedLearner(Protocol):
    """A learner that trains adapters."""

    def save_adapters(self, folder: Path) -> None:
        """Writes them as peft loads them."""
        ...


class WeightFolder:
    """Writes a learner's weights where what samples reads them, and removes those that are no longer needed.

    Args:
        folder: where; made when it is needed.
        form: what is written: a whole checkpoint, or adapters alone.
    """

    def __init__(self, folder: Path, form: WeightForm) -> None:
        self._folder = folder
        self._form = form
        # No two processes call weights the same: those that a resumed run has a second time may differ.
        self._session = secrets.token_hex(4)
        self._written: list[Path] = []

    def write(self, learner: Written) -> Weights:
        """Writes the weights of now.

        Raises:
            PolicyError: adapters are wanted of a learner that has none.
        """
        name = f"axpo-{self._session}-{learner.version}"
        weights = Weights(version=learner.version, name=name, folder=(self._folder / name).absolute())
        if not self._form.adapters:
            learner.save(weights.folder)
        elif isinstance(learner, AdaptedLearner):
            learner.save_adapters(weights.folder)
            if self._form is WeightForm.SGLANG_LORA:
                list_modules(weights.folder)
        else:
            raise PolicyError("expected a learner with LoRA adapters, which servers load by name; this one has none")
        self._written.append(weights.folder)
        return weights

    def keep_from(self, weights: Weights) -> None:
        """Removes what was written before these; servers that were started again read these once more."""
        place = self._written.index(weights.folder)
        for old in self._written[:place]:
            shutil.rmtree(old, ignore_errors=True)
        del self._written[:place]

    def clear(self) -> None:
        """Removes what was written."""
        for old in self._written:
            shutil.rmtree(old, ignore_errors=True)
        self._written.clear()


class ServedSampler(RemotePolicy, Follower):
    """Servers that sample with the weights of a learner that is elsewhere, as they change; see `load_served_sampler`.

    Args:
        engine: the servers, or an engine in this process.
        model: what is known of the model here.
        weights: where the learner's weights are written.
    """

    def __init__(self, engine: FollowingEngine, model: RemoteModel, weights: WeightFolder) -> None:
        super().__init__(engine, model)
        self._engine = engine
        self._folder = weights
        self._staged: Weights | None = None
        self._adopted: Weights | None = None

    @property
    def version(self) -> int:
        """How many updates the weights have behind them that sample now."""
        return 0 if self._adopted is None else self._adopted.version

    @property
    def at_once(self) -> int:
        """Turns that are asked for at a time."""
        return self._engine.at_once

    def stage(self, learner: Written) -> None:
        """Writes the learner's weights down."""
        if self._staged is None or self._staged.version != learner.version:
            self._staged = self._folder.write(learner)

    def adopt(self) -> None:
        """Has the servers sample with the weights that were written last.

        Raises:
            InfrastructureFault: no server could be reached.
            ServiceRefusedError: a server does not take them; the message says why.
        """
        staged = self._staged
        if staged is not None and staged != self._adopted:
            self._engine.adopt(staged)
            self._adopted = staged
            self._folder.keep_from(staged)

    def discard(self) -> None:
        """Removes the weights that were written, where nothing reads them again."""
        self._folder.clear()

    def close(self) -> None:
        """Closes the connections, and removes the weights that were written."""
        super().close()
        self.discard()


def load_served_sampler(
    tokenizer: str, settings: RemoteSettings, form: WeightForm, folder: Path, prompts: PromptSettings = PLAIN_PROMPTS
) -> ServedSampler:
    """Connects to servers, and makes sure that each can do what is needed.

    Args:
        tokenizer: the checkpoint that the learner began with, as for `load_remote_policy`.
        settings: which servers are asked, and how.
        form: how new weights reach them.
        folder: where they are written; the servers must see it under the same path.
        prompts: what prompts are made with.

    Raises:
        PolicyError: a server cannot take or give what is needed, does not tell the version of its weights, or answers
            for adapters that it does not have.
        EnvConfigError: a setting is unusable, or the key is missing.
        InfrastructureFault: a server stayed unreachable.
    """
    settings = replace(settings, dialect=form.dialect)
    fleet = Fleet(settings, form)
    sampler = ServedSampler(fleet, load_model(tokenizer, prompts, images=settings.images), WeightFolder(folder, form))
    try:
        for server in fleet.servers:
            versions = check_abilities(server, sampler, adapters=form.adapters)
            if not form.adapters and not versions:
                raise PolicyError(
                    f"{server.settings.url}: expected a server that tells by which weights it sampled (vLLM with "
                    "`--enable-scale-out` and VLLM_SERVER_DEV_MODE=1, 0.32 for one; SGLang); its answer does not say"
                )
    except BaseException:
        sampler.close()
        raise
    return sampler
