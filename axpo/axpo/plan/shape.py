"""Defines `ModelShape`, the sizes of a model that memory and time follow from, counted without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from axpo_agents.transformers_policy.shapes import KnownModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerShape:
    """The sizes of an image tower."""

    layers: int
    """Its layers."""
    hidden: int
    """Its width."""
    intermediate: int
    """Width within its feed-forward blocks."""
    parameters: int
    """Its parameters, what joins it to the language model included."""
    patches_per_token: int
    """Patches that form one image token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a model."""

    name: str
    """What the model is called in the configuration."""
    layers: int
    """Decoder layers."""
    hidden: int
    """Width of the language model."""
    intermediate: int
    """Width within its feed-forward blocks, of all experts that read a token together."""
    heads: int
    """Attention heads."""
    key_heads: int
    """Heads of keys and values."""
    head_size: int
    """Width of a head."""
    vocabulary: int
    """Rows of the output layer."""
    parameters: int
    """All parameters, tied ones counted once."""
    active: int
    """Those of the language model that a token passes through, the output layer included."""
    layer_parameters: int
    """Those of one decoder layer."""
    rank_parameters: int
    """Those that LoRA adapters of rank 1 add."""
    plain_head: bool
    """Whether logits are made piece by piece where they are large."""
    tower: TowerShape | None
    """The image tower; None for a model that reads text alone."""

    @property
    def attention_width(self) -> int:
        """Numbers of a token's queries in one layer."""
        return self.heads * self.head_size

    @property
    def key_width(self) -> int:
        """Numbers of a token's keys, or values, in one layer."""
        return self.key_heads * self.head_size

    @property
    def tower_parameters(self) -> int:
        """Parameters of the image tower; 0 without one."""
        return 0 if self.tower is None else self.tower.parameters

    @classmethod
    def of(cls, model: KnownModel) -> Self:
        """Counts the parameters of a model that takes no memory."""
        empty = model.empty()
        text = model.config.get_text_config()
        layer = sum(parameter.numel() for parameter in empty.get_decoder().layers[0].parameters())
        tower = _tower_of(model, empty)
        whole = sum(parameter.numel() for parameter in empty.parameters())
        tower_parameters = 0 if tower is None else tower.parameters
        experts, chosen = _experts(text)
        idle = sum(
            parameter.numel() * (experts - chosen) // experts
            for name, parameter in empty.named_parameters()
            if ".experts." in name
        )
        # Embeddings are looked up, not multiplied with; tied ones are the output layer as well.
        head = text.vocab_size * text.hidden_size
        looked_up = head if empty.get_output_embeddings().weight is not empty.get_input_embeddings().weight else 0
        return cls(
            name=model.name,
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            intermediate=(getattr(text, "moe_intermediate_size", 0) * chosen if idle else text.intermediate_size),
            heads=text.num_attention_heads,
            key_heads=text.num_key_value_heads,
            head_size=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
            vocabulary=text.vocab_size,
            parameters=whole,
            active=whole - tower_parameters - looked_up - idle,
            layer_parameters=layer,
            rank_parameters=model.adapter_parameters(empty),
            plain_head=model.plain_head,
            tower=tower,
        )


def _experts(text: Any) -> tuple[int, int]:
    """Experts of a layer, and how many of them read a token."""
    count = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None) or 1
    return int(count), int(getattr(text, "num_experts_per_tok", None) or 1)


def _tower_of(model: KnownModel, empty: Any) -> TowerShape | None:
    if not model.shows_images:
        return None
    config = model.config.vision_config
    return TowerShape(
        layers=config.depth,
        hidden=config.hidden_size,
        intermediate=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        parameters=sum(parameter.numel() for parameter in empty.model.visual.parameters()),
        patches_per_token=config.spatial_merge_size**2,
    )
