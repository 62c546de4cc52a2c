"""Defines `TransformersPolicy`: a Hugging Face model that samples, scores, learns, is copied and saved."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from axpo_agents.engine._token_tree import TokenTree
from axpo_agents.engine.network import Network
from axpo_agents.engine.sampler import Sampler
from axpo_agents.errors import PolicyError
from axpo_agents.formats._contexts import ContextEncoder
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.passes import Pass
from axpo_agents.policy import Follower, Learner, Prefix, Sampled, TurnSpans
from axpo_agents.policy import Sampler as SamplerRole
from axpo_agents.scoring._scorer import Packing, Scorer
from axpo_agents.transformers_policy._adapters import merged
from axpo_agents.transformers_policy._saving import save_checkpoint
from axpo_agents.types import WHOLE, Context, Sampling, TokenSequence, Truncation
from axpo_envs.images import ImageRef
from axpo_envs.types import EpisodeState, Parts, ToolCall

if TYPE_CHECKING:
    from axpo_envs.env import ToolEnv


@dataclass(frozen=True, slots=True, kw_only=True)
class Computing:
    """How a policy computes; none of it changes a result beyond rounding."""

    cache_bytes: int
    """Memory for keys and values while sampling and between calls."""
    packing: Packing = Packing.TREE
    """How sequences are laid out while they are scored."""


class TransformersPolicy(SamplerRole, Learner):
    """A model of the Transformers library that samples and scores token ids; made by `load_policy`.

    Args:
        network: the model.
        chat: how conversations become tokens.
        files: further files of the checkpoint, written by `save`.
        adapters: peft's wrapper around the model if it has LoRA adapters.
        computing: memory and layout of its passes.
    """

    def __init__(
        self, *, network: Network, chat: ChatFormat, files: Mapping[str, bytes], adapters: Any, computing: Computing
    ) -> None:
        self._network = network
        self._chat = chat
        self._files = files
        self._adapters = adapters
        self._computing = computing
        self._sampler = Sampler(network, chat.stop_ids, computing.cache_bytes)
        self._scorer = Scorer(network, computing.packing)
        images = None if network.patchifier is None else network.patchifier.settings
        self._contexts = ContextEncoder(chat, images, network.image_token)
        self._version = 0

    @property
    def model(self) -> torch.nn.Module:
        """The Transformers model, adapters within."""
        model: torch.nn.Module = self._network.model
        return model

    @property
    def tokenizer(self) -> Any:
        """The Transformers tokenizer."""
        return self._chat.tokenizer

    @property
    def version(self) -> int:
        """Counts the updates of the weights."""
        return self._version

    @property
    def supports_images(self) -> bool:
        """Whether the model has an image tower."""
        return self._network.patchifier is not None

    @property
    def max_tokens(self) -> int | None:
        """The longest sequence that the model was made for, in tokens; None if its config does not say."""
        return getattr(self._network.text_config, "max_position_embeddings", None)

    def advance_version(self, version: int | None = None) -> None:
        """Says that the weights have changed: caches made with the old ones are dropped.

        Args:
            version: how many updates they have behind them; one more than before by default.
        """
        self._version = self._version + 1 if version is None else version
        self.forget()

    def forget(self) -> None:
        """Drops all kept keys, values and image features; later results differ by rounding at most."""
        self._sampler.memory.forget()
        self._network.forget()

    def trainable_parameters(self) -> list[torch.nn.Parameter]:
        """The parameters an optimizer updates, in a fixed order."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """The opening context: instructions, tool schemas and the question, through the checkpoint's chat template.

        Raises:
            PolicyError: the environment shows images, but the model has no image tower.
        """
        return self._contexts.encode_prompt(env, state)

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """The context between a turn whose sampled ids were `after` and the next turn."""
        return self._contexts.encode_observation(observation, after=after)

    def encode_message(self, message: Parts, *, after: Sequence[int]) -> Context:
        """The context between a turn and the next one where a user goes on with the conversation."""
        return self._contexts.encode_message(message, after=after)

    def encode_turn(self, turn: str) -> list[int]:
        """Ids of a given turn's text, or of a part of it, its end left out; it cannot claim to be more than a turn."""
        return self._chat.encode_turn(turn)

    def continued(self, turn: str) -> str:
        """A whole turn's text without what the chat template itself writes of it."""
        return self._chat.continued(turn)

    def encode_call(self, call: ToolCall) -> list[int]:
        """Ids of a call, written as the chat template asks for it; what it quotes ends no turn."""
        return self._chat.encode_call(call)

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The text of a turn as the environment parses it.

        A `<think>` that the chat template wrote into the prompt is put before the text.
        """
        return self._chat.decode_turn(ids)

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """Locates thinking and the first tool call where the environment's parser sees them."""
        return self._chat.find_spans(ids)

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        """Samples one turn after each prefix; deterministic on the CPU.

        With temperature 0 the most probable tokens are taken, with their log-probabilities at temperature 1.
        """
        return self._sampler.sample(prefixes, sampling, seed)

    def logprobs(
        self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token, with gradients where autograd is on."""
        return self._scorer.score(sequences, temperature, truncation)

    def plan(self, sequences: Sequence[TokenSequence], *, tokens: int) -> tuple[Pass, ...]:
        """Which sequences are best scored together; what they share is computed once per pass."""
        return self._scorer.plan(sequences, tokens)

    def tree(self, sequences: Sequence[TokenSequence]) -> TokenTree:
        """The sequences as one tree, everything they share held once: what a packed pass reads."""
        return self._scorer.tree(sequences)

    def image_inputs(self, images: Sequence[ImageRef]) -> dict[str, torch.Tensor]:
        """Images as the model's own `forward` takes them, for trainers of other libraries; {} without images.

        Returns:
            `pixel_values`, float32 of shape (patches, values), image by image; `image_grid_thw`, int64 of shape
            (images, 3).

        Raises:
            PolicyError: there are images, but the model has no image tower.
        """
        if not images:
            return {}
        patchifier = self._network.patchifier
        if patchifier is None:
            raise PolicyError(f"expected text only: the model has no image tower; got {len(images)} images")
        grids = [patchifier.settings.grid(image) for image in images]
        device = self._network.device
        patches = [patchifier.patches([image], grid, device) for image, grid in zip(images, grids, strict=True)]
        sizes = [[1, grid.height, grid.width] for grid in grids]
        return {"pixel_values": torch.cat(patches), "image_grid_thw": torch.tensor(sizes, device=device)}

    @property
    def image_token(self) -> int | None:
        """The id that stands for a piece of an image; None for a model without an image tower."""
        return self._network.image_token

    def reference(self) -> TransformersPolicy:
        """A policy that stays as this one is now: a frozen copy, or with LoRA the same model without its adapters."""
        network = self._network
        if self._adapters is None:
            model = copy.deepcopy(network.model).requires_grad_(False)
            frozen = Network(model, network.patchifier, network.vocabulary)
        else:
            frozen = Network(network.model, network.patchifier, network.vocabulary, self._adapters.disable_adapter)
        return TransformersPolicy(
            network=frozen, chat=self._chat, files=self._files, adapters=None, computing=self._computing
        )

    def follower(self) -> FollowingPolicy:
        """A policy with weights of its own that takes over this one's whenever it is told to."""
        network = self._network
        adapters = copy.deepcopy(self._adapters)
        model = copy.deepcopy(network.model) if adapters is None else adapters.get_base_model()
        policy = FollowingPolicy(
            network=Network(model, network.patchifier, network.vocabulary),
            chat=self._chat,
            files=self._files,
            adapters=adapters,
            computing=self._computing,
        )
        policy.stage(self)
        policy.adopt()
        return policy

    def save_adapters(self, folder: str | Path) -> None:
        """Writes LoRA adapters alone, as peft loads them onto the model that they were trained on.

        Raises:
            PolicyError: there are none.
        """
        if self._adapters is None:
            raise PolicyError("expected a policy with LoRA adapters; this one trains its weights")
        self._adapters.save_pretrained(folder, save_embedding_layers=False)

    def hollow(self) -> TransformersPolicy:
        """A policy like this one, with weights of its own that are empty until they are given it.

        The parameters of its model stand in the same order as this one's, the same of them trainable.
        """
        empty = {
            id(own): torch.nn.Parameter(own.detach().new_empty(0), requires_grad=own.requires_grad)
            for own in self.model.parameters()
        }
        model, adapters = copy.deepcopy((self.model, self._adapters), dict(empty))
        network = Network(model, self._network.patchifier, self._network.vocabulary)
        made = TransformersPolicy(
            network=network, chat=self._chat, files=self._files, adapters=adapters, computing=self._computing
        )
        made.advance_version(self._version)
        return made

    def save(self, folder: str | Path) -> None:
        """Writes a checkpoint that `from_pretrained` loads; replaces one that is there.

        LoRA adapters are merged into its weights, and lie beside them once more in the folder `adapters`, as peft loads
        them onto the model that they were trained on.
        """
        model = self.model if self._adapters is None else merged(self._adapters)
        save_checkpoint(Path(folder), model, self._chat.tokenizer, self._files, adapters=self._adapters)


class FollowingPolicy(TransformersPolicy, Follower):
    """A policy that samples with weights taken over from another; made by `TransformersPolicy.follower`.

    One thread samples with it while another updates the learner.
    """

    _staged: tuple[int, list[torch.Tensor]] | None = None

    def stage(self, learner: Learner) -> None:
        """Copies the learner's trainable weights aside."""
        if self._staged is None or self._staged[0] != learner.version:
            with torch.no_grad():
                copies = [parameter.detach().clone() for parameter in learner.trainable_parameters()]
            self._staged = learner.version, copies

    def adopt(self) -> None:
        """Samples with the weights that were copied last from now on, and has their version."""
        if self._staged is None:
            return
        version, copies = self._staged
        with torch.no_grad():
            for own, new in zip(self.trainable_parameters(), copies, strict=True):
                own.copy_(new)
        self.advance_version(version)
