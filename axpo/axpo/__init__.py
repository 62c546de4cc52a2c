"""axpo: the AXPO algorithm (arXiv:2605.28774), its trainer and its command line.

What is named here is loaded when it is first used, so that `import axpo` needs neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo.algorithm.advantages import compute_advantages
    from axpo.algorithm.buffer import GroupBuffer
    from axpo.algorithm.loss import LossStats, Targets, policy_loss
    from axpo.algorithm.methods import Method, Rounds, combined_method, method_named, register_method
    from axpo.algorithm.outcome import StepOutcome
    from axpo.algorithm.replay import ReplayMemory
    from axpo.algorithm.selection import select_prefixes
    from axpo.algorithm.step import Training, train_step
    from axpo.algorithm.types import Advantage, Branch, BranchPoint, Group
    from axpo.checkpoint_evaluation import evaluate_checkpoint, locate_checkpoint
    from axpo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
    from axpo.records._rollout_log import read_rollouts, saved_steps
    from axpo.records.evaluation_folder import EvaluationFolder
    from axpo.records.evaluation_records import (
        AskedQuestion,
        BenchmarkProvenance,
        EvaluatedRollout,
        Judged,
        MadeCall,
        Provenance,
        SaidTurn,
    )
    from axpo.records.rollout_record import RolloutRecord
    from axpo.run.callbacks import Callback, RunMoment, StopRun
    from axpo.run.display import Display, Silent
    from axpo.run.trackers import Tracked, Tracker, register_tracker
    from axpo.run.trainer import RunResult
    from axpo.settings._evaluation import EvalConfig
    from axpo.settings.config import (
        AdvantageConfig,
        ConfigError,
        FilterConfig,
        LogConfig,
        LossConfig,
        OptimConfig,
        RanksConfig,
        ReplayConfig,
        SamplingConfig,
        SelectionConfig,
        TrainConfig,
    )
    from axpo.settings.model import ModelConfig
    from axpo.settings.sft import DemonstrationsConfig, SftConfig
    from axpo.sft._run import run_sft
    from axpo.sft.sources import load_demonstrations
    from axpo.training import resume, train

__all__ = [
    "Advantage",
    "AdvantageConfig",
    "AskedQuestion",
    "BenchmarkProvenance",
    "Branch",
    "BranchPoint",
    "Callback",
    "ConfigError",
    "DemonstrationsConfig",
    "Display",
    "EvalConfig",
    "EvaluatedRollout",
    "Evaluation",
    "EvaluationFolder",
    "EvaluationPlan",
    "FilterConfig",
    "Group",
    "GroupBuffer",
    "Judged",
    "LogConfig",
    "LossConfig",
    "LossStats",
    "MadeCall",
    "Method",
    "ModelConfig",
    "OptimConfig",
    "Provenance",
    "RanksConfig",
    "ReplayConfig",
    "ReplayMemory",
    "RolloutRecord",
    "Rounds",
    "RunMoment",
    "RunResult",
    "SaidTurn",
    "SamplingConfig",
    "SelectionConfig",
    "SftConfig",
    "Silent",
    "StepOutcome",
    "StopRun",
    "Targets",
    "Tracked",
    "Tracker",
    "TrainConfig",
    "Training",
    "combined_method",
    "compute_advantages",
    "evaluate",
    "evaluate_checkpoint",
    "load_demonstrations",
    "locate_checkpoint",
    "method_named",
    "policy_loss",
    "read_rollouts",
    "register_method",
    "register_tracker",
    "resume",
    "run_sft",
    "saved_steps",
    "select_prefixes",
    "train",
    "train_step",
]

_HOMES: Final = {
    "AskedQuestion": "axpo.records.evaluation_records",
    "BenchmarkProvenance": "axpo.records.evaluation_records",
    "EvaluatedRollout": "axpo.records.evaluation_records",
    "EvaluationFolder": "axpo.records.evaluation_folder",
    "Judged": "axpo.records.evaluation_records",
    "MadeCall": "axpo.records.evaluation_records",
    "Provenance": "axpo.records.evaluation_records",
    "SaidTurn": "axpo.records.evaluation_records",
    "BranchPoint": "axpo.algorithm.types",
    "Branch": "axpo.algorithm.types",
    "Advantage": "axpo.algorithm.types",
    "Group": "axpo.algorithm.types",
    "policy_loss": "axpo.algorithm.loss",
    "Targets": "axpo.algorithm.loss",
    "LossStats": "axpo.algorithm.loss",
    "method_named": "axpo.algorithm.methods",
    "train_step": "axpo.algorithm.step",
    "Training": "axpo.algorithm.step",
    "StepOutcome": "axpo.algorithm.outcome",
    "register_method": "axpo.algorithm.methods",
    "Rounds": "axpo.algorithm.methods",
    "Method": "axpo.algorithm.methods",
    "combined_method": "axpo.algorithm.methods",
    "ReplayMemory": "axpo.algorithm.replay",
    "AdvantageConfig": "axpo.settings.config",
    "FilterConfig": "axpo.settings.config",
    "LogConfig": "axpo.settings.config",
    "LossConfig": "axpo.settings.config",
    "ModelConfig": "axpo.settings.model",
    "OptimConfig": "axpo.settings.config",
    "RanksConfig": "axpo.settings.config",
    "ReplayConfig": "axpo.settings.config",
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
    "Tracked": "axpo.run.trackers",
    "Tracker": "axpo.run.trackers",
    "register_tracker": "axpo.run.trackers",
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
