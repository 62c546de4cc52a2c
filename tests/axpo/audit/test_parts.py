"""Tests of what an audit tells apart: environments, tools, needed calls, steps; and of conditions on such parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axpo.algorithm.types import Group
from axpo.audit.audit import AuditSettings, Findings, audit
from axpo.audit.conditions import Expression, Measured, fell
from axpo.audit.figures import figures, measured_of
from axpo.audit.tally import METRICS, OTHER_ENVIRONMENTS
from axpo.audit.verdict import verdict
from axpo.cli import main
from axpo.records.run_log import RunLog
from axpo.run.validation import resolved
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import to_toml
from axpo_envs.plumbing.columns import Columns
from axpo_envs.tools import ImageZoomIn

PEAK = '<tool_call>\n{{"name": "{}", "arguments": {{}}}}\n</tool_call><tool_response>\nfound\n</tool_response>'


def row(question: str, score: float, *tools: str, **more: Any) -> dict[str, Any]:
    output = "".join(map(PEAK.format, tools)) + "<answer>x</answer>"
    return {"input": question, "output": output, "score": score, **more}


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def values(metrics: Mapping[str, Any], *names: str) -> list[tuple[float, int] | None]:
    return [None if (found := metrics[name]) is None else (found.value, found.n) for name in names]


MIXED = [
    # Both environments number their questions alike.
    row("1", 1.0, "search", "search", data_source="maps", hops=2, step=1),
    row("1", 0.0, "open", data_source="maps", hops=2, step=1),
    row("1", 0.0, data_source="hops", hops=1, step=2),
    row("1", 1.0, data_source="hops", hops=1, step=2),
    row("2", 0.0, "search", data_source="hops", step=2),
]


@pytest.fixture
def mixed(tmp_path: Path) -> Findings:
    return audit([write(tmp_path / "rows.jsonl", MIXED)], AuditSettings(tools=("search", "open", "crop")))


def test_environments_are_told_apart_and_so_are_their_questions(mixed: Findings) -> None:
    assert mixed.questions == 3
    assert list(mixed.by_environment) == ["hops", "maps"]
    names = ("tool_attempt_rate", "pass1", "dead_groups", "premature_stop")
    assert values(mixed.by_environment["maps"], *names) == [(1.0, 2), (0.5, 2), (0.0, 1), (0.5, 2)]
    assert values(mixed.by_environment["hops"], *names) == [
        (pytest.approx(1 / 3), 3),
        (pytest.approx(1 / 3), 3),
        (0.0, 1),
        None,
    ]
    assert list(mixed.environments_over_time["hops"]) == ["1", "2"]
    assert mixed.environments_over_time["hops"]["1"]["tool_attempt_rate"] is None


def test_tools_are_measured_of_what_calls_them_and_idle_ones_are_told(mixed: Findings) -> None:
    names = ("tool_attempt_rate", "tool_pass1", "all_wrong_tool_subgroups")
    found = {name: values(tool.metrics, *names) for name, tool in mixed.by_tool.items()}
    assert found == {
        "search": [(0.4, 5), (0.5, 2), (0.5, 2)],
        "open": [(0.2, 5), (0.0, 1), (1.0, 1)],
        "crop": [(0.0, 5), None, None],
    }
    assert mixed.by_tool["search"].calls == 3
    (low, high) = ((rate := mixed.by_tool["crop"].metrics["tool_attempt_rate"]).low, rate.high)  # type: ignore[union-attr]
    assert low == 0 < high < 1
    assert [None if each is None else each.value for each in mixed.tools_over_time["open"].values()] == [0.5, 0.0]


def test_needed_calls_are_told_apart(mixed: Findings) -> None:
    assert {hops: values(found, "tool_attempt_rate") for hops, found in mixed.by_hops.items()} == {
        "1": [(0.0, 2)],
        "2": [(1.0, 2)],
    }


def test_a_field_can_be_named_and_one_that_no_record_has_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{**each, "about": {"level": place % 2}} for place, each in enumerate(MIXED)])
    assert list(audit([path], AuditSettings(split_by="about.level")).by_environment) == ["0", "1"]
    with pytest.raises(ConfigError, match=r"split_by: .*'nope'; no record has any"):
        audit([path], AuditSettings(split_by="nope"))


def test_a_field_that_tells_every_record_apart_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo.audit.tally._MOST_ENVIRONMENTS", 3)
    rows = [{**MIXED[0], "data_source": f"<{place}>"} for place in range(9)]
    found = audit([write(tmp_path / "rows.jsonl", rows)], AuditSettings()).by_environment
    assert list(found) == [OTHER_ENVIRONMENTS, "<0>", "<1>", "<2>"]
    assert values(found[OTHER_ENVIRONMENTS], "pass1") == [(1.0, 6)]


def test_the_verdict_names_the_environment_that_the_whole_hides(tmp_path: Path) -> None:
    rows = [
        row(f"{step}.{question}", 1.0, *(("search",) * (env == "kept" or step <= 2)), data_source=env, step=step)
        for env in ("kept", "lost", "idle")
        for step in range(1, 13)
        for question in range(20)
        if env != "idle" or step == 1
    ]
    rows = [{**each, "output": "<answer>x</answer>"} if each["data_source"] == "idle" else each for each in rows]
    rows += [each for each in rows if each["data_source"] == "kept"] * 2
    said = verdict(audit([write(tmp_path / "rows.jsonl", rows)], AuditSettings()))
    assert "In idle no rollout of 20 calls a tool, though others call some." in said
    assert any(sentence.startswith("In lost tool use collapsed: 100 % of the rollouts") for sentence in said)


class TestConditionsOnParts:
    @pytest.mark.parametrize(
        ("text", "holds"),
        [
            ("tool_attempt_rate[environment=maps]<0.9", False),
            ("tool_attempt_rate[ environment = hops ].n>=3", True),
            ("tool_attempt_rate[environment=*]<0.5", True),
            ("pass1[environment=*]<0.1", False),
            ("tool_attempt_rate[tool=crop]<=0 and pass1<1", True),
            ("tool_attempt_rate[hops=2]<1 or pass1[steps=last]<0.2", False),
            ("pass1[steps=first]>0.4", True),
            ("premature_stop[environment=hops]>=0", False),
        ],
    )
    def test_they_hold_or_do_not(self, mixed: Findings, text: str, holds: bool) -> None:
        measured = measured_of(figures(mixed, AuditSettings()))
        assert Expression.read(text, METRICS).holds(measured) is holds

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("pass1[colour=red]<1", "environment, tool, hops, steps; got 'colour'"),
            ("dead_groups[tool=search]<1", "of a tool; got 'dead_groups'"),
            ("pass1<1 or pass1[environment=mars]<1", r"by environment \(hops, maps\); got 'mars'"),
            ("pass1[environment]<1", "METRIC<NUMBER"),
        ],
    )
    def test_wrong_names_are_errors(self, mixed: Findings, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            Expression.read(text, METRICS).holds(measured_of(figures(mixed, AuditSettings())))

    def test_names_may_hold_the_words_that_join(self) -> None:
        parts = {"environment": {"this and that or none": {"pass1": {"value": 0.5}}}}
        text = "pass1[environment=this and that or none]<1 and pass1<1"
        assert Expression.read(text, METRICS).holds(Measured(whole={"pass1": {"value": 0.1}}, parts=parts))


def metric(value: float, half: float) -> dict[str, Any]:
    return {"pass1": {"value": value, "low": value - half, "high": value + half}}


class TestAgainst:
    def test_parts_are_compared_and_their_intervals_are_wider_the_more_there_are(self) -> None:
        def measured(value: float, parts: int) -> Measured:
            named = {f"e{number}": metric(value if number == 0 else 0.5, 0.1) for number in range(parts)}
            return Measured(whole=metric(0.5, 0.1), parts={"environment": named})

        (change,) = fell(measured(0.5, 1), measured(0.29, 1))
        assert (change.metric, change.part, change.is_certain) == ("pass1", "environment=e0", True)
        # Of 20 comparisons each interval is 1.54 times as wide: 0.154 around 0.29 and 0.5.
        (change,) = fell(measured(0.5, 20), measured(0.29, 20))
        assert not change.is_certain
        (change,) = fell(measured(0.5, 20), measured(0.19, 20))
        assert change.is_certain

    def test_a_tool_that_nothing_calls_any_more_fell(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        def rollouts(tool: str) -> list[dict[str, Any]]:
            return [row(f"{number}", 1.0, "search", tool) for number in range(60)]

        before = write(tmp_path / "before.jsonl", rollouts("open"))
        after = write(tmp_path / "after.jsonl", rollouts("search"))
        figures_file = tmp_path / "before.json"
        assert main(["audit", str(before), "--json", str(figures_file)]) == 0
        assert main(["audit", str(after), "--against", str(figures_file)]) == 3
        assert "tool_attempt_rate[tool=open] fell: 1.000 before, 0.000 now" in capsys.readouterr().out
        assert main(["audit", str(before), "--against", str(figures_file)]) == 0

    @pytest.mark.parametrize("text", ["[]", '{"metrics": 3}', '{"metrics": {"pass1": {"value": "x"}}}', "[" * 9999])
    def test_what_is_no_baseline_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "base.json").write_text(text, encoding="utf-8")
        rows = write(tmp_path / "rows.jsonl", MIXED)
        assert main(["audit", str(rows), "--against", str(tmp_path / "base.json")]) == 2


def test_the_command_and_its_page_show_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**each, "data_source": f"<b>{each['data_source']}</b>"} for each in MIXED]
    path, page = write(tmp_path / "rows.jsonl", rows), tmp_path / "page.html"
    assert main(["audit", str(path), "--html", str(page), "--fail-if", "pass1[environment=<b>maps</b>]<0.6"]) == 3
    said = capsys.readouterr().out
    assert all(title in said for title in ("by environment", "by tool", "by calls needed", "over steps"))
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;maps&lt;/b&gt;" in text
    assert "<b>maps" not in text
    assert "Pass@1, by environment" in text


class TestWhereStacksNameEnvironments:
    @pytest.mark.parametrize(
        ("name", "record"),
        [
            ("chat", {"id": 1, "env": "e", "messages": [{"role": "assistant", "content": "x"}]}),
            ("search-r1", {"question": "q", "data_source": "e", "response": "x"}),
            ("verl", row("q", 1.0, extra_info={"data_source": "e"})),
            ("trl", {"prompt": "q", "completion": "x", "advantage": 0.0, "dataset": "e"}),
            ("verifiers", {"example_id": 1, "env_id": "e", "completion": "x", "reward": 1.0}),
        ],
    )
    def test_their_usual_fields_are_read(self, tmp_path: Path, name: str, record: dict[str, Any]) -> None:
        findings = audit([write(tmp_path / "rows.jsonl", [record])], AuditSettings())
        assert (list(findings.files.values()), list(findings.by_environment)) == ([name], ["e"])

    @pytest.mark.parametrize(
        ("file", "environment"),
        [("verifiers_traces.jsonl", "capitals"), ("inspect_log.eval", "capitals"), ("inspect_log.json", "capitals")],
    )
    def test_real_files_tell_theirs(self, file: str, environment: str) -> None:
        assert list(audit([Path(__file__).parent / file], AuditSettings()).by_environment) == [environment]


def test_the_families_of_a_run_are_its_environments(tmp_path: Path, group: Group) -> None:
    def of_family(name: str) -> Group:
        asked = replace(group.question, extra=Columns({"family": name}.items()))
        rollouts = tuple(replace(each, episode=replace(each.episode, question=asked)) for each in group.rollouts)
        return Group(question=asked, rollouts=rollouts)

    folder = tmp_path / "run"
    with RunLog.create(folder, to_toml(resolved(TrainConfig(steps=1, out=str(folder)))), tensorboard=False) as log:
        log.write_rollouts(1, [of_family("maps"), of_family("hops")], 0, (ImageZoomIn(view_size=64),))
    findings = audit([folder], AuditSettings())
    assert {name: values(found, "tool_attempt_rate") for name, found in findings.by_environment.items()} == {
        "maps": [(0.25, 4)],
        "hops": [(0.25, 4)],
    }
    assert findings.questions == 2
