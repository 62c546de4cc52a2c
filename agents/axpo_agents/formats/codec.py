"""Defines `TurnCodec`: a checkpoint's turns as tokens, for engines of others that sample them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from axpo_agents.formats._contexts import ContextEncoder
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.formats.model_files import ModelFiles
from axpo_agents.policy import TurnSpans
from axpo_agents.types import Context
from axpo_envs.types import EpisodeState, Parts

if TYPE_CHECKING:
    from axpo_envs.env import ToolEnv


class TurnCodec:
    """What a `Sampler` knows of its model besides the weights.

    Args:
        chat: how conversations become tokens.
        contexts: prompts and observations as contexts.
    """

    def __init__(self, chat: ChatFormat, contexts: ContextEncoder) -> None:
        self._chat = chat
        self._contexts = contexts

    @classmethod
    def load(cls, model: str) -> Self:
        """Reads the files of a checkpoint, its weights excepted.

        Args:
            model: a folder in Hugging Face layout, or a Hugging Face id.

        Raises:
            PolicyError: a file is missing or unsuited.
        """
        files = ModelFiles(model)
        tokenizer = files.tokenizer()
        token = files.config.image_token_id if files.shows_images else None
        text = None if token is None else tokenizer.convert_ids_to_tokens(token)
        chat = ChatFormat(tokenizer, tokenizer.chat_template, files.stop_ids(tokenizer), text)
        return cls(chat, ContextEncoder(chat, files.image_settings() if files.shows_images else None, token))

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end a turn."""
        return self._chat.stop_ids

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        """The opening context of an episode."""
        return self._contexts.encode_prompt(env, state)

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        """The context that follows a turn whose sampled ids were `after`."""
        return self._contexts.encode_observation(observation, after=after)

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The text of a turn as the environment parses it."""
        return self._chat.decode_turn(ids)

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        """Thinking and the first tool call in a turn's ids."""
        return self._chat.find_spans(ids)
