"""axpo: the AXPO algorithm (arXiv:2605.28774), its trainer and its command line.

What is named here is loaded when it is first used, so that `import axpo` needs neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo.algorithm.advantages import compute_advantages
    from axpo.algorithm.buffer import GroupBuffer
    from axpo.algorithm.selection import select_prefixes
    from axpo.checkpoint_evaluation import evaluate_checkpoint, locate_checkpoint
    from axpo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
    from axpo.records._rollout_log import read_rollouts, saved_steps
    from axpo.records.rollout_record import RolloutRecord
    from axpo.run.callbacks import Callback, RunMoment, StopRun
    from axpo.run.display import Display, Silent
    from axpo.run.trainer import RunResult
    from axpo.settings._evaluation import EvalConfig
    from axpo.settings.config import (
        AdvantageConfig,
        ConfigError,
        LogConfig,
        LossConfig,
        ModelConfig,
        OptimConfig,
        SamplingConfig,
        SelectionConfig,
        TrainConfig,
    )
    from axpo.settings.sft import DemonstrationsConfig, SftConfig
    from axpo.sft._run import run_sft
    from axpo.sft.sources import load_demonstrations
    from axpo.training import resume, train

__all__ = [
    "AdvantageConfig",
    "Callback",
    "ConfigError",
    "DemonstrationsConfig",
    "Display",
    "EvalConfig",
    "Evaluation",
    "EvaluationPlan",
    "GroupBuffer",
    "LogConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "RolloutRecord",
    "RunMoment",
    "RunResult",
    "SamplingConfig",
    "SelectionConfig",
    "SftConfig",
    "Silent",
    "StopRun",
    "TrainConfig",
    "compute_advantages",
    "evaluate",
    "evaluate_checkpoint",
    "load_demonstrations",
    "locate_checkpoint",
    "read_rollouts",
    "resume",
    "run_sft",
    "saved_steps",
    "select_prefixes",
    "train",
]

_HOMES: Final = {
    "AdvantageConfig": "axpo.settings.config",
    "LogConfig": "axpo.settings.config",
    "LossConfig": "axpo.settings.config",
    "ModelConfig": "axpo.settings.config",
    "OptimConfig": "axpo.settings.config",
    "SamplingConfig": "axpo.settings.config",
    "SelectionConfig": "axpo.settings.config",
    "Callback": "axpo.run.callbacks",
    "ConfigError": "axpo.settings.config",
    "EvalConfig": "axpo.settings._evaluation",
    "Evaluation": "axpo.evaluation.evaluate",
    "EvaluationPlan": "axpo.evaluation.evaluate",
    "GroupBuffer": "axpo.algorithm.buffer",
    "RunMoment": "axpo.run.callbacks",
    "RunResult": "axpo.run.trainer",
    "StopRun": "axpo.run.callbacks",
    "TrainConfig": "axpo.settings.config",
    "compute_advantages": "axpo.algorithm.advantages",
    "evaluate": "axpo.evaluation.evaluate",
    "evaluate_checkpoint": "axpo.checkpoint_evaluation",
    "locate_checkpoint": "axpo.checkpoint_evaluation",
    "resume": "axpo.training",
    "select_prefixes": "axpo.algorithm.selection",
    "train": "axpo.training",
    "DemonstrationsConfig": "axpo.settings.sft",
    "Display": "axpo.run.display",
    "SftConfig": "axpo.settings.sft",
    "Silent": "axpo.run.display",
    "RolloutRecord": "axpo.records.rollout_record",
    "load_demonstrations": "axpo.sft.sources",
    "read_rollouts": "axpo.records._rollout_log",
    "saved_steps": "axpo.records._rollout_log",
    "run_sft": "axpo.sft._run",
}


__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
