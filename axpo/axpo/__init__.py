"""axpo: the AXPO algorithm (arXiv:2605.28774), its trainer and its command line.

What is named here is loaded when it is first used, so that `import axpo` needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from axpo.advantages import compute_advantages
    from axpo.buffer import GroupBuffer
    from axpo.callbacks import Callback, RunMoment, StopRun
    from axpo.checkpoint_evaluation import evaluate_checkpoint, locate_checkpoint
    from axpo.config import (
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
    from axpo.eval_config import EvalConfig
    from axpo.evaluation import Evaluation, EvaluationPlan, evaluate
    from axpo.selection import select_prefixes
    from axpo.trainer import RunResult, resume, train

__all__ = [
    "AdvantageConfig",
    "Callback",
    "ConfigError",
    "EvalConfig",
    "Evaluation",
    "EvaluationPlan",
    "GroupBuffer",
    "LogConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "RunMoment",
    "RunResult",
    "SamplingConfig",
    "SelectionConfig",
    "StopRun",
    "TrainConfig",
    "compute_advantages",
    "evaluate",
    "evaluate_checkpoint",
    "locate_checkpoint",
    "resume",
    "select_prefixes",
    "train",
]

_HOMES: Final = {
    "AdvantageConfig": "axpo.config",
    "LogConfig": "axpo.config",
    "LossConfig": "axpo.config",
    "ModelConfig": "axpo.config",
    "OptimConfig": "axpo.config",
    "SamplingConfig": "axpo.config",
    "SelectionConfig": "axpo.config",
    "Callback": "axpo.callbacks",
    "ConfigError": "axpo.config",
    "EvalConfig": "axpo.eval_config",
    "Evaluation": "axpo.evaluation",
    "EvaluationPlan": "axpo.evaluation",
    "GroupBuffer": "axpo.buffer",
    "RunMoment": "axpo.callbacks",
    "RunResult": "axpo.trainer",
    "StopRun": "axpo.callbacks",
    "TrainConfig": "axpo.config",
    "compute_advantages": "axpo.advantages",
    "evaluate": "axpo.evaluation",
    "evaluate_checkpoint": "axpo.checkpoint_evaluation",
    "locate_checkpoint": "axpo.checkpoint_evaluation",
    "resume": "axpo.trainer",
    "select_prefixes": "axpo.selection",
    "train": "axpo.trainer",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'axpo' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
