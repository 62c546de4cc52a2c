"""A policy decides about the calls of an environment, and decides the same wherever an episode is gone on with."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import pydantic
import pytest

from axpo_envs import (
    CallRequest,
    EnvConfigError,
    InfrastructureFault,
    Ruling,
    SnapshotError,
    ToolEnv,
    ToolStatus,
    Verdict,
    call_turn,
)
from axpo_envs.governance import Approval, ApprovalRequest, Governance, RecordedCall, check_calls, read_policy
from axpo_envs.tools import ToolArgumentError, tool

Make = Callable[..., ToolEnv]
Say = Callable[..., str]


class Card(pydantic.BaseModel):
    """A card, whose code nobody is to see."""

    number: str
    code: pydantic.SecretStr = pydantic.SecretStr("of the tool")


def rule(verdict: str, **more: Any) -> dict[str, Any]:
    return {"verdict": verdict, **more}


def test_the_first_rule_that_matches_decides(make: Make, say: Say, paid: list[Any]) -> None:
    rules = [
        rule("deny", tools="pay", arguments={"to": "evil*"}, reason="not to them"),
        rule("allow", tools="p*", bounds={"amount": {"max": 10}}, name="small"),
        rule("deny", tools="pay", bounds={"amount": {"max": 10}}),
    ]
    env = make({"default": "allow", "rules": rules})
    assert say(env, "pay", amount=10) == "paid 10 to ACME"
    assert say(env, "pay", amount=1, to="evil inc") == "Error: not to them."
    assert say(env, "pay", amount=11) == "Dry run: the call is valid; it was not executed."
    assert say(env, "look", where="up") == "looked 1 times at up"
    records = [record for turn in env.state.turns for record in turn.calls]
    assert [record.rule for record in records] == ["small", "rule 1", "default for external effects", "default"]
    assert paid == [(10.0, "ACME")]


@pytest.mark.parametrize("default", ["deny", "dry_run"])
def test_the_default_is_what_the_policy_states(make: Make, say: Say, default: str) -> None:
    env = make({"default": default, "external": "allow"})
    expected = {"deny": "Error: this call is not permitted (default).", "dry_run": "Dry run: "}[default]
    assert say(env, "look", where="up").startswith(expected)
    assert say(env, "pay", amount=1) == "paid 1 to ACME"


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({"effects": "external"}, True),
        ({"effects": ["pure", "stateful"]}, False),
        ({"environments": "test/*"}, True),
        ({"environments": "axpo/*"}, False),
        ({"agents": "*"}, True),
        ({"agents": "payer"}, False),
        ({"phases": "training"}, True),
        ({"phases": ["evaluation", "production"]}, False),
        ({"labels": "must_act"}, True),
        ({"labels": "must_not_act"}, False),
        ({"arguments": {"to": ["x", "ACM?"]}}, True),
        ({"arguments": {"to": "acme"}}, False),
        ({"arguments": {"amount": 5}}, True),
        ({"arguments": {"amount": True}}, False),
        ({"arguments": {"nothing": "*"}}, False),
        ({"bounds": {"amount": {"min": 5, "max": 5}}}, True),
        ({"bounds": {"amount": {"min": 5.1}}}, False),
        ({"bounds": {"to": {"min": 0}}}, False),
        ({"schema": {"properties": {"amount": {"maximum": 5}}, "required": ["to"]}}, True),
        ({"schema": {"properties": {"to": {"pattern": "^B"}}}}, False),
    ],
)
def test_a_rule_matches_where_everything_in_it_fits(
    make: Make, say: Say, paid: list[Any], condition: dict[str, Any], fits: bool
) -> None:
    # A left-out argument is seen as the tool's default, `to` here.
    env = make({"default": "deny", "rules": [rule("allow", **condition)]}, phase="training")
    say(env, "pay", amount=5)
    assert bool(paid) is fits


@pytest.mark.parametrize(("match", "allowed"), [("every", [False, True, False]), ("some", [True, True, False])])
def test_a_path_to_several_values_fits_where_every_or_some_one_does(
    make: Make, say: Say, match: str, allowed: list[bool]
) -> None:
    @tool
    def mail(to: list[dict[str, str]]) -> str:
        """Mails."""
        return "sent"

    rules = [rule("allow", arguments={"to.*.at": "*@acme.org"}, match=match)]
    env = make({"default": "deny", "rules": rules}, spec={"tools": (mail,)})
    many = ([{"at": "a@acme.org"}, {"at": "b@evil.org"}], [{"at": "a@acme.org"}], [])
    assert [say(env, "mail", to=to) == "sent" for to in many] == allowed


def test_arguments_are_clamped_and_set_and_both_are_recorded(make: Make, say: Say, paid: list[Any]) -> None:
    rules = [rule("modify", tools="pay", clamp={"amount": {"max": 10}}, set={"to": "escrow"}, reason="at most 10")]
    env = make({"default": "allow", "rules": rules})
    told = 'Note: this call was executed with {"amount": 10.0, "to": "escrow"} (at most 10).\npaid 10 to escrow'
    assert say(env, "pay", amount=50) == told
    (record,) = env.state.turns[0].calls
    assert (record.call.arguments, record.changed) == ('{"amount": 50}', '{"amount": 10.0, "to": "escrow"}')
    assert paid == [(10.0, "escrow")]
    assert say(env, "pay", amount=3, to="escrow") == "paid 3 to escrow"
    assert env.state.turns[1].calls[0].changed is None


def test_integers_stay_integers_when_they_are_clamped(make: Make, say: Say) -> None:
    rules = [rule("modify", tools="look", clamp={"times": {"min": 1.5, "max": 2.5}})]
    env = make({"default": "allow", "rules": rules})
    assert say(env, "look", where="up", times=9).endswith("looked 2 times at up")
    assert say(env, "look", where="up", times=-9).endswith("looked 2 times at up")


def test_changed_arguments_that_do_not_fit_the_tool_are_denied(make: Make, say: Say) -> None:
    env = make({"default": "allow", "rules": [rule("modify", tools="look", set={"times": "often"})]})
    told = say(env, "look", where="up")
    assert told.startswith("Error: this call is not permitted as it was written, and what it would be changed to is")
    assert env.state.turns[0].calls[0].result.status is ToolStatus.DENIED


def test_a_tool_that_reads_another_argument_than_was_changed_is_not_called(make: Make, say: Say) -> None:
    class Alias:
        name, description, parameters = "move", "Moves.", {"type": "object"}
        effects, timeout_s = tool(lambda: 1, name="x", description="x").effects, None

        def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            if not arguments:
                raise ToolArgumentError("expected n")
            return {"n": arguments.get("steps", arguments.get("n"))}

        def initial_state(self, question: Any) -> None:
            return None

        def step(self, arguments: Mapping[str, Any], state: Any, context: Any) -> Any:
            raise AssertionError("it must not be called")

    env = make({"default": "allow", "rules": [rule("modify", clamp={"n": {"max": 1}})]}, spec={"tools": (Alias(),)})
    assert "cannot be changed to one that is" in say(env, "move", steps=5)


def budget(per: str, unit: str, limit: float, **more: Any) -> dict[str, Any]:
    return {"per": per, "unit": unit, "limit": limit, **more}


def test_a_budget_of_an_episode_counts_its_own_branch(make: Make, say: Say, paid: list[Any]) -> None:
    policy = {
        "default": "allow",
        "external": "allow",
        "budgets": [budget("episode", "cost", 25, tools="pay")],
        "costs": {"pay": {"argument": "amount", "base": 1}, "*": 100},
    }
    env = make(policy)
    assert say(env, "pay", amount=9) == "paid 9 to ACME"
    moment = env.snapshot()
    for _ in range(3):
        env.restore(moment)
        assert say(env, "look", where="up") == "looked 1 times at up"
        assert say(env, "pay", amount=14) == "paid 14 to ACME"
        denied = "Error: budget 1 allows 25 cost per episode, of which 25 are spent; this call costs 1.5."
        assert say(env, "pay", amount=-0.5) == denied
    assert len(paid) == 4


def test_earlier_calls_of_the_same_turn_count(make: Make, paid: list[Any]) -> None:
    env = make({"default": "deny", "external": "allow", "budgets": [budget("episode", "calls", 2)]})
    env.reset(seed=0)
    env.step(call_turn("pay", {"amount": 1}) * 3)
    assert len(paid) == 2


def test_what_a_gate_changed_counts_as_it_ran(make: Make, say: Say) -> None:
    policy = {
        "default": "allow",
        "rules": [rule("modify", clamp={"amount": {"max": 10}})],
        "budgets": [budget("episode", "cost", 20)],
        "costs": {"pay": {"argument": "amount"}},
    }
    env = make(policy)
    assert [say(env, "pay", amount=99).startswith("Note") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("per", "allowed"), [("run", [True, True, False, False]), ("question", [True, True, False, True])]
)
def test_budgets_of_questions_and_runs_count_every_branch(
    make: Make, say: Say, paid: list[Any], per: str, allowed: list[bool]
) -> None:
    env = make({"default": "deny", "external": "allow", "budgets": [budget(per, "calls", 2)]})
    env.reset(seed=0, options={"index": 0})
    moment = env.snapshot()
    made = []
    for _ in range(3):
        env.restore(moment)
        made.append(say(env, "pay", amount=1).startswith("paid"))
    env.reset(seed=0, options={"index": 1})
    made.append(say(env, "pay", amount=1).startswith("paid"))
    assert made == allowed


def test_threads_together_never_exceed_a_budget(make: Make, paid: list[Any]) -> None:
    env = make({"default": "deny", "external": "allow", "budgets": [budget("run", "cost", 10)], "costs": {"pay": 1}})
    state = env.begin(env.questions.question(0))
    threads = [
        threading.Thread(target=lambda: [env.advance(state, call_turn("pay", {"amount": 1})) for _ in range(5)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paid) == 10


def test_bytes_and_seconds_are_counted_behind_a_call(make: Make, say: Say) -> None:
    # The arguments are 27 bytes with the default, the result is 20.
    env = make({"default": "allow", "budgets": [budget("run", "bytes", 60, name="few")]})
    assert say(env, "look", where="up") == "looked 1 times at up"
    assert say(env, "look", where="up").startswith("Error: few allows 60 bytes per run, of which")
    env = make({"default": "allow", "budgets": [budget("episode", "seconds", 1e-9)]})
    assert say(env, "look", where="up") == "looked 1 times at up"
    assert say(env, "look", where="up").startswith("Error: budget 1 allows 1e-09 seconds per episode")


def test_a_call_whose_price_cannot_be_told_fits_no_budget(make: Make, say: Say) -> None:
    policy = {"default": "allow", "budgets": [budget("run", "cost", 1e9)], "costs": {"look": {"argument": "price"}}}
    assert say(make(policy), "look", where="up").startswith("Error: budget 1")


def test_a_call_that_a_later_gate_withholds_is_given_back(make: Make, say: Say) -> None:
    env = make({"default": "allow", "budgets": [budget("run", "calls", 1)]})

    def deny(request: CallRequest) -> Ruling:
        return Ruling(verdict=Verdict.DENY, reason="not now")

    assert say(env.gated(deny), "look", where="up") == "Error: not now."
    assert say(env, "look", where="up") == "looked 1 times at up"


def test_the_gates_of_a_team_tell_who_calls(make: Make) -> None:
    rules = [rule("allow", agents="payer*", tools="pay")]
    env = make({"default": "deny", "rules": rules, "budgets": [budget("episode", "calls", 1, agents="payer_1")]})

    def anybody(request: CallRequest) -> Ruling:
        return Ruling(verdict=Verdict.ALLOW)

    state = env.begin(env.questions.question(0))
    statuses = []
    for agent in ("payer_1", "payer_1", "payer_2", "looker"):
        state = env.gated(anybody, agent=agent).advance(state, call_turn("pay", {"amount": 1})).state
        record = state.turns[-1].calls[0]
        statuses.append((record.agent, record.result.status))
    ok, denied, dry = ToolStatus.OK, ToolStatus.DENIED, ToolStatus.DRY_RUN
    assert statuses == [("payer_1", ok), ("payer_1", denied), ("payer_2", ok), ("looker", dry)]


class TestAsking:
    def test_a_branch_that_repeats_a_call_gets_the_same_answer_and_others_ask_anew(
        self, make: Make, say: Say, paid: list[Any]
    ) -> None:
        asked: list[ApprovalRequest] = []

        def approver(request: ApprovalRequest) -> bool:
            asked.append(request)
            return len(asked) % 2 == 1

        rules = [rule("ask", tools="pay", name="ask the boss")]
        env = make({"default": "allow", "rules": rules, "ask": {"approver": approver}})
        env.reset(seed=0, options={"index": 0})
        moment = env.snapshot()
        for _ in range(3):
            env.restore(moment)
            assert say(env, "pay", amount=1, password="hunter2") == "paid 1 to ACME"
        assert len(asked) == 1
        assert say(env, "pay", amount=1, password="hunter2") == "Error: this call was denied by approver."
        assert len({request.id for request in asked}) == 2
        assert asked[0].arguments == {"amount": 1.0, "to": "ACME", "password": "[redacted]"}
        assert (asked[0].rule, asked[0].environment, asked[0].question) == ("ask the boss", "test/Shop-v0", "q")

    def test_an_approver_is_shown_what_would_change(self, make: Make, say: Say) -> None:
        shown: list[str] = []

        def approver(request: ApprovalRequest) -> Verdict:
            shown.append(request.preview)
            return Verdict.ALLOW

        env = make({"default": "ask", "ask": {"approver": approver}})
        assert say(env, "note", text="a") == "1 notes"
        assert say(env, "note", text="a") == "2 notes"
        assert shown == ["note 1 would be 'a'", "fail: it is noted already"]

    @pytest.mark.parametrize(
        ("unanswered", "told"),
        [("deny", "Error: somebody was asked, and nobody answered."), ("dry_run", "Dry run: somebody was asked")],
    )
    def test_what_happens_without_an_answer_is_stated(self, make: Make, say: Say, unanswered: str, told: str) -> None:
        env = make({"default": "ask", "ask": {"approver": lambda request: None, "unanswered": unanswered}})
        assert say(env, "look", where="up").startswith(told)

    def test_an_episode_is_dropped_where_nobody_answers_and_the_policy_says_so(self, make: Make, say: Say) -> None:
        def down(request: ApprovalRequest) -> None:
            raise InfrastructureFault("the service is down")

        env = make({"default": "ask", "ask": {"approver": down, "unanswered": "fault"}})
        with pytest.raises(InfrastructureFault, match="somebody was to be asked, and the service is down"):
            say(env, "look", where="up")

    def test_a_slow_approver_is_not_waited_for(self, make: Make, say: Say) -> None:
        forever = threading.Event()
        ask = {"approver": lambda request: forever.wait(60), "timeout_s": 0.01}
        assert "nobody answered" in say(make({"default": "ask", "ask": ask}), "look", where="up")
        forever.set()

    def test_an_approver_of_the_users_that_fails_stops_the_run(self, make: Make, say: Say) -> None:
        def broken(request: ApprovalRequest) -> bool:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            say(make({"default": "ask", "ask": {"approver": broken}}), "look", where="up")
        with pytest.raises(TypeError, match="expected an approver to return"):
            say(make({"default": "ask", "ask": {"approver": lambda request: "yes"}}), "look", where="up")

    def test_an_exceeded_budget_may_ask_and_the_others_hold_all_the_same(self, make: Make, say: Say) -> None:
        budgets = [budget("episode", "calls", 1, exceeded="ask"), budget("run", "calls", 2)]
        approve = {"approver": lambda request: Approval(verdict=Verdict.ALLOW, by="boss")}
        env = make({"default": "allow", "budgets": budgets, "ask": approve})
        told = [say(env, "look", where="up") for _ in range(3)]
        assert told[:2] == ["looked 1 times at up"] * 2
        assert told[2].startswith("Error: budget 2 allows 2 calls per run")
        assert [turn.calls[0].rule for turn in env.state.turns] == ["default", "budget 1", "budget 2"]


def test_snapshots_go_on_under_the_same_policy_alone(make: Make) -> None:
    env = make({"default": "allow"}, run="one")
    env.reset(seed=0)
    moment = env.snapshot()
    make({"default": "allow"}, run="two").restore(moment)
    for other in ({"default": "deny"}, None):
        with pytest.raises(SnapshotError, match="expected rules"):
            make(other).restore(moment)
    with pytest.raises(SnapshotError, match="expected rules"):
        make({"default": "allow"}, phase="training").restore(moment)


def test_a_policy_that_tells_phases_apart_needs_one(make: Make) -> None:
    policy = {"default": "deny", "rules": [rule("allow", phases="training")]}
    with pytest.raises(EnvConfigError, match="phase must be one of training, evaluation, production, which the policy"):
        make(policy)
    with pytest.raises(EnvConfigError, match="got 'trial'"):
        make(policy, phase="trial")


def test_approvers_that_are_not_there_are_found_out_before_anything_runs(make: Make) -> None:
    for approver, message in (
        ("no.such:thing", "cannot import no"),
        ("math:pi", "expected a callable; math:pi is a float"),
    ):
        with pytest.raises(EnvConfigError, match=message):
            make({"default": "ask", "ask": {"approver": approver}})


def test_a_governed_copy_leaves_the_environment_as_it_was(make: Make, say: Say, paid: list[Any]) -> None:
    env = make(None)
    dry = env.governed(Governance(policy={"default": "dry_run"}))
    assert say(dry, "pay", amount=1).startswith("Dry run")
    assert say(env, "pay", amount=1) == "paid 1 to ACME"


def test_a_governed_environment_travels_with_its_policy() -> None:
    questions = [{"id": "q", "prompt": "?", "answer": "1"}]
    env = gymnasium.make("axpo/ToolTask-v0", questions=questions, tools="measure").unwrapped
    assert isinstance(env, ToolEnv)
    dry = env.governed(Governance(policy={"default": "dry_run"}))
    dry.reset(seed=0)
    there = pickle.loads(pickle.dumps(dry))
    assert there.rules.fingerprint == dry.rules.fingerprint != env.rules.fingerprint
    there.restore(dry.snapshot())


def test_a_gate_travels_to_other_processes(make: Make) -> None:
    gate = make({"default": "deny"}).rules.gate
    assert pickle.loads(pickle.dumps(gate)).policy == gate.policy  # type: ignore[union-attr]


@pytest.mark.parametrize("given", [None, "900", True])
def test_a_number_that_a_rule_bounds_must_be_one(make: Make, say: Say, given: Any) -> None:
    asked: list[Any] = []

    @tool
    def find(limit: int | str | bool | None = None) -> str:
        """Finds."""
        asked.append(limit)
        return f"at most {limit}"

    policy = {"default": "allow", "rules": [rule("modify", tools="find", clamp={"limit": {"max": 5}})]}
    env = make(policy, spec={"tools": (find,)})
    told = "Error: this call is not permitted as it was written: limit must be a number."
    assert say(env, "find", limit=given) == told
    assert say(env, "find") == told
    assert say(env, "find", limit=900).endswith("at most 5")
    assert asked == [5]
    (one,) = check_calls(read_policy(policy), [RecordedCall(tool="find", arguments={"limit": given})])
    assert (one.judgement.action, one.arguments) == ("deny", {"limit": given})


def test_what_a_rule_does_not_change_stays_as_it_was_written(make: Make, say: Say) -> None:
    charged: list[Any] = []

    @tool
    def charge(card: Card, cards: list[Card]) -> str:
        """Charges."""
        charged.extend((one.number, one.code.get_secret_value()) for one in (card, *cards))
        return "charged"

    changes = {"card.number": "0", "cards.*.number": "1"}
    env = make({"default": "allow", "rules": [rule("modify", set=changes)]}, spec={"tools": (charge,)})
    told = say(
        env, "charge", card={"number": "7", "code": "123"}, cards=[{"number": "8"}, {"number": "9", "code": "5"}]
    )
    assert charged == [("0", "123"), ("1", "of the tool"), ("1", "5")]
    assert "of the tool" not in told


def test_sums_of_decimals_fit_a_budget_that_they_come_to(make: Make, say: Say, paid: list[Any]) -> None:
    budgets = [budget("episode", "cost", 0.3), budget("run", "cost", 0.3)]
    env = make({"default": "deny", "external": "allow", "budgets": budgets, "costs": {"pay": {"argument": "amount"}}})
    assert [say(env, "pay", amount=0.1) for _ in range(3)] == ["paid 0.1 to ACME"] * 3
    assert say(env, "pay", amount=0.001).startswith("Error: budget 1 allows 0.3 cost per episode")
