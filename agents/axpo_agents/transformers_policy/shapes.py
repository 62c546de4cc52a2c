"""Defines what is known of a model without its weights: empty and random models of its shape, its prompts' tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from axpo_agents.engine._tree_attention import TreeAttention
from axpo_agents.engine.network import Network
from axpo_agents.engine.sampler import Sampler
from axpo_agents.engine.vision import Patchifier
from axpo_agents.errors import PolicyError
from axpo_agents.families import family_of
from axpo_agents.formats._contexts import ContextEncoder, never_sampled
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.formats.image_settings import ImageSettings
from axpo_agents.formats.model_files import ModelFiles
from axpo_agents.formats.silence import no_progress_bars
from axpo_agents.scoring._scorer import Packing, Scorer
from axpo_agents.tiny import checkpoint_of, tiny_named
from axpo_agents.transformers_policy._adapters import TARGETS
from axpo_agents.transformers_policy._published import PREPROCESSOR, published
from axpo_agents.transformers_policy._weights import prepare

_WORDS: Final = 4096
"""Ids that random texts are made of, the first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BareModel:
    """A model with random weights that samples and scores ids, without a tokenizer: for measurements."""

    network: Network
    """The model."""
    scorer: Scorer
    """Scores sequences."""
    images: ImageSettings | None
    """How it wants its images."""
    words: tuple[int, ...]
    """Ids that texts may hold."""

    @property
    def image_token(self) -> int:
        """The id that stands for a piece of an image."""
        return int(self.network.image_token or 0)

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """Its weights."""
        return list(self.network.model.parameters())

    def scored_by(self, attention: str) -> Scorer:
        """What scores packed trees with another kind of attention: `dense`, the plain form, `flex` or `parts`."""
        return Scorer(self.network, Packing.TREE, TreeAttention(attention))

    def sampler(self, *, cache_bytes: int = 2**29) -> Sampler:
        """What draws turns that end by their limit alone, with nothing remembered as yet."""
        self.network.forget()
        return Sampler(self.network, (), cache_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model of which no weights are read."""

    name: str
    """What it was asked for by."""
    config: Any
    """Its config, as the Transformers library reads it."""
    images: ImageSettings | None
    """How it wants its images; None for a model that reads text alone."""
    contexts: ContextEncoder | None
    """Encodes prompts; None where its tokenizer is not at hand."""

    @property
    def shows_images(self) -> bool:
        """Whether it has an image tower."""
        return family_of(self.config.model_type).images is not None

    @property
    def plain_head(self) -> bool:
        """Whether its logits can be made piece by piece."""
        return family_of(self.config.model_type).plain_head

    def empty(self) -> Any:
        """The model on the device `meta`: modules and parameters of the right shapes, and no memory."""
        with torch.device("meta"):
            return self._made()

    def adapter_parameters(self, model: Any) -> int:
        """Parameters that LoRA adapters of rank 1 would add to a model of this shape."""
        adapted = (module for name, module in model.named_modules() if re.match(TARGETS, f"model.{name}"))
        return sum(module.in_features + module.out_features for module in adapted)

    def bare(
        self,
        *,
        dtype: torch.dtype,
        device: torch.device,
        packing: Packing = Packing.TREE,
        checkpointing: bool = False,
        seed: int = 0,
    ) -> BareModel:
        """A model of this shape with random weights, behind the operations of sampling and scoring.

        Args:
            dtype: of weights and computation.
            device: where it lies; weights are drawn there.
            packing: how sequences are laid out while they are scored.
            checkpointing: recompute activations in the backward pass.
            seed: of the weights.
        """
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with torch.random.fork_rng(devices=[]), torch.device(device):
                torch.manual_seed(seed)
                model = self._made()
        finally:
            torch.set_default_dtype(before)
        prepare(model.to(device), shows_images=self.shows_images)
        if checkpointing:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        patchifier = None if self.images is None else Patchifier(self.images)
        vocabulary = self.config.get_text_config().vocab_size
        network = Network(model, patchifier, vocabulary)
        unsaid = set(never_sampled(self.config, vocabulary))
        words = tuple(token for token in range(min(vocabulary, _WORDS)) if token not in unsaid)
        return BareModel(network=network, scorer=Scorer(network, packing), images=self.images, words=words)

    def _made(self) -> Any:
        loader = AutoModelForImageTextToText if self.shows_images else AutoModelForCausalLM
        return loader.from_config(self.config, attn_implementation="sdpa")


def known_model(model: str) -> KnownModel:
    """What is known of a model.

    Args:
        model: a name of an embedded policy, a folder in Hugging Face layout, a GGUF file, `qwen3-vl-2b`, `-4b` or `-8b`
            or their Hugging Face ids (whose shapes are known without a file), or another Hugging Face id.

    Raises:
        PolicyError: there is no such model, or it is damaged or unsuited.
    """
    tiny = tiny_named(model)
    if tiny is not None:
        return _of_files(model, str(checkpoint_of(tiny)))
    config = None if Path(model).expanduser().exists() else published(model)
    return _of_files(model, model) if config is None else _of_published(model, config)


def _of_published(model: str, config: Mapping[str, Any]) -> KnownModel:
    settings = {name: value for name, value in config.items() if name != "model_type"}
    made = AutoConfig.for_model(config["model_type"], **settings)
    return KnownModel(
        name=model, config=made, images=ImageSettings.from_config(PREPROCESSOR, where=model), contexts=None
    )


def _of_files(model: str, where: str) -> KnownModel:
    with no_progress_bars():
        files = ModelFiles(where)
        images = files.image_settings() if files.shows_images else None
        contexts = _contexts(files, images)
    return KnownModel(name=model, config=files.config, images=images, contexts=contexts)


def _contexts(files: ModelFiles, images: ImageSettings | None) -> ContextEncoder | None:
    try:
        tokenizer = files.tokenizer()
    except PolicyError:
        # A config alone is enough to plan with; a run will say what its tokenizer lacks.
        return None
    token = None if images is None else files.config.image_token_id
    image_text = None if token is None else tokenizer.convert_ids_to_tokens(token)
    chat = ChatFormat(tokenizer, tokenizer.chat_template, files.stop_ids(tokenizer), image_text, tells_images=True)
    return ContextEncoder(chat, images, token)
