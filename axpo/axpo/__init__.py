"""axpo: the AXPO algorithm (arXiv:2605.28774), its trainer and its command line.

What is named here is loaded when it is first used, so that `import axpo` needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from axpo.algorithm.advantages import compute_advantages
    from axpo.algorithm.buffer import GroupBuffer
    from axpo.algorithm.selection import select_prefixes
    from axpo.evaluation._checkpoints import evaluate_checkpoint, locate_checkpoint
    from axpo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
    from axpo.run.callbacks import Callback, RunMoment, StopRun
    from axpo.run.trainer import RunResult, resume, train
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
    "evaluate_checkpoint": "axpo.evaluation._checkpoints",
    "locate_checkpoint": "axpo.evaluation._checkpoints",
    "resume": "axpo.run.trainer",
    "select_prefixes": "axpo.algorithm.selection",
    "train": "axpo.run.trainer",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'axpo' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
