"""Defines `PolicyGate`, the gate that a policy is, and what environments of a run share: what was spent and said."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from axpo_envs.digest import digest_of
from axpo_envs.errors import InfrastructureFault
from axpo_envs.gate import CallRequest, Ruling, Verdict, modified
from axpo_envs.governance._across import DEFAULT, EXTERNAL_DEFAULT
from axpo_envs.governance._arguments import changed, rewritten, seen, unbounded
from axpo_envs.governance._budgets import Exceeded, Ledger, Spent, exceeded_by_history, spent_on
from axpo_envs.governance._matching import Facts, matches
from axpo_envs.governance.approvers import Approval, ApprovalRequest, Approver, answer_of, approver_of
from axpo_envs.governance.audit_log._redaction import Redactor
from axpo_envs.governance.policy import Action, Phase, Policy, Rule, Unit
from axpo_envs.tool.protocol import Effects, PreviewingTool, Tool, ToolError
from axpo_envs.types import CallOutcome, CallRecord

_VERDICTS: Final = {Action.ALLOW: Verdict.ALLOW, Action.DENY: Verdict.DENY, Action.DRY_RUN: Verdict.DRY_RUN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rules of a policy say of a call."""

    action: Action
    """What happens with it."""
    name: str
    """Name of the rule, default or budget that says so."""
    reason: str = ""
    """Why, for the policy."""
    rule: Rule | None = None
    """The rule that matched; None where none did."""


def judge(policy: Policy, facts: Facts) -> Judgement:
    """What the first rule that matches says of a call, or the default."""
    for number, rule in enumerate(policy.rules):
        if matches(rule, facts):
            return Judgement(action=rule.verdict, name=policy.rule_name(number), reason=rule.reason, rule=rule)
    if facts.effects is Effects.EXTERNAL:
        return Judgement(action=Action(policy.external), name=EXTERNAL_DEFAULT)
    return Judgement(action=Action(policy.default), name=DEFAULT)


def judge_exceeded(policy: Policy, exceeded: Exceeded) -> Judgement:
    """What a budget says of a call that does not fit it."""
    budget = policy.budgets[exceeded.number]
    name = policy.budget_name(exceeded.number)
    spent = f"{name} allows {budget.limit:g} {budget.unit} per {budget.per}, of which {exceeded.spent:g} are spent"
    if budget.unit is Unit.COST:
        costs = f"{exceeded.known:g}" if math.isfinite(exceeded.known) else "nobody knows what"
        spent = f"{spent}; this call costs {costs}"
    return Judgement(action=Action(budget.exceeded), name=name, reason=budget.reason or spent)


def no_number(path: str) -> str:
    """Why a call is denied in which something else stands where a rule bounds a number."""
    return f"this call is not permitted as it was written: {path} must be a number"


class Shared:
    """What the environments of a run share: its ledger, and the answers of approvers, by call.

    Args:
        policy: the policy that they act under.
    """

    def __init__(self, policy: Policy) -> None:
        self.ledger: Final = Ledger()
        self._policy = policy
        self._approver: Approver | None = None
        self._answers: dict[str, Approval] = {}
        self._asking: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def answer(self, request: ApprovalRequest) -> Approval:
        """The answer about a call, asked for once: a branch that makes the same call again gets the same.

        Raises:
            InfrastructureFault: there is none, and the policy drops such episodes.
        """
        with self._lock:
            own = self._asking.setdefault(request.id, threading.Lock())
            if self._approver is None:
                self._approver = approver_of(self._policy.ask)
            approver = self._approver
        with own:
            if request.id not in self._answers:
                self._answers[request.id] = self._asked(approver, request)
            return self._answers[request.id]

    def _asked(self, approver: Approver, request: ApprovalRequest) -> Approval:
        ask = self._policy.ask
        approval, trouble = answer_of(approver, request, ask.timeout_s)
        if approval is not None:
            return replace(approval, by=approval.by or "approver")
        if ask.unanswered == "fault":
            raise InfrastructureFault(f"{request.tool}: somebody was to be asked, and {trouble}")
        # What went wrong is nothing that a policy could mend.
        return Approval(verdict=Verdict(ask.unanswered), by="nobody", reason="somebody was asked, and nobody answered")


_SHARED: Final[dict[tuple[str, str], Shared]] = {}
_SHARED_LOCK: Final = threading.Lock()


def shared_of(run: str, policy: Policy) -> Shared:
    """What the environments of a run share that act under a policy in this process."""
    with _SHARED_LOCK:
        key = (run, policy.fingerprint)
        if key not in _SHARED:
            _SHARED[key] = Shared(policy)
        return _SHARED[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGate:
    """Decides about calls by a policy. It pickles; processes count what a run spends, and ask, apart."""

    policy: Policy
    """The policy."""
    environment: str
    """Id of the environment."""
    phase: Phase | None
    """What the agent acts for."""
    run: str
    """The run."""
    tools: tuple[Tool, ...] = field(repr=False)
    """The environment's."""

    def __call__(self, request: CallRequest) -> Ruling:
        """The ruling on a call."""
        facts = self._facts(request)
        judged = judge(self.policy, facts)
        ruling = Ruling(verdict=Verdict.ALLOW, rule=judged.name)
        if judged.action is Action.MODIFY and judged.rule is not None:
            ruling, request = self._modified(request, judged, judged.rule)
            facts = self._facts(request)
        elif judged.action is Action.ASK:
            ruling = self._asked(request, facts, judged)
        elif judged.action is not Action.ALLOW:
            ruling = _ruled(judged)
        if ruling.verdict in (Verdict.ALLOW, Verdict.MODIFY):
            return self._within_budgets(request, facts, ruling)
        return ruling

    def _within_budgets(self, request: CallRequest, facts: Facts, ruling: Ruling) -> Ruling:
        """The same ruling with the call counted, or that of a budget which it exceeds."""
        if not self.policy.budgets:
            return ruling
        shared = shared_of(self.run, self.policy)
        question = f"{request.state.question.source}:{request.state.question.id}"
        history = self._history(request)
        exempt: tuple[int, ...] = ()
        while exceeded := (
            exceeded_by_history(self.policy, facts, history, exempt=exempt)
            or shared.ledger.take(self.policy, facts, question, exempt=exempt)
        ):
            judged = judge_exceeded(self.policy, exceeded)
            if judged.action is not Action.ASK:
                return _ruled(judged)
            asked = self._asked(request, facts, judged)
            if asked.verdict is not Verdict.ALLOW:
                return asked
            exempt = (*exempt, exceeded.number)
            ruling = replace(ruling, rule=asked.rule, by=asked.by)

        def ended(record: CallRecord) -> None:
            ran = record.outcome is CallOutcome.EXECUTED
            shared.ledger.add(self.policy, facts, question, record.result if ran else None)

        return replace(ruling, ended=(*ruling.ended, ended))

    def _modified(self, request: CallRequest, judged: Judgement, rule: Rule) -> tuple[Ruling, CallRequest]:
        before = self._facts(request).arguments
        after = changed(before, rule)
        ruling = Ruling(verdict=Verdict.ALLOW, rule=judged.name, reason=judged.reason)
        if path := unbounded(before, rule):
            return replace(ruling, verdict=Verdict.DENY, reason=no_number(path)), request
        if after == before:
            return ruling, request
        written = rewritten(request.written, before, after)
        ruling, request = modified(request, replace(ruling, verdict=Verdict.MODIFY, arguments=written))
        now = self._facts(request).arguments
        if ruling.verdict is Verdict.MODIFY and changed(now, rule) != now:
            # The tool reads another argument than the rule changed: an alias of it, say.
            reason = "this call is not permitted as it was written, and cannot be changed to one that is"
            ruling = replace(ruling, verdict=Verdict.DENY, arguments=None, reason=reason)
        return ruling, request

    def _asked(self, request: CallRequest, facts: Facts, judged: Judgement) -> Ruling:
        redactor = Redactor.of(self.policy.audit_log)
        asked = ApprovalRequest(
            id=_identity(request, facts, judged),
            tool=facts.tool,
            effects=facts.effects,
            arguments=redactor.arguments(facts.arguments, request.tool.parameters),
            preview=redactor.text(_preview(request)),
            rule=judged.name,
            reason=judged.reason,
            run=self.run,
            environment=self.environment,
            agent=request.agent,
            phase=self.phase or "",
            question=request.state.question.id,
        )
        approval = shared_of(self.run, self.policy).answer(asked)
        reason = approval.reason or (
            "" if approval.verdict is Verdict.DRY_RUN else f"this call was denied by {approval.by}"
        )
        return Ruling(verdict=approval.verdict, rule=judged.name, by=approval.by, reason=reason)

    def _facts(self, request: CallRequest) -> Facts:
        tool = request.tool
        return self._facts_of(tool.name, tool, seen(request.arguments, tool.parameters), request)

    def _facts_of(self, name: str, tool: Tool | None, arguments: Mapping[str, Any], request: CallRequest) -> Facts:
        return Facts(
            tool=name,
            effects=Effects.EXTERNAL if tool is None else tool.effects,
            arguments=arguments,
            environment=self.environment,
            agent=request.agent,
            phase=self.phase,
            labels=request.state.question.labels,
        )

    def _history(self, request: CallRequest) -> list[Spent]:
        """The calls that ran in the episode before this one."""
        tools = {tool.name: tool for tool in self.tools}
        past = [record for turn in request.state.turns for record in turn.calls]
        return [
            self._spent(record, tools.get(record.call.name), request)
            for record in (*past, *request.earlier)
            if record.outcome is CallOutcome.EXECUTED
        ]

    def _spent(self, record: CallRecord, tool: Tool | None, request: CallRequest) -> Spent:
        written = json.loads(record.call.arguments if record.changed is None else record.changed)
        arguments = seen(written, {} if tool is None else tool.parameters)
        facts = replace(self._facts_of(record.call.name, tool, arguments, request), agent=record.agent)
        return spent_on(self.policy, facts, record.result)


def _ruled(judged: Judgement) -> Ruling:
    denied = f"this call is not permitted ({judged.name})" if judged.action is Action.DENY else ""
    return Ruling(verdict=_VERDICTS[judged.action], rule=judged.name, reason=judged.reason or denied)


def _identity(request: CallRequest, facts: Facts, judged: Judgement) -> str:
    earlier = tuple((record.call.name, record.call.arguments, record.result.status) for record in request.earlier)
    arguments = json.dumps(facts.arguments, sort_keys=True)
    phase = facts.phase or ""
    return digest_of(
        "approval",
        request.state.digest,
        request.number,
        earlier,
        facts.tool,
        arguments,
        facts.agent,
        phase,
        judged.name,
    )


def _preview(request: CallRequest) -> str:
    tool = request.tool
    if not isinstance(tool, PreviewingTool):
        return ""
    try:
        return str(tool.preview(request.arguments, request.tool_state))
    except ToolError as error:
        return f"fail: {error}"
