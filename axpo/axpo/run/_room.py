"""Defines the checks that a policy can be shown an environment's questions, and that prompts leave room for tokens."""

from __future__ import annotations

from axpo.algorithm.questions import held_out_questions, training_questions
from axpo.algorithm.sampling import sampling_of
from axpo.run.environments import Worlds
from axpo.settings.config import ConfigError, TrainConfig
from axpo_agents.policy import Sampler


def check_first_questions(config: TrainConfig, worlds: Worlds, policy: Sampler) -> None:
    """Checks that something can be sampled in the first step, and that held-out questions can be shown.

    Raises:
        ConfigError: none of its questions' prompts leaves room for a token.
        PolicyError: the policy cannot be shown a question.
    """
    if config.log.eval_questions:
        for question in held_out_questions(worlds.held_out.questions, 1):
            policy.encode_prompt(worlds.held_out, worlds.held_out.begin(question))
    env = worlds.training
    most = sampling_of(config.sampling, policy).max_episode_tokens
    questions = training_questions(env.questions, seed=config.seed, step=1, count=config.sampling.questions)
    shortest = None
    for question in questions:
        length = len(policy.encode_prompt(env, env.begin(question)).ids)
        if length < most:
            return
        shortest = length if shortest is None else min(shortest, length)
    raise ConfigError(
        f"sampling.max_episode_tokens: expected room for more than a prompt; the prompts of all {len(questions)} "
        f"questions of the first step have at least {shortest} tokens, and the limit is {most}"
    )
