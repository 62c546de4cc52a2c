"""Defines `Network`: a causal language model, with or without an image tower, as a function from tokens to logits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from axpo_agents.engine._choices import Choices, choice_logprobs
from axpo_agents.engine._image_attention import IMAGE_ATTENTION
from axpo_agents.engine._image_features import FeatureMemory, ImageFeature, ImageFeatures
from axpo_agents.engine._kv_cache import SlotCache
from axpo_agents.engine._positions import multimodal_positions, text_positions
from axpo_agents.engine._reading import Reading
from axpo_agents.engine._training_modes import modes_of_training
from axpo_agents.engine._tree_attention import TreeMask
from axpo_agents.engine.vision import Patchifier
from axpo_agents.errors import PolicyError
from axpo_agents.families import family_of
from axpo_agents.formats._contexts import never_sampled
from axpo_agents.formats.image_settings import Grid
from axpo_envs.images import ImageRef

_FEATURE_BYTES: Final = 2**30
"""Memory for what a frozen tower made of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """Stretches of tokens, padded to rows of one length."""

    ids: torch.Tensor
    """int64, shape (rows, length)."""
    positions: torch.Tensor
    """int64, shape (axes, rows, length)."""
    filled: npt.NDArray[np.bool_]
    """False where a row is padded; shape (rows, length)."""
    images: tuple[ImageRef, ...]
    """The images of all rows, row by row."""


class Network:
    """A model of the Transformers library behind the few operations that sampling and scoring need.

    Args:
        model: the model, as `ModelFiles.model` prepares it.
        patchifier: prepares images; None for a model without an image tower.
        vocabulary: number of ids that the tokenizer can decode; ids from there on are never sampled.
        adapters: entered around every forward pass; switches adapters off for a reference policy.
    """

    def __init__(
        self,
        model: Any,
        patchifier: Patchifier | None,
        vocabulary: int,
        adapters: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.model = model
        self.patchifier = patchifier
        self.vocabulary = vocabulary
        self.adapters = adapters
        self._memory = FeatureMemory(_FEATURE_BYTES)
        model.eval()
        self._modes = modes_of_training(model)
        # Transformers 5.24 renamed the argument, and warns of the old name.
        self._cache_argument = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        self.axes = 1 if patchifier is None else 3
        config = model.config
        self.image_token: int | None = None if patchifier is None else config.image_token_id
        self.text_config = config.get_text_config()
        forbidden = never_sampled(config, vocabulary)
        self._forbidden = torch.tensor(forbidden, dtype=torch.long, device=self.device)
        self._pad = next(token for token in range(vocabulary) if token not in forbidden)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

    @property
    def layer_count(self) -> int:
        """Decoder layers."""
        return int(self.text_config.num_hidden_layers)

    @property
    def bytes_per_slot(self) -> int:
        """Memory of one token's keys and values in all layers."""
        config = self.text_config
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * self.layer_count * config.num_key_value_heads * head * self.model.dtype.itemsize)

    def read(self, ids: Sequence[int], images: Sequence[ImageRef]) -> Reading:
        """Lays out a sequence.

        Raises:
            PolicyError: the placeholders in `ids` are not those of `images`.
        """
        array = np.asarray(ids, dtype=np.int64)
        if self.patchifier is None:
            if images:
                raise PolicyError(f"expected text only: the model has no image tower; got {len(images)} images")
            return Reading(ids=array, positions=text_positions(len(array), 1), images=(), starts=())
        settings = self.patchifier.settings
        grids = [settings.grid(image) for image in images]
        sizes = [settings.token_count(grid) for grid in grids]
        placeholders = np.flatnonzero(array == self.image_token)
        if len(placeholders) != sum(sizes):
            raise PolicyError(
                f"expected {sum(sizes)} placeholders for images of {sizes} tokens; got {len(placeholders)}"
            )
        firsts = np.cumsum([0, *sizes])[:-1]
        starts = tuple(int(placeholders[first]) for first in firsts)
        merged = [Grid(grid.height // settings.merge, grid.width // settings.merge) for grid in grids]
        positions = multimodal_positions(len(array), starts, merged)
        return Reading(ids=array, positions=positions, images=tuple(images), starts=starts)

    def collate(self, rows: Sequence[Reading], *, align: str, padding: int = 0) -> TokenBatch:
        """Pads stretches to one length.

        Args:
            rows: the stretches.
            align: "left" (padding behind) or "right" (padding in front).
            padding: how many tokens longer than the longest row the batch becomes.
        """
        length = max(len(row) for row in rows) + padding
        ids = np.full((len(rows), length), self._pad, dtype=np.int64)
        filled = np.zeros((len(rows), length), dtype=np.bool_)
        # Padding goes on counting, so that no attention takes a row for several packed ones.
        positions = np.tile(np.arange(length, dtype=np.int64), (self.axes, len(rows), 1))
        for index, row in enumerate(rows):
            size = len(row)
            place = slice(0, size) if align == "left" else slice(length - size, length)
            ids[index, place] = row.ids
            filled[index, place] = True
            positions[:, index, place] = row.positions
            positions[:, index, place.stop :] += positions[0, index, place.stop - 1] + 1 - place.stop
        return TokenBatch(
            ids=torch.from_numpy(ids).to(self.device),
            positions=torch.from_numpy(positions).to(self.device),
            filled=filled,
            images=tuple(image for row in rows for image in row.images),
        )

    def encode_images(self, images: Sequence[ImageRef]) -> ImageFeatures | None:
        """Runs the tower once per distinct image, once until `forget` if it is frozen; None without images."""
        if not images or self.patchifier is None:
            return None
        distinct = {image.digest: image for image in images}
        found = self._memory.find(distinct) if self._tower_is_frozen else {}
        by_grid: dict[Grid, list[ImageRef]] = {}
        for digest, image in distinct.items():
            if digest not in found:
                by_grid.setdefault(self.patchifier.settings.grid(image), []).append(image)
        made: dict[str, ImageFeature] = {}
        with self._forward_mode():
            for grid, members in by_grid.items():
                levels = self._run_tower(members, grid)
                split = zip(*(level.chunk(len(members)) for level in levels), strict=True)
                made.update(zip((image.digest for image in members), split, strict=True))
        if self._tower_is_frozen:
            self._memory.keep(made)
        return ImageFeatures.of({**found, **made})

    def forget(self) -> None:
        """Drops what is kept of a frozen tower's work."""
        self._memory.forget()

    def logits(
        self,
        batch: TokenBatch,
        *,
        keep: int,
        features: ImageFeatures | None = None,
        cache: SlotCache | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Next-token logits, float32, with -inf for ids that are never sampled.

        Args:
            batch: what to read.
            keep: how many positions of every row, the last ones.
            features: of the batch's images at least.
            cache: keys and values of what was read before; the batch is added to it.
            mask: bool tensor of shape (rows, 1, length, slots + length); None is plain causal attention.

        Returns:
            Shape (rows, keep, vocabulary).
        """
        trunks = {"trunks": cache.shared} if cache is not None and cache.shared else {}
        with self._forward_mode():
            output = self.model(
                **self._inputs(batch, features, mask),
                **trunks,
                **{self._cache_argument: None if cache is None else cache.library_cache},
                use_cache=cache is not None,
                logits_to_keep=keep,
            )
        return self._possible(output.logits)

    def logprobs(
        self,
        batch: TokenBatch,
        choices: Choices,
        *,
        mask: TreeMask | None = None,
        features: ImageFeatures | None = None,
    ) -> torch.Tensor:
        """Log-probabilities of choices made in a batch, float32, shape (choices,).

        Args:
            batch: what to read.
            choices: what is scored.
            mask: that of a tree in one row; None is plain causal attention.
            features: of the batch's images at least.
        """
        inputs = self._inputs(batch, features, mask) | {"use_cache": False}
        places = torch.from_numpy(choices.places).to(self.device)
        vocabulary = self.text_config.vocab_size
        with self._forward_mode():
            if not family_of(self.model.config.model_type).plain_head:
                logits = self._possible(self.model(**inputs, logits_to_keep=places).logits)
                return choice_logprobs(logits, lambda part: part, choices, vocabulary=vocabulary)
            hidden = self.model.model(**inputs).last_hidden_state[places]
            return choice_logprobs(
                hidden, lambda p: self._possible(self.model.lm_head(p)), choices, vocabulary=vocabulary
            )

    def step_logits(
        self, tokens: torch.Tensor, positions: torch.Tensor, cache: SlotCache, visible: torch.Tensor | None
    ) -> torch.Tensor:
        """Next-token logits after one more text token per row.

        Args:
            tokens: ids, shape (rows,).
            positions: their rotary positions, shape (rows,).
            cache: what was read before; the tokens are added to it.
            visible: bool tensor of shape (rows, at least slots + 1), the slots each row sees; None for all.

        Returns:
            float32 tensor of shape (rows, vocabulary).
        """
        mask = None if visible is None else visible[:, None, None, : cache.slots + 1]
        batch = TokenBatch(
            ids=tokens[:, None],
            positions=positions[:, None].expand(self.axes, -1, 1),
            filled=np.ones((len(tokens), 1), dtype=np.bool_),
            images=(),
        )
        return self.logits(batch, keep=1, cache=cache, mask=mask)[:, -1]

    def _inputs(
        self, batch: TokenBatch, features: ImageFeatures | None, mask: torch.Tensor | TreeMask | None
    ) -> dict[str, Any]:
        inputs: dict[str, Any] = {"attention_mask": mask}
        if isinstance(mask, TreeMask):
            inputs = {"attention_mask": mask.mask, "tree_parts": mask.parts}
        if batch.images and features is not None:
            inputs["mm_encoder_outputs"] = {"image": features.ordered(batch.images)}
        positions = batch.positions if self.axes > 1 else batch.positions[0]
        return {"input_ids": batch.ids, "position_ids": positions, **inputs}

    def _possible(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits in float32, with -inf for ids that are never sampled."""
        return logits.float().index_fill_(-1, self._forbidden, -torch.inf)

    def _forward_mode(self) -> AbstractContextManager[Any]:
        for module in self._modes:
            module.training = torch.is_grad_enabled()
        return self.adapters()

    @property
    def _tower_is_frozen(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.model.model.visual.parameters())

    def _run_tower(self, images: list[ImageRef], grid: Grid) -> list[torch.Tensor]:
        """The tower's output and its deepstack levels, each of shape (images x tokens, hidden size)."""
        assert self.patchifier is not None
        patches = self.patchifier.patches(images, grid, self.device)
        tower = self.model.model.visual
        grids = torch.tensor([[1, grid.height, grid.width]] * len(images), device=self.device)
        options: dict[str, Any] = {}
        if tower.config._attn_implementation == IMAGE_ATTENTION:
            # One segment as far as the tower's loop can see; the attention function takes it apart again.
            whole = torch.tensor([0, len(patches)], dtype=torch.int32, device=self.device)
            options = {"cu_seqlens": whole, "image_count": len(images)}
        output = tower(patches, grid_thw=grids, return_dict=True, **options)
        return [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
