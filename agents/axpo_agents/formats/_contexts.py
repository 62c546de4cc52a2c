"""Defines `ContextEncoder`: prompts and observations as contexts of a checkpoint, and the ids it never samples."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from axpo_agents.formats.chat import ChatFormat
from axpo_agents.formats.image_settings import ImageSettings
from axpo_agents.types import Context
from axpo_envs.images import ImageRef
from axpo_envs.types import EpisodeState, Parts

if TYPE_CHECKING:
    from axpo_envs.env import ToolEnv

_KEPT_PROMPTS: Final = 64
"""Encoded prompts that are kept: the rollouts of a group ask for the same one."""


class ContextEncoder:
    """Turns what an environment shows into token ids, every image's placeholder repeated for its tokens.

    Args:
        chat: how conversations become tokens.
        images: how the model wants its images; None for a model that reads text only.
        image_token: id of the image placeholder; None for a model that reads text only.
    """

    def __init__(self, chat: ChatFormat, images: ImageSettings | None, image_token: int | None) -> None:
        self._chat = chat
        self._images = images
        self._image_token = image_token
        self._prompts: OrderedDict[tuple[Any, ...], Context] = OrderedDict()

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """The opening context: instructions, tool schemas and the question, through the checkpoint's chat template.

        Raises:
            PolicyError: the environment shows images, but the model has no image tower.
        """
        question = env.opening(state)
        schemas = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in env.tools
        ]
        key = (env.instructions, repr(schemas), question)
        context = self._prompts.pop(key, None)
        if context is None:
            context = self._context(*self._chat.encode_prompt(env.instructions, schemas, question))
        self._prompts[key] = context
        if len(self._prompts) > _KEPT_PROMPTS:
            self._prompts.popitem(last=False)
        return context

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """The context between a turn whose sampled ids were `after` and the next turn."""
        return self._context(*self._chat.encode_observation(observation, after))

    def encode_message(self, message: Parts, *, after: Sequence[int]) -> Context:
        """The same, where what follows is a user's message."""
        return self._context(*self._chat.encode_message(message, after))

    def _context(self, ids: tuple[int, ...], images: tuple[ImageRef, ...]) -> Context:
        settings = self._images
        if settings is None or not images:
            return Context(ids=ids, images=images)
        sizes = [settings.token_count(settings.grid(image)) for image in images]
        return Context(ids=expanded(ids, self._image_token, sizes), images=images)


def expanded(ids: Sequence[int], placeholder: int | None, sizes: Sequence[int]) -> tuple[int, ...]:
    """The ids with each image's placeholder repeated for its tokens.

    Args:
        ids: one placeholder per image.
        placeholder: its id.
        sizes: how many tokens each image takes.
    """
    counts = iter(sizes)
    return tuple(part for token in ids for part in ((token,) * next(counts) if token == placeholder else (token,)))


def never_sampled(config: Any, vocabulary: int) -> tuple[int, ...]:
    """Ids that no policy of a checkpoint samples: those that stand for images and videos, and what pads the vocabulary.

    Args:
        config: the checkpoint's config.
        vocabulary: number of ids that the tokenizer can decode.
    """
    named = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    special = {getattr(config, name, None) for name in named} - {None}
    return tuple(sorted({*special, *range(vocabulary, config.get_text_config().vocab_size)}))
