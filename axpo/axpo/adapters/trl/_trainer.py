"""Defines `AxpoGRPOTrainer`, TRL's `GRPOTrainer` with rollouts, resampled prefixes and advantages of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, Final

from axpo.adapters.credited_rows import credited_rows
from axpo.adapters.trl._batch import padded, tensors_of
from axpo.adapters.trl._environment import environment_reward, environment_rows
from axpo.algorithm.advantages import is_recovered
from axpo.algorithm.methods import Method, configured, method_named
from axpo.algorithm.sampling import resample, sample_groups
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Advantage, Group
from axpo.settings.config import ConfigError, TrainConfig
from axpo_agents.rolling import Lost
from axpo_agents.types import Rollout
from axpo_envs.env import ToolEnv
from axpo_envs.observation import in_words, wrap_results
from axpo_envs.plumbing.extras import requiring

with requiring("trl", "AXPO in TRL"):
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from axpo_agents.transformers_policy import TransformersPolicy

_ROWS: Final = 1024
"""Questions of a source without an end that a data set of its own holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rolled:
    """What one generation batch became."""

    groups: tuple[Group, ...]
    advantages: tuple[Advantage, ...]
    prefixes: int
    lost: int


class AxpoGRPOTrainer(GRPOTrainer):  # type: ignore[misc]  # the library has no types
    """A `GRPOTrainer` whose rollouts are ours, failed tool calls resampled from their frozen prefixes included.

    TRL keeps the data, the optimizer, the loss, checkpoints and logging. Of its settings, questions per step, group
    size, temperature, top-p and top-k are used for sampling; limits on tokens are those of `config.sampling`. A batch
    holds a row for every rollout and continuation, hence more than `per_device_train_batch_size` says, by at most the
    budget `config.selection.budget`; their advantages are per token, and tokens without one are masked as TRL masks
    results of tools. Losses of TRL's that count rows count the continuations, too; its default `loss_type`, "dapo",
    counts tokens.

    Args:
        policy: the model that is trained, and that samples; its `model` is TRL's. LoRA adapters are its own, too.
        env: asks the questions and executes the turns.
        config: `method`, `selection`, `advantages`, `success_threshold`, `seed`, and of `sampling` the limits on tokens
            and faults; nothing else is read.
        args: TRL's settings.
        train_dataset: rows of `environment_rows`; None asks the environment's own questions.
        options: further arguments of `GRPOTrainer`: `eval_dataset`, `callbacks`, `optimizers`.

    Raises:
        ConfigError: the method needs more than selection and credit, or a setting of TRL's would be passed over.
    """

    def __init__(
        self,
        policy: TransformersPolicy,
        env: ToolEnv,
        config: TrainConfig,
        args: GRPOConfig,
        train_dataset: Any = None,
        **options: Any,
    ) -> None:
        self._axpo_config = configured(config)
        self._axpo_method = _supported(self._axpo_config)
        self._axpo_policy, self._axpo_env = policy, env
        _check(args)
        if train_dataset is None:
            train_dataset = Dataset.from_list(environment_rows(env, env.questions.size or _ROWS, seed=config.seed))
        super().__init__(
            model=policy.model,
            reward_funcs=[environment_reward],
            args=args,
            train_dataset=train_dataset,
            processing_class=policy.tokenizer,
            **options,
        )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise ConfigError("expected whole weights in every process, to sample with them; got FSDP or DeepSpeed")

    def _generate_and_score_completions(self, inputs: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The rows of a generation batch, as `GRPOTrainer` has them: tensors by name, and how many images each has."""
        training = self.model.training
        size = self.num_generations if training else self.num_generations_eval
        self._axpo_policy.advance_version()
        rolled = self._rolled([int(row["index"]) for row in inputs], size, training)
        self._axpo_policy.forget()
        self._record("train" if training else "eval", rolled)
        rows = credited_rows(rolled.advantages)
        multiple = self.args.steps_per_generation if training else 1
        count = int(self.accelerator.gather(torch.tensor([len(rows)], device=self.accelerator.device)).max())
        rows = padded(rows, max(1, math.ceil(count / multiple)) * multiple)
        batch = tensors_of(rows, self._axpo_policy, pad=self._tokenizer.pad_token_id, device=self.accelerator.device)
        trained = batch["completion_mask"] * batch["tool_mask"]
        batch["num_items_in_batch"] = self.accelerator.gather(trained.sum()).sum()
        return self._with_other_logprobs(batch, training)

    def _rolled(self, indices: Sequence[int], size: int, training: bool) -> _Rolled:
        config, env = self._axpo_config, self._axpo_env
        first = indices[::size]
        if [index for index in first for _ in range(size)] != list(indices):
            raise ConfigError(
                f"expected whole groups of {size} rollouts in every process: make per_device_train_batch_size times "
                f"steps_per_generation a multiple of num_generations; got the questions {list(indices)}"
            )
        lost: list[Lost] = []
        sampling = replace(
            config.sampling,
            group_size=size,
            temperature=self.args.temperature,
            top_p=self.args.top_p,
            top_k=self.args.top_k or 0,
        )
        number = self._step % max(1, self.args.gradient_accumulation_steps)
        seed = derive_seed(config.seed, self.state.global_step, f"trl {training} {number}")
        questions = [env.questions.question(index) for index in first]
        groups = sample_groups(questions, self._axpo_policy, env, sampling, seed=seed, on_lost=lost.append)
        select = self._axpo_method.select if training else None
        points = () if select is None else select(groups, config, seed=derive_seed(seed, "selection"))
        if points:
            again = derive_seed(seed, "resampling")
            groups = resample(groups, points, self._axpo_policy, env, sampling, seed=again, on_lost=lost.append)
        advantages = self._axpo_method.credit(groups, config)
        return _Rolled(groups=groups, advantages=advantages, prefixes=len(points), lost=len(lost))

    def _with_other_logprobs(self, batch: dict[str, Any], training: bool) -> dict[str, Any]:
        """Adds those under the weights that sampled, where TRL asks for them, and under the reference."""
        every = self.args.steps_per_generation * self.num_iterations
        size = self.args.per_device_train_batch_size if training else self.args.per_device_eval_batch_size
        with torch.no_grad():
            if self.args.gradient_accumulation_steps % every:
                batch["old_per_token_logps"] = self._logprobs(self.model, batch, size)
            if self.beta:
                batch["ref_per_token_logps"] = self._reference_logprobs(batch, size)
        return batch

    def _reference_logprobs(self, batch: Mapping[str, Any], size: int) -> torch.Tensor:
        if self.ref_model is not None:
            return self._logprobs(self.ref_model, batch, size)
        with self.accelerator.unwrap_model(self.model).disable_adapter():
            return self._logprobs(self.model, batch, size)

    def _logprobs(self, model: Any, batch: Mapping[str, Any], size: int) -> torch.Tensor:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        images = {
            name: batch[name]
            for name in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
            if name in batch
        }
        keep = batch["completion_ids"].shape[1]
        logprobs: torch.Tensor = self._get_per_token_logps_and_entropies(model, ids, mask, keep, size, **images)[0]
        return logprobs

    def _record(self, mode: str, rolled: _Rolled) -> None:
        """Metrics, and what `log_completions` writes; none of it has a part in training."""
        rollouts = [rollout for group in rolled.groups for rollout in group.rollouts]
        branches = [branch for group in rolled.groups for branch in group.branches]
        rewards = [rollout.reward for rollout in rollouts]
        threshold = self._axpo_config.success_threshold
        equal = [len({rollout.reward for rollout in group.rollouts}) == 1 for group in rolled.groups]
        lengths = [sum(len(turn.ids) for turn in rollout) for rollout in rollouts]
        recovered = sum(is_recovered(branch, success_threshold=threshold) for branch in branches)
        values = {
            "reward": fmean(rewards),
            "reward_std": stdev(rewards) if len(rewards) > 1 else 0.0,
            "frac_reward_zero_std": fmean(equal),
            "completions/mean_length": fmean(lengths),
            "tools/attempt_rate": fmean(rollout.used_tool for rollout in rollouts),
            "prefixes/selected": float(rolled.prefixes),
            "prefixes/recovered": float(recovered),
            "rollouts/lost": float(rolled.lost),
        }
        for name, value in values.items():
            self._metrics[mode][name].append(value)
        credited = {id(advantage.rollout): advantage.value for advantage in rolled.advantages}
        for rollout in rollouts:
            self._logs["prompt"].append([{"role": "user", "content": in_words(rollout.episode.question.prompt)}])
            self._logs["completion"].append(_messages(rollout))
            self._logs["rewards"][self.reward_func_names[0]].append(rollout.reward)
            self._logs["advantages"].append(credited.get(id(rollout), 0.0))


def _supported(config: TrainConfig) -> Method:
    method = method_named(config.method)
    for what in ("refine", "first_rollouts", "loss"):
        if getattr(method, what) is not None:
            raise ConfigError(
                f"method: expected one that selects prefixes and credits rollouts, for the rest is TRL's; "
                f"{method.name!r} has its own {what}"
            )
    return method


def _check(args: GRPOConfig) -> None:
    """Refuses settings of TRL's that this trainer would pass over in silence."""
    for name, expected in (("use_vllm", False), ("use_transformers_continuous_batching", False)):
        if getattr(args, name, expected) != expected:
            raise ConfigError(f"args.{name}: expected {expected}, for the policy itself samples; got {not expected}")
    if args.mask_truncated_completions:
        raise ConfigError("args.mask_truncated_completions: set config.advantages.mask_truncated instead")
    if args.scale_rewards not in ("group", True):
        raise ConfigError(
            f"args.scale_rewards: set config.advantages.divide_by_std instead; got {args.scale_rewards!r}"
        )


def _messages(rollout: Rollout) -> list[dict[str, str]]:
    messages = []
    for turn in rollout.episode.turns:
        messages.append({"role": "assistant", "content": turn.text})
        if turn.observation:
            messages.append({"role": "tool", "content": in_words(wrap_results(turn.observation))})
    return messages
