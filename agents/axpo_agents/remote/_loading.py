"""Defines `load_remote_policy`: a policy from a checkpoint's tokenizer and a server that runs its model."""

from __future__ import annotations

import numpy as np

from axpo_agents.formats._contexts import ContextEncoder, never_sampled
from axpo_agents.formats._template_options import with_options
from axpo_agents.formats.chat import ChatFormat
from axpo_agents.formats.model_files import ModelFiles
from axpo_agents.formats.silence import no_progress_bars
from axpo_agents.remote._fleet import Fleet
from axpo_agents.remote._model import RemoteModel
from axpo_agents.remote._placeholders import Placeholders
from axpo_agents.remote._policy import RemotePolicy
from axpo_agents.remote._probe import check_names, check_seeds, check_server
from axpo_agents.remote._rules import TokenRules
from axpo_agents.remote._server import InferenceServer
from axpo_agents.remote._settings import PLAIN_PROMPTS, Dialect, PromptSettings, RemoteSettings
from axpo_agents.tiny import tiny_folder, tiny_named
from axpo_envs.images import ImageRef


def load_remote_policy(
    tokenizer: str, settings: RemoteSettings, prompts: PromptSettings = PLAIN_PROMPTS
) -> RemotePolicy:
    """Loads a policy, and makes sure that the server can do what it needs.

    Args:
        tokenizer: the checkpoint that the server runs, or its config, tokenizer and preprocessor config alone: a folder
            in Hugging Face layout, one of `Tiny`, or a Hugging Face id. No weights are read.
        settings: which server is asked, and how.
        prompts: what prompts are made with.

    Raises:
        PolicyError: the checkpoint is unsuited, or the server cannot take or give token ids, log-probabilities or
            images; the message says what was expected and found.
        EnvConfigError: a setting is unusable, or the key is missing.
        InfrastructureFault: the server stayed unreachable.
    """
    fleet = Fleet(settings) if settings.more else None
    server = InferenceServer(settings)
    policy = RemotePolicy(fleet or server, load_model(tokenizer, prompts, images=settings.images))
    try:
        for each in (server,) if fleet is None else fleet.servers:
            check_abilities(each, policy)
    except BaseException:
        policy.close()
        raise
    return policy


def check_abilities(server: InferenceServer, policy: RemotePolicy, *, adapters: bool = False) -> tuple[str, ...]:
    """Makes sure that a server can do what a policy needs, with text and with images if it sends them.

    Args:
        server: the server.
        policy: what asks it.
        adapters: whether it will be asked for adapters by their names.

    Returns:
        The versions of the weights that it named.

    Raises:
        PolicyError: it cannot.
        InfrastructureFault: it stayed unreachable.
    """
    image = ImageRef(np.full((64, 64, 3), 128, np.uint8))
    found = []
    for parts in [("Ready?",), (image, "Ready?")][: 1 + policy.supports_images]:
        context = policy.model.contexts.encode_observation(parts, after=())
        prompt = policy.model.request(context.ids, context.images)
        if server.settings.dialect is Dialect.SGLANG:
            check_seeds(server, prompt)
        found.append(check_server(server, prompt, expected=context.ids, turn_end=policy.model.chat.turn_end))
        if adapters:
            check_names(server, prompt)
    return found[0]


def load_model(name: str, prompts: PromptSettings, *, images: bool) -> RemoteModel:
    """What is known of a server's model from its checkpoint's tokenizer, chat template and image settings."""
    with no_progress_bars():
        tiny = tiny_named(name)
        # Weights are the server's, and then the learner's: of random ones nothing but their layout is read here.
        where = name if tiny is None else str(tiny_folder(tiny))
        checkpoint = ModelFiles(where)
        tokenizer = checkpoint.tokenizer()
        settings = checkpoint.image_settings() if images and checkpoint.shows_images else None
    token = None if settings is None else checkpoint.config.image_token_id
    image_text = None if token is None else tokenizer.convert_ids_to_tokens(token)
    template = with_options(tokenizer.chat_template, prompts.template_options)
    stop_ids = checkpoint.stop_ids(tokenizer)
    chat = ChatFormat(tokenizer, template, stop_ids, image_text, tells_images=prompts.tell_images)
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    return RemoteModel(
        checkpoint=where,
        chat=chat,
        contexts=ContextEncoder(chat, settings, token),
        rules=TokenRules(
            stop_ids=chat.stop_ids,
            forbidden=frozenset(never_sampled(checkpoint.config, vocabulary)),
            vocabulary=vocabulary,
        ),
        placeholders=None if settings is None or token is None else Placeholders(settings=settings, token=token),
    )
