"""Tests of an audit's page: strangers' texts are escaped, examples are bounded samples, curves lie where they must."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from axpo.audit.audit import MOST_TOOLS, SUBGROUP, AuditSettings, audit
from axpo.audit.counts import MOST_PLACES, OTHER_NAMES
from axpo.audit.exhibits import MOST_CHARACTERS, clipped, exhibits
from axpo.audit.images import images_of
from axpo.audit.sample import Sample
from axpo.cli import main
from axpo.report._live_charts import Curve, Topic, live_chart
from axpo.report._values import Value, told
from axpo.settings.config import TrainConfig

EVIL = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>'
LOADING = ("src", "href", "xlink:href", "poster", "data", "action", "srcset")


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def address(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def row(question: str, reward: float | None, *, calls: Iterable[str] = (), thinks: str = "hm", **more: Any) -> Any:
    picture = {"type": "image_url", "image_url": {"url": address(png("red"))}}
    asked = [{"type": "text", "text": f"{question} {EVIL}"}, picture]
    acts = [
        message
        for name in calls
        for message in (
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": EVIL}}]},
            {"role": "tool", "content": f"found {EVIL}"},
        )
    ]
    says = {"role": "assistant", "content": f"<answer>{EVIL}</answer>", "reasoning_content": thinks}
    return {
        "id": question,
        "reward": reward,
        "tools": ["search"],
        "messages": [{"role": "user", "content": asked}, *acts, says],
        **more,
    }


def rows() -> list[Any]:
    found = []
    for step in (1, 2, 3):
        found += [row("never", 0.0, calls=["search"], step=step, hops=2), row("never", 1.0, step=step, hops=2)]
        found += [row("named", 0.0, thinks=f"I could Search {EVIL}", step=step), row("named", None, step=step)]
        found += [row("odd", 0.0, calls=[EVIL, "search"], step=step, hops=1)]
    return found


def write(path: Path, found: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    return path


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in LOADING]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = write(tmp_path / "rollouts.jsonl", [*rows(), {"id": EVIL, "messages": EVIL}])
    assert main(["audit", str(path), "--format", "chat", "--html", str(tmp_path / "out" / "page.html")]) == 0
    return (tmp_path / "out" / "page.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing_runs_nothing_and_escapes_what_strangers_wrote(page: str) -> None:
    seen = Seen(page)
    assert all(value.startswith(("data:image/", "#")) for value in seen.loaded)
    assert any(value.startswith("data:image/png;base64,") for value in seen.loaded)
    assert not {"script", "link", "iframe", "object", "img"} & seen.tags
    assert seen.handlers == []
    assert "default-src 'none'" in page
    assert "http://evil.example" in page
    assert not re.search(r"url\((?!#)|@import|<script|<img", page)


def test_the_page_says_what_was_found_and_when(page: str) -> None:
    assert re.search(r"Made on \d{4}-\d\d-\d\d \d\d:\d\d UTC", page)
    assert "100 % of your questions with tool calls give no signal at these calls" in page
    assert "15 rollouts" in page
    assert "3 rollouts without a reward" in page
    assert page.count('class="undefined">undefined<') == 2  # cut off, Pass@4; what no question demands is left out
    assert "1 record could not be read" in page


def test_every_link_of_the_contents_leads_somewhere(page: str) -> None:
    seen = Seen(page)
    assert len(seen.ids) == len(set(seen.ids))
    links = [value[1:] for value in seen.loaded if value.startswith("#")]
    assert {"summary", "metrics", "tools", "time", "hops", "worst", SUBGROUP, "premature_stop"} <= set(links)
    assert set(links) <= set(seen.ids)


def test_examples_are_of_their_class_and_the_worst_questions_come_first(tmp_path: Path) -> None:
    path = write(tmp_path / "rollouts.jsonl", rows())
    findings = audit([path], AuditSettings())
    assert findings.failures == {
        "mention_without_call": 3,
        "premature_stop": 3,
        "wrong_with_tool": 6,
        "wrong_without_tool": 3,
        "malformed_call": 6,
        SUBGROUP: 6,
    }
    shown = exhibits([path], AuditSettings(), [number for some in findings.samples.values() for number in some])
    for number in findings.samples["mention_without_call"]:
        assert shown[number].prompt.startswith("named")
    for number in findings.samples[SUBGROUP]:
        assert shown[number].rollout.used_tool
        assert shown[number].transcript.reward == 0.0
    worst = [(each.step, each.right, each.rollouts, each.acting) for each in findings.worst]
    assert worst[:3] == [(1, 0, 1, 1), (2, 0, 1, 1), (3, 0, 1, 1)]
    assert worst[-1] == (3, 1, 2, 1)


def test_what_became_of_calls_is_counted_per_tool(tmp_path: Path) -> None:
    findings = audit([write(tmp_path / "rollouts.jsonl", rows())], AuditSettings())
    # The arguments that are no JSON make every call malformed.
    assert findings.call_outcomes["search"] == {"ran": 0, "failed": 0, "malformed": 6, "untold": 0}
    assert [found.value for found in findings.tools_over_time["search"].values()] == [pytest.approx(2 / 5)] * 3


def test_invented_names_of_tools_take_no_room(tmp_path: Path) -> None:
    path = write(tmp_path / "rollouts.jsonl", [row("q", 0.0, calls=[f"tool {n}"]) for n in range(600)])
    findings = audit([path], AuditSettings())
    assert (len(findings.call_outcomes), len(findings.by_tool)) == (501, MOST_TOOLS)
    # The tool that was offered keeps its place.
    assert findings.by_tool[OTHER_NAMES].calls == 101
    assert len(findings.examples["malformed_call"]) == MOST_PLACES


@given(count=st.integers(0, 60), size=st.integers(1, 8))
def test_a_sample_is_bounded_and_the_same_in_any_order(count: int, size: int) -> None:
    forward, backward = Sample(size), Sample(size)
    for number in range(count):
        forward.offer(number, str(number))
        backward.offer(count - 1 - number, str(count - 1 - number))
    assert forward.kept == backward.kept
    assert len(forward.kept) == min(count, size)
    smaller = Sample(1)
    for number in range(count):
        smaller.offer(number, "")
    assert [kept.number for kept in smaller.kept] == [kept.number for kept in forward.kept[:1]]


def test_a_sample_prefers_no_part_of_a_stream() -> None:
    sample = Sample(1000)
    for number in range(100_000):
        sample.offer(number, "")
    early = sum(kept.number < 50_000 for kept in sample.kept)
    assert 400 < early < 600  # 6 standard deviations of a fair coin


def test_images_are_taken_from_the_record_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png("blue"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{'a' * 64}.png").write_bytes(png("green"))
    record = {
        "a": {"url": address(png("red"))},
        "again": address(png("red")),
        "bytes": {"bytes": png("white"), "path": str(secret)},
        "paths": [str(secret), f"file://{secret}", "http://evil.example/x.png", {"image": "../secret"}],
        "out": {"image": "../secret", "width": 6, "height": 4},
        "ours": {"image": "a" * 64, "width": 6, "height": 4},
        "broken": "data:image/png;base64,AAAA",
        "worse": "data:image/png;base64,@",
    }
    found = images_of(record, tmp_path / "rollouts.jsonl", 9)
    assert [image.to_pil().getpixel((0, 0)) for image in found] == [(255, 0, 0), (255, 255, 255), (0, 128, 0)]
    assert len(images_of(record, tmp_path / "rollouts.jsonl", 1)) == 1


def test_what_a_run_saved_is_shown_with_its_images(tmp_path: Path, finished_run: Any) -> None:
    run = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    assert main(["audit", str(run), "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert any(value.startswith("data:image/") for value in Seen(page).loaded)


def test_long_texts_are_cut_in_the_middle_and_can_always_be_written() -> None:
    assert clipped("a" * MOST_CHARACTERS) == "a" * MOST_CHARACTERS
    assert clipped("abcdefgh", 4) == "ab [... 4 characters left out ...] gh"
    assert clipped("\ud800") == "?"


def test_long_rollouts_are_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "rollouts.jsonl", [row("q", 0.0, calls=["search"] * 50)])
    (shown,) = exhibits([path], AuditSettings(), [0]).values()
    texts = [turn.text for turn in shown.transcript.turns]
    assert texts[8] == "[... 39 turns left out ...]"
    assert len(texts) == 13


class TestCharts:
    TOPIC = Topic(title="t", caption="c", axis="step", places=("1", "2", "3", "4"))

    def test_points_lie_where_their_values_are(self) -> None:
        values = (
            Value(value=0.0, low=0.0, high=0.5, n=3),
            Value(value=1.0, low=0.5, high=1.0, n=4),
            None,
            Value(value=0.5, low=None, high=None, n=1),
        )
        chart = live_chart(self.TOPIC, [Curve(label="a", values=values), Curve(label="b", values=(None,) * 4)])
        assert chart is not None
        (curve,) = chart.curves
        # 400 pixels in four places from 44 on; 184 pixels from 26 (1) to 210 (0).
        assert [(point.x, point.y) for point in curve.points] == [(94.0, 210.0), (194.0, 26.0), (394.0, 118.0)]
        assert curve.line == "M94.0,210.0 L194.0,26.0 M394.0,118.0"
        assert curve.band == "M94.0,118.0 L194.0,26.0 L194.0,118.0 L94.0,210.0 Z"
        assert curve.points[0].text == "step 1: 0.0 % (0.0 to 50.0 %), n 3"
        assert curve.cells[2] == "undefined"

    def test_nothing_is_drawn_of_nothing(self) -> None:
        assert live_chart(self.TOPIC, [Curve(label="a", values=(None,) * 4)]) is None

    @given(values=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
    def test_rewards_of_any_size_lie_within_the_chart(self, values: list[float]) -> None:
        topic = Topic(title="t", caption="c", axis="step", places=("1", "2", "3", "4"), share=False)
        curve = Curve(label="a", values=tuple(Value(value=each, low=None, high=None, n=1) for each in values))
        chart = live_chart(topic, [curve])
        assert chart is not None
        assert all(25.9 <= point.y <= 210.1 for point in chart.curves[0].points)

    def test_values_are_told_with_their_interval_and_count(self) -> None:
        assert told(Value(value=0.381, low=0.3, high=0.47, n=1200), share=True) == "38.1 % (30.0 to 47.0 %), n 1,200"
        assert told(Value(value=1.5, low=None, high=None, n=2), share=False) == "1.5, n 2"
        assert told(None, share=True) == "undefined"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "message", "question", "prompt", "image", "width", "height", "data"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(more=st.dictionaries(st.sampled_from(["prompt", "input", "task", "nodes", "rollout", "images"]), JSON))
def test_no_record_is_too_odd_to_be_shown(more: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    record = {**more, "id": "q", "reward": 0, "messages": [{"role": "assistant", "content": "no"}]}
    path = tmp_path_factory.mktemp("odd") / "rollouts.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    settings = AuditSettings(format="chat")
    try:
        findings = audit([path], settings)
    except ValueError:
        return
    assert set(exhibits([path], settings, findings.samples["wrong_without_tool"])) == {0}
