"""Tool environments for vision-language agents that can be rewound to any moment; importing it registers the suite."""

from axpo_envs._registration import register_envs
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError, InfrastructureFault, RewardFault, SnapshotError, ToolFault
from axpo_envs.examples import call_turn
from axpo_envs.gate import Audit, CallRequest, Gate, Ruling, Verdict
from axpo_envs.images import ImageRef
from axpo_envs.observation import Observation
from axpo_envs.parsing import AnswerFormat, ParsedCall, ParsedTurn, parse_turn
from axpo_envs.plumbing.web import EnvironmentKey, Retries
from axpo_envs.questions.sources import ListQuestions, QuestionSource
from axpo_envs.rewards.reward import ExactMatch, FunctionReward, Reward, WeightedSum
from axpo_envs.snapshot import Snapshot
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.types import (
    CallOutcome,
    CallRecord,
    Episode,
    EpisodeState,
    Label,
    Parts,
    Question,
    RewardTerm,
    StopReason,
    ToolCall,
    ToolResult,
    ToolStatus,
    Transition,
    Turn,
)

__all__ = [
    "AnswerFormat",
    "Audit",
    "CallOutcome",
    "CallRecord",
    "CallRequest",
    "EnvConfigError",
    "EnvironmentKey",
    "Episode",
    "EpisodeState",
    "ExactMatch",
    "FunctionReward",
    "Gate",
    "ImageRef",
    "InfrastructureFault",
    "Label",
    "ListQuestions",
    "Observation",
    "ParsedCall",
    "ParsedTurn",
    "Parts",
    "Question",
    "QuestionSource",
    "Retries",
    "Reward",
    "RewardFault",
    "RewardTerm",
    "Ruling",
    "Snapshot",
    "SnapshotError",
    "StopReason",
    "ToolCall",
    "ToolEnv",
    "ToolEnvSpec",
    "ToolFault",
    "ToolResult",
    "ToolStatus",
    "Transition",
    "Turn",
    "Verdict",
    "WeightedSum",
    "call_turn",
    "parse_turn",
    "register_envs",
]

register_envs()
