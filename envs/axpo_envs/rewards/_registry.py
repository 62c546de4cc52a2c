"""Defines `make_reward`, which makes a reward of what a user gives: a name, parameters, a function, a weighted sum."""

from __future__ import annotations

import difflib
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named, make_plain
from axpo_envs.rewards._answer_check import ChecksAnswers
from axpo_envs.rewards.reward import ExactMatch, FunctionReward, Reward, WeightedSum
from axpo_envs.types import EpisodeState, Question, RewardTerm

REWARDS: Final[dict[str, str]] = {
    "exact_match": "axpo_envs.rewards.reward:ExactMatch",
    "numeric": "axpo_envs.rewards._numeric:Numeric",
    "multiple_choice": "axpo_envs.rewards._multiple_choice:MultipleChoice",
    "token_f1": "axpo_envs.rewards._token_f1:TokenF1",
    "math_verify": "axpo_envs.rewards._math_equality:MathVerify",
    "llm_judge": "axpo_envs.rewards.llm_judge:LLMJudge",
}
"""Name and `module:class` of every reward that has a name; a class is imported when it is first used."""

_SELF_CHECKED: Final = ("Numeric", "MultipleChoice", "TokenF1", "MathVerify")

_FORMS: Final = (
    f"a name ({', '.join(REWARDS)}), 'name:parameter=value,...', {{'name': ..., parameter: ...}}, 'module:function', "
    "a function (question, answer, state) -> number, or a mapping from these to weights"
)


def make_reward(given: Any) -> Reward:
    """Makes a reward.

    | given | reward |
    |---|---|
    | `"numeric"` | of that name, see `REWARDS` |
    | `"numeric:tolerance=0.01,relative=0"`, `{"name": "numeric", "tolerance": 0.01}` | with parameters |
    | `"package.module:name"` | what is found there |
    | `{"exact_match": 0.8, "token_f1": 0.2}` | their weighted sum |
    | a function `(question, answer, state) -> float` | one term with its value; episodes without answer score 0 |
    | another callable, such as an instance of a reward's class | itself; a number that it returns becomes one term |

    Raises:
        EnvConfigError: it is none of these, or a parameter is unknown or unusable.
    """
    if isinstance(given, str):
        return _from_text(given)
    if isinstance(given, Mapping):
        if isinstance(given.get("name"), str):
            return _named(given["name"], {key: value for key, value in given.items() if key != "name"})
        return _weighted(given)
    if not callable(given):
        raise EnvConfigError(f"reward: expected {_FORMS}; got {given!r:.100}")
    return _of_callable(given)


def answer_problem(reward: Reward, question: Question) -> str | None:
    """Why a question's reference answers are of no use to a reward; None where they are.

    Beside what a reward says itself (`ChecksAnswers`): one of ours must find each reference right, given as the answer.
    A judge is not asked.
    """
    if isinstance(reward, WeightedSum):
        problems = (answer_problem(part, question) for _, part in reward.parts)
        return next((problem for problem in problems if problem), None)
    if isinstance(reward, ChecksAnswers) and (problem := reward.problem(question)):
        return problem
    if not isinstance(reward, ExactMatch) and type(reward).__name__ not in _SELF_CHECKED:
        return None
    state = EpisodeState(question=question, seed=0)
    for reference in question.answers:
        if sum(term.value for term in reward(question, reference, state)) != 1.0:
            return f"the reward finds the reference itself wrong when it is given as the answer: {reference!r:.80}"
    return None


def describe_reward(reward: Reward) -> str:
    """What identifies a reward: its class and parameters, or its function's name."""
    match reward:
        case WeightedSum(parts=parts):
            return " + ".join(f"{weight:g} * {describe_reward(part)}" for weight, part in parts)
        case FunctionReward(function=function, name=name):
            return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', name)}"
        case ExactMatch(name=name):
            return f"ExactMatch(name={name!r})"
        case CallableReward(function=function):
            return f"{type(function).__module__}:{type(function).__qualname__}"
    return repr(reward)


class CallableReward:
    """An object that is called like a reward and may return a plain number, which becomes a term of its class's name.

    Args:
        function: takes question, answer (None without one) and state.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Question, str | None, EpisodeState], Any]) -> None:
        self.function = function

    def __call__(self, question: Question, answer: str | None, state: EpisodeState, /) -> tuple[RewardTerm, ...]:
        """What the object returns, as terms."""
        value = self.function(question, answer, state)
        if isinstance(value, tuple):
            return value
        return (RewardTerm(name=type(self.function).__name__, value=float(value)),)


def _from_text(text: str) -> Reward:
    name, colon, rest = text.partition(":")
    if name in REWARDS:
        return _named(name, _parameters(text, rest) if colon else {})
    if colon:
        return make_reward(load_named(text, "reward"))
    close = difflib.get_close_matches(name, REWARDS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise EnvConfigError(f"reward: expected {_FORMS}; got {text!r}{hint}")


def _parameters(text: str, settings: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for setting in settings.split(","):
        name, equals, value = setting.partition("=")
        if not equals or not name.strip().isidentifier():
            raise EnvConfigError(f"reward: expected 'name:parameter=value,parameter=value'; got {text!r}")
        try:
            parameters[name.strip()] = json.loads(value)
        except ValueError:
            parameters[name.strip()] = value.strip()
    return parameters


def _named(name: str, parameters: Mapping[str, Any]) -> Reward:
    if name not in REWARDS:
        raise EnvConfigError(f"reward: expected a name out of {', '.join(REWARDS)}; got {name!r}")
    cls = load_named(REWARDS[name], f"reward {name!r}")
    signature = inspect.signature(cls)
    try:
        signature.bind(**parameters)
    except TypeError as error:
        known = ", ".join(signature.parameters)
        raise EnvConfigError(f"reward {name!r}: {error}; its parameters are {known}") from None
    try:
        reward: Reward = cls(**parameters)
    except TypeError as error:
        raise EnvConfigError(f"reward {name!r}: {error} (parameters {dict(parameters)!r:.100})") from error
    return reward


def _weighted(weights: Mapping[Any, Any]) -> Reward:
    for given, weight in weights.items():
        if not isinstance(weight, int | float) or isinstance(weight, bool):
            raise EnvConfigError(f"reward: expected a number as the weight of {given!r:.60}; got {weight!r:.60}")
    return WeightedSum(*((float(weight), make_reward(given)) for given, weight in weights.items()))


def _of_callable(given: Callable[..., Any]) -> Reward:
    if isinstance(given, type):
        return make_reward(make_plain(given, "reward"))
    try:
        inspect.signature(given).bind("question", "answer", "state")
    except TypeError as error:
        raise EnvConfigError(f"reward: expected a callable that takes question, answer and state; {error}") from None
    except ValueError:
        # Some callables written in C have no signature to look at.
        pass
    if inspect.iscoroutinefunction(given):
        raise EnvConfigError(f"reward: expected a plain function; {given!r:.80} is async")
    if inspect.isroutine(given) or isinstance(given, functools.partial):
        return FunctionReward(given)
    is_ours = isinstance(given, ExactMatch | FunctionReward | WeightedSum | ChecksAnswers)
    return given if is_ours else CallableReward(given)
