"""Defines `RemoteModel`: what is known here of the model that a server runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from axpo_agents.errors import PolicyError
from axpo_agents.formats._contexts import ContextEncoder
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.remote._messages import Request
from axpo_agents.remote._placeholders import Placeholders
from axpo_agents.remote._rules import TokenRules
from axpo_envs.images import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """What is known here of the model that a server runs."""

    checkpoint: str
    """The folder or Hugging Face id that it came from."""
    chat: ChatFormat
    """How conversations become tokens."""
    contexts: ContextEncoder
    """How what an environment shows becomes a context."""
    rules: TokenRules
    """Which ids are sampled, and which end a turn."""
    placeholders: Placeholders | None
    """How many placeholders an image has; None if only text is sent."""

    def request(
        self, ids: Sequence[int], images: tuple[ImageRef, ...], *, forbidden: Sequence[int] = (), **details: Any
    ) -> Request:
        """A request after a prompt whose image placeholders are expanded.

        Args:
            ids: the prompt.
            images: the images in the order of their placeholders.
            forbidden: ids that are not sampled, beside those that never are.
            details: further fields of the request.

        Raises:
            PolicyError: the placeholders are not those of the images.
        """
        if self.placeholders is not None:
            ids, images = self.placeholders.compacted(ids, images), self.placeholders.fitted(images)
        elif images:
            raise PolicyError(f"expected text only: no images are sent to this server; got {len(images)}")
        bias = self.rules.bias(forbidden)
        return Request(ids=tuple(ids), images=images, bias=bias, stop_ids=self.rules.stop_ids, **details)
