"""Defines one training step: `gather` makes the groups it learns from, `learn` changes the weights by them."""

from __future__ import annotations

from dataclasses import dataclass

from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.batching import build_batch
from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.sampling import resample, sample_groups, sampling_of
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.selection import select_prefixes
from axpo.algorithm.types import Group
from axpo.algorithm.update import Objective, seeded, update
from axpo.records._step_record import Losses, work_metrics
from axpo.run._checkpoint import Checkpoint
from axpo.run._policy_loading import make_reference
from axpo.run._stopwatch import Stopwatch
from axpo.run.environments import Worlds
from axpo.run.questions import training_questions
from axpo.settings.config import TrainConfig
from axpo.settings.validation import effective_selection
from axpo_agents.transformers_policy import TransformersPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What is trained, on what, and how."""

    config: TrainConfig
    """Everything that decides the results."""
    worlds: Worlds
    """The environment, in training and held out."""
    policy: TransformersPolicy
    """What is trained."""
    reference: TransformersPolicy | None
    """The policy before the first step; None without a KL to it."""
    optimizer: Optimizer
    """Changes the policy's weights."""

    @classmethod
    def start(
        cls, config: TrainConfig, worlds: Worlds, policy: TransformersPolicy, checkpoint: Checkpoint | None = None
    ) -> Learner:
        """Begins with a policy as it was loaded, or goes on with that of a checkpoint.

        Raises:
            CheckpointError: the optimizer's state cannot be read.
            PolicyError: the model that the run began with cannot be loaded.
            ValueError: the optimizer's state does not fit the policy.
        """
        optimizer = Optimizer(
            policy.trainable_parameters(),
            config.optim,
            steps=config.steps,
            keeps_weights=config.policy.lora_rank > 0,
        )
        if checkpoint is not None:
            optimizer.load_state(checkpoint.optimizer_state())
        reference = make_reference(config, policy, resumed=checkpoint is not None)
        return cls(config=config, worlds=worlds, policy=policy, reference=reference, optimizer=optimizer)

    def seed(self, step: int, purpose: str) -> int:
        """The seed of one purpose in a step."""
        return derive_seed(self.config.seed, step, purpose)

    def objective(self) -> Objective:
        """What updates minimize."""
        sampling = sampling_of(self.config.sampling, self.policy)
        return Objective(
            loss=self.config.loss,
            temperature=sampling.temperature,
            truncation=sampling.truncation,
            reference=self.reference,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What a step learns from."""

    groups: tuple[Group, ...]
    """The step's groups, with the branches that grew."""
    lost: dict[str, float]
    """What infrastructure faults took, see `Losses.metrics`."""


def gather(learner: Learner, step: int, watch: Stopwatch) -> Experience:
    """Questions, their groups, and branches from the selected prefixes (algorithm.md, "One training step").

    Args:
        learner: the policy that acts, where, and how.
        step: counted from 1.
        watch: measures the phases.

    Raises:
        InfrastructureFault: every episode was lost for good.
        NonFiniteError: the policy's logits, or a reward, are infinite or not a number.
    """
    config, policy, env = learner.config, learner.policy, learner.worlds.training
    losses = Losses()
    with watch.phase("environment"):
        questions = training_questions(env.questions, seed=config.seed, step=step, count=config.sampling.questions)
    with watch.phase("sampling"):
        groups = sample_groups(
            questions,
            policy,
            env,
            config.sampling,
            seed=learner.seed(step, "sampling"),
            on_lost=losses.rollouts.append,
        )
    points = select_prefixes(groups, effective_selection(config), seed=learner.seed(step, "selection"))
    with watch.phase("resampling"):
        groups = resample(
            groups,
            points,
            policy,
            env,
            config.sampling,
            seed=learner.seed(step, "resampling"),
            on_lost=losses.continuations.append,
        )
    return Experience(groups=groups, lost=losses.metrics(points, groups))


def learn(learner: Learner, step: int, experience: Experience, watch: Stopwatch) -> dict[str, float | None]:
    """Advantages, then the update of the weights; returns what was measured of the step, by name.

    Raises:
        DivergenceError: something is no longer finite; the weights must not be saved.
    """
    config, policy = learner.config, learner.policy
    advantages = compute_advantages(experience.groups, config.advantages)
    with watch.phase("update"):
        seed = learner.seed(step, "batches")
        minibatches = build_batch(advantages, config.loss, config.optim, plan=policy.plan, seed=seed)
        lr = learner.optimizer.start_step(step)
        with seeded(learner.seed(step, "dropout")):
            stats = update(policy, learner.optimizer, minibatches, learner.objective())
    policy.advance_version()
    policy.forget()
    if learner.reference is not None:
        learner.reference.forget()
    return {"lr": lr, **experience.lost, **work_metrics(experience.groups, stats, watch)}
