"""Threads that load models at the same time, as servers do that are given new weights together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from axpo_agents.transformers_policy import load_policy

TIED = "tiny-search"
"""A small model whose output weights are those of its embeddings."""


def test_threads_that_load_at_once_get_the_whole_model_and_leave_loading_as_it_was() -> None:
    with ThreadPoolExecutor(3) as threads:
        policies = list(threads.map(load_policy, [TIED] * 9))
    for policy in (*policies, load_policy(TIED)):
        assert policy.model.lm_head.weight is policy.model.model.embed_tokens.weight
