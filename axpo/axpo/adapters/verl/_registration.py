"""Defines `register`, which makes estimator and loss known to verl; its workers import it as an external library."""

from __future__ import annotations

from functools import partial

from axpo.adapters.verl._estimator import axpo_advantages
from axpo.adapters.verl._loss import axpo_policy_loss


def register(name: str = "axpo", *, success_threshold: float = 0.5) -> None:
    """Registers `algorithm.adv_estimator=axpo` and `actor_rollout_ref.actor.policy_loss.loss_mode=axpo`.

    Called once in every process that uses them: the trainer's, for the estimator, and the actor's workers.

    Args:
        name: the name of both.
        success_threshold: a continuation with at least this reward is a recovery.

    Raises:
        ValueError: verl knows another estimator of that name.
    """
    from verl.trainer.ppo import core_algos

    estimator = partial(axpo_advantages, success_threshold=success_threshold)
    core_algos.register_adv_est(name)(estimator)
    core_algos.register_policy_loss(name)(axpo_policy_loss)
