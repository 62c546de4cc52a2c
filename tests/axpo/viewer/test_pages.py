import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from axpo import Silent, train
from axpo.algorithm.types import Group
from axpo.records._rollout_log import write_rollouts
from axpo.records.run_log import RunLog, RunLogError
from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo.viewer._runs import Shelf
from axpo_envs.tools import ImageZoomIn
from axpo_envs.types import Turn

Show = Callable[..., TestClient]
HOSTILE = "</span><script>alert('x')</script><img src=x onerror=alert(1)>\u202e\ud800"


class Seen(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self, path: str) -> list[str]:
        found = (attributes.get("href") or "" for tag, attributes in self.elements if tag == "a")
        return [link for link in found if link.startswith(path)]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [found for _, found in self.elements if name in (found.get("class") or "").split()]


def page(client: TestClient, address: str) -> Seen:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return Seen(answer.text)


def titles(seen: Seen) -> list[str | None]:
    return [cell.get("title") for cell in seen.of_class("cell") if cell.get("href")]


def append_step(folder: Path, step: int) -> None:
    with RunLog.open(folder, tensorboard=False) as log:
        log.append_step({"step": step, "reward_mean": 1.0})


class TestOverview:
    def test_names_every_run_and_how_far_it_is(self, run: Path, show: Show) -> None:
        seen = page(show(run), "/")
        assert "step 2 of 2" in seen.text
        assert seen.links("/rollouts") == ["/rollouts?run=run"]
        assert [found["value"] for tag, found in seen.elements if tag == "progress"] == ["2"]

    def test_finds_the_runs_in_a_folder_and_those_that_begin_later(
        self, tmp_path: Path, finished_run: Callable[..., Path], show: Show, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("axpo.viewer._runs.LOOK_S", -1.0)
        finished_run(TrainConfig(steps=1, out=str(tmp_path / "all" / "grpo" / "seed-0")))
        client = show(tmp_path / "all")
        assert list(client.get("/state.json").json()["runs"]) == ["all/grpo/seed-0"]
        finished_run(TrainConfig(steps=1, out=str(tmp_path / "all" / "grpo" / "seed-1")))
        assert list(client.get("/state.json").json()["runs"]) == ["all/grpo/seed-0", "all/grpo/seed-1"]

    def test_runs_of_one_name_are_told_apart(self, tmp_path: Path, finished_run: Callable[..., Path]) -> None:
        folders = [finished_run(TrainConfig(steps=1, out=str(tmp_path / name / "run"))) for name in "ab"]
        assert list(Shelf(folders).runs()) == ["run", "run #2"]

    def test_a_folder_without_runs_is_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(RunLogError, match="there is no folder"):
            Shelf([tmp_path / "none"])
        with pytest.raises(RunLogError, match="is no run and holds none"):
            Shelf([tmp_path])


class TestState:
    def test_changes_when_a_step_is_recorded(
        self, tmp_path: Path, finished_run: Callable[..., Path], show: Show
    ) -> None:
        folder = finished_run(TrainConfig(steps=1, out=str(tmp_path / "run")))
        client = show(folder)
        before = client.get("/state.json").json()
        append_step(folder, 2)
        after = client.get("/state.json").json()
        assert (before["runs"]["run"]["done"], after["runs"]["run"]["done"]) == (1, 2)
        assert before["stamp"] != after["stamp"]
        assert client.get("/state.json").json()["stamp"] == after["stamp"]

    def test_changes_when_rollouts_are_saved(self, run: Path, show: Show, group: Group) -> None:
        client = show(run)
        before = client.get("/state.json").json()
        write_rollouts(run / "rollouts", 3, [group], limit=0)
        after = client.get("/state.json").json()
        assert (before["runs"]["run"]["newest"], after["runs"]["run"]["newest"]) == (2, 3)
        assert before["stamp"] != after["stamp"]


class TestStep:
    def test_colours_every_rollout_by_outcome_and_tool_use(self, run: Path, show: Show) -> None:
        seen = page(show(run), "/rollouts?run=run")
        kinds = [(cell.get("class") or "").split()[1:] for cell in seen.of_class("cell") if cell.get("href")]
        assert kinds == [
            ["wrong", "tool"],
            ["wrong", "tool", "twig"],
            ["right", "tool", "twig"],
            ["right", "idle"],
            ["wrong", "idle"],
            ["wrong", "idle"],
        ]
        assert titles(seen)[0] == "rollout 1: wrong, reward 0, 1 call"
        assert "Of its saved rollouts 1 are right, 3 wrong; 1 called the tool" in seen.text

    def test_filters_keep_the_groups_that_show_all_that_is_asked_for(self, run: Path, show: Show) -> None:
        client = show(run)
        both = page(client, "/rollouts?run=run&step=2&show=all_wrong&show=recovered")
        assert len(both.of_class("group")) == 1
        assert len(both.of_class("marked")) == 1
        assert len(page(client, "/rollouts?run=run&step=2&show=all_wrong&show=mention").of_class("group")) == 0

    def test_a_mention_counts_for_tools_that_are_called_or_given(
        self, tmp_path: Path, run: Path, show: Show, group: Group
    ) -> None:
        idle = group.rollouts[1]
        thinking = Turn(text="<think>I could use the abacus</think><answer>7</answer>", answer="7")
        mentioning = replace(idle, episode=replace(idle.episode, turns=(thinking,)))
        write_rollouts(run / "rollouts", 3, [replace(group, rollouts=(mentioning,), branches=())], limit=0)
        address = "/rollouts?run=run&step=3&show=mention"
        assert len(page(show(run), address).of_class("group")) == 0
        assert len(page(show(run, tools=["abacus"]), address).of_class("group")) == 1

    def test_premature_stops_are_found(self, run: Path, show: Show, group: Group) -> None:
        question = replace(group.question, hops=2)
        rollouts = tuple(replace(each, episode=replace(each.episode, question=question)) for each in group.rollouts)
        write_rollouts(
            run / "rollouts", 3, [replace(group, question=question, rollouts=rollouts, branches=())], limit=0
        )
        assert len(page(show(run), "/rollouts?run=run&step=3&show=premature").of_class("group")) == 1
        assert len(page(show(run), "/rollouts?run=run&step=2&show=premature").of_class("group")) == 0

    def test_forbidden_attempts_and_calls_of_no_use_are_found(self, run: Path, show: Show, group: Group) -> None:
        client = show(run)
        address = "/rollouts?run=run&step={}&show=forbidden&show=over_acting"
        assert len(page(client, address.format(2)).of_class("group")) == 0
        question = replace(group.question, forbidden_tools=frozenset({"image_zoom_in"}))
        rollouts = tuple(replace(each, episode=replace(each.episode, question=question)) for each in group.rollouts)
        write_rollouts(
            run / "rollouts", 3, [replace(group, question=question, rollouts=rollouts, branches=())], limit=0
        )
        assert len(page(client, address.format(3)).of_class("group")) == 1

    def test_a_group_that_is_not_saved_whole_says_so(self, run: Path, show: Show, group: Group) -> None:
        write_rollouts(run / "rollouts", 3, [group], limit=3)
        assert "3 of 4 saved" in page(show(run), "/rollouts?run=run&step=3").text

    def test_many_groups_come_in_pages(self, run: Path, show: Show, group: Group) -> None:
        lone = replace(group, rollouts=group.rollouts[1:2], branches=())
        write_rollouts(run / "rollouts", 3, [lone] * 50, limit=0)
        client = show(run)
        first, second = (page(client, f"/rollouts?run=run&step=3&page={number}") for number in (1, 2))
        assert (len(first.of_class("group")), len(second.of_class("group"))) == (48, 2)
        assert "page 2 of 2" in second.text

    def test_all_steps_are_looked_through_from_the_newest_on(self, run: Path, show: Show, group: Group) -> None:
        for step in (5, 9):
            write_rollouts(run / "rollouts", step, [group], limit=0)
        client = show(run)
        seen = page(client, "/rollouts?run=run&step=all&show=recovered")
        assert re.findall(r"step (\d+), group", seen.text) == ["9", "5", "2"]
        earlier = page(client, "/rollouts?run=run&step=all&show=recovered&before=9")
        assert re.findall(r"step (\d+), group", earlier.text) == ["5", "2"]

    def test_a_search_answers_in_time_and_goes_on_where_it_stopped(
        self, run: Path, show: Show, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("axpo.viewer._library.FOUND", 1)
        for step in (5, 9):
            write_rollouts(run / "rollouts", step, [group], limit=0)
        client = show(run)
        seen = page(client, "/rollouts?run=run&step=all")
        (further,) = [found["href"] for _, found in seen.elements if found.get("id") == "more"]
        assert further == "/rollouts?run=run&step=all&before=9"
        assert re.findall(r"step (\d+), group", page(client, further or "").text) == ["5"]

    def test_a_run_that_has_saved_nothing_says_so(
        self, tmp_path: Path, finished_run: Callable[..., Path], show: Show
    ) -> None:
        folder = finished_run(TrainConfig(steps=1, out=str(tmp_path / "run")))
        shutil.rmtree(folder / "rollouts")
        assert "No rollouts yet" in page(show(folder), "/rollouts?run=run").text

    @pytest.mark.parametrize(
        "address",
        [
            "/rollouts?run=other",
            "/rollouts?run=run&step=7",
            "/group?run=run",
            "/group?run=run&step=2&group=5",
            "/group?run=run&step=2&group=0&at=99",
            "/nowhere",
            "/static/..%2f_app.py",
            "/static/secret.txt",
        ],
    )
    def test_what_is_not_there_is_named(self, run: Path, show: Show, address: str) -> None:
        answer = show(run).get(address)
        assert answer.status_code == 404
        assert "Not found" in answer.text

    def test_odd_numbers_in_an_address_are_as_if_they_were_not_there(self, run: Path, show: Show) -> None:
        for address in ("step=-1", "step=1e9", f"step={'9' * 5000}", "step=%D9%A3", "page=0", "page=99", "before=x"):
            assert show(run).get(f"/rollouts?run=run&{address}").status_code == 200


class TestGroup:
    def test_is_a_tree_of_prompt_rollouts_prefix_and_continuations(self, run: Path, show: Show) -> None:
        seen = page(show(run), "/group?run=run&step=2&group=0")
        assert len(seen.of_class("node")) == 6
        assert "Frozen prefix" in seen.text
        assert seen.text.count("I cannot read it: zoom in.") == 1
        assert re.findall(r"Source: rollout 1|Continuation \d", seen.text)[-3:] == [
            "Source: rollout 1",
            "Continuation 1",
            "Continuation 2",
        ]
        assert "What is on the <b>red</b> sign?" in seen.text

    def test_tokens_that_were_added_behind_a_prefix_are_shown_with_the_continuation(
        self, run: Path, show: Show, group: Group
    ) -> None:
        source = group.rollouts[1]
        thinking = "<think>No need to look.</think>"
        idle = replace(source.episode, turns=(Turn(text=f"{thinking}<answer>1</answer>", answer="1"),), reward=0.0)
        acting = Turn(text=f"{thinking}<tool_call>forced</tool_call>")
        grown = replace(source, episode=replace(source.episode, turns=(acting,)))
        point = replace(group.branches[0].point, rollout=0, token=2)
        branch = replace(group.branches[0], point=point, continuations=(grown,))
        rollouts = (replace(source, episode=idle),)
        write_rollouts(run / "rollouts", 3, [replace(group, rollouts=rollouts, branches=(branch,))], limit=0)
        seen = page(show(run), "/group?run=run&step=3&group=0")
        assert seen.text.count("No need to look.") == 1
        assert "<tool_call>forced</tool_call>" in seen.text

    def test_a_link_opens_one_of_its_rollouts(self, run: Path, show: Show) -> None:
        client = show(run)
        current = [found for _, found in page(client, "/group?run=run&step=2&group=0&at=6").elements]
        assert [found["id"] for found in current if "data-current" in found] == ["line-6"]
        alone = page(client, "/group?run=run&step=2&group=0&at=3")
        assert len(alone.of_class("column")) == 1
        assert "Frozen prefix" not in alone.text

    def test_shows_what_each_was_credited_with(self, run: Path, show: Show) -> None:
        # Eq. 4: rewards 0, 1, 0, 0 with the source's replaced by 1: mean 1/2, deviation 1/sqrt(3).
        seen = page(show(run), "/group?run=run&step=2&group=0")
        assert re.findall(r"advantage ([+-][\d.]+)", seen.text) == ["+0.866", "-0.707", "+0.707"]
        assert "on sampled tokens 1 to 3" in seen.text
        assert "on sampled tokens 4 to 8" in seen.text

    def test_a_group_with_gaps_has_no_advantages(self, run: Path, show: Show, group: Group) -> None:
        write_rollouts(run / "rollouts", 3, [group.with_branches(())], limit=3)
        assert "advantage" not in page(show(run), "/group?run=run&step=3&group=0").text

    def test_boxes_are_drawn_in_the_images_own_pixels(self, run: Path, show: Show) -> None:
        seen = page(show(run), "/group?run=run&step=2&group=0&at=6")
        boxes = [found for tag, found in seen.elements if tag == "rect" and found.get("class") == "over"]
        # The image has 200 x 100 pixels; of thousandths [500, 250, 750, 500].
        assert ("100.0", "25.0", "50.0", "25.0") in [
            tuple(box[name] for name in ("x", "y", "width", "height")) for box in boxes
        ]

    def test_images_are_asked_for_one_by_one(self, run: Path, show: Show) -> None:
        client = show(run)
        seen = page(client, "/group?run=run&step=2&group=0")
        links = {found["href"] or "" for tag, found in seen.elements if tag == "image"}
        assert len(links) == 3
        for link in links:
            answer = client.get(link)
            assert answer.status_code == 200
            assert answer.headers["content-type"] in ("image/png", "image/jpeg")

    def test_tokens_without_a_known_text_stand_beside_it(self, run: Path, show: Show) -> None:
        seen = page(show(run), "/group?run=run&step=2&group=0&at=3")
        strip = [found["title"] for tag, found in seen.elements if tag == "i" and found.get("title")]
        assert strip == [f"0.607 · token {number}" for number in (4, 5, 6, 7)]


def test_a_run_that_was_trained_is_shown_token_by_token(tmp_path: Path, show: Show) -> None:
    config = TrainConfig(
        model="tiny-random",
        method="grpo",
        steps=1,
        out=str(tmp_path / "run"),
        sampling=SamplingConfig(questions=2, group_size=4, max_turn_tokens=12, max_episode_tokens=256),
        log=LogConfig(eval_questions=0, rollouts_every=1, rollouts_per_step=0, tensorboard=False),
    )
    folder = train(config, display=Silent()).folder
    client = show(folder)
    for line in range(1, 9):
        seen = page(client, f"/group?run=run&step=1&group={(line - 1) % 2}&at={line}")
        turns = [found for found in seen.of_class("turn") if found.get("data-turn")]
        assert turns
        assert seen.of_class("strip") == []
        assert "The prompt as the policy read it" in seen.text
        assert "advantage" in seen.text
    assert any(found.get("title") for found in seen.of_class("t"))


class TestHostileRollouts:
    @pytest.fixture
    def hostile(self, run: Path, group: Group) -> Path:
        question = replace(group.question, id=HOSTILE, prompt=(HOSTILE,), answer=HOSTILE)
        first = group.rollouts[0]
        turns = tuple(replace(turn, text=HOSTILE + turn.text) for turn in first.episode.turns)
        episode = replace(first.episode, question=question, turns=turns)
        others = tuple(replace(each, episode=replace(each.episode, question=question)) for each in group.rollouts[1:])
        rollouts = (replace(first, episode=episode), *others)
        groups = [replace(group, question=question, rollouts=rollouts, branches=())]
        write_rollouts(run / "rollouts", 3, groups, limit=0, tools=(ImageZoomIn(view_size=64),))
        return run

    @pytest.mark.parametrize("address", ["/rollouts?run=run&step=3", "/group?run=run&step=3&group=0"])
    def test_markup_is_shown_as_text(self, hostile: Path, show: Show, address: str) -> None:
        seen = page(show(hostile), address)
        assert "<script>alert('x')</script>" in seen.text
        scripts = [found.get("src") for tag, found in seen.elements if tag == "script"]
        assert scripts == ["/static/axpo.js"]
        assert [tag for tag, _ in seen.elements if tag in ("img", "iframe", "object", "style")] == []
        assert [name for _, found in seen.elements for name in found if name.startswith("on") or name == "style"] == []

    def test_a_name_that_is_no_digest_touches_no_file(self, run: Path, show: Show, tmp_path: Path) -> None:
        file = run / "rollouts" / "step-000002" / "rollouts.jsonl"
        lines = file.read_text().splitlines()
        digest = json.loads(lines[0])["rollout"]["episode"]["question"]["prompt"][0]["image"]
        file.write_text("\n".join(line.replace(digest, "../../../secret") for line in lines) + "\n")
        seen = page(show(run), "/rollouts?run=run&step=2")
        assert "expected the digest of an image; got '../../../secret'" in seen.text

    @pytest.mark.parametrize(
        "digest", ["../../config.toml", "..%2F..%2Fconfig", "0" * 31, "0" * 32, "G" * 32, "", "%00" * 32, "a" * 33]
    )
    def test_images_have_digests_for_names(self, run: Path, show: Show, digest: str) -> None:
        assert show(run).get(f"/image?run=run&step=2&digest={digest}").status_code == 404

    def test_an_image_must_be_what_its_name_says_and_a_file(self, run: Path, show: Show, tmp_path: Path) -> None:
        first, second, *_ = sorted((run / "rollouts" / "step-000002" / "images").iterdir())
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        client = show(run)
        assert client.get(f"/image?run=run&step=2&digest={first.stem}").status_code == 404
        outside = tmp_path / "outside.png"
        outside.write_bytes(content)
        first.unlink()
        first.symlink_to(outside)
        assert client.get(f"/image?run=run&step=2&digest={first.stem}").status_code == 404
        first.unlink()
        first.write_bytes(content)
        assert client.get(f"/image?run=run&step=2&digest={first.stem}").status_code == 200

    @pytest.mark.parametrize(
        "line",
        [
            b"{",
            b"[]",
            b"nul\x00",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"version":2}',
            b'{"version":3}',
            b'{"version":2,"rollout":[]}',
            b'{"version":2,"group":0,"index":0,"branches":[],"rollout":{"episode":{"turns":7}}}',
        ],
    )
    def test_a_line_that_is_no_rollout_is_told_of_and_the_others_are_shown(
        self, run: Path, show: Show, line: bytes
    ) -> None:
        file = run / "rollouts" / "step-000002" / "rollouts.jsonl"
        file.write_bytes(line + b"\n" + file.read_bytes())
        client = show(run)
        seen = page(client, "/rollouts?run=run&step=2")
        assert "step 2, line 1: " in seen.text
        assert len(titles(seen)) == 6
        assert "Frozen prefix" in page(client, "/group?run=run&step=2&group=0").text

    @pytest.mark.parametrize("size", ['"width":-1', '"width":0', '"width":99999999999', '"width":1.5'])
    def test_an_image_of_no_size_is_told_of(self, run: Path, show: Show, size: str) -> None:
        file = run / "rollouts" / "step-000002" / "rollouts.jsonl"
        file.write_text(file.read_text().replace('"width":200', size))
        assert "expected" in page(show(run), "/rollouts?run=run&step=2").text


class TestDamage:
    def test_a_last_line_that_is_being_written_is_told_of(self, run: Path, show: Show) -> None:
        file = run / "rollouts" / "step-000002" / "rollouts.jsonl"
        client = show(run)
        whole = file.read_bytes()
        file.write_bytes(whole[:-700])
        seen = page(client, "/rollouts?run=run&step=2")
        assert "line 6 (the file ends within it: it may still be written)" in seen.text
        assert len(titles(seen)) == 5
        file.write_bytes(whole)
        assert len(titles(page(client, "/rollouts?run=run&step=2"))) == 6

    def test_a_torn_line_of_the_metrics_is_passed_over(self, run: Path, show: Show) -> None:
        with (run / "metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 3, "rew')
        client = show(run)
        assert client.get("/state.json").json()["runs"]["run"]["done"] == 2
        assert "metrics.jsonl" not in page(client, "/").text

    def test_a_damaged_line_of_the_metrics_is_named_and_what_is_before_it_shown(self, run: Path, show: Show) -> None:
        file = run / "metrics.jsonl"
        first, second = file.read_text().splitlines()
        file.write_text(f"{first}\n{second.replace('0.5', '0.9')}\n")
        client = show(run)
        assert client.get("/state.json").json()["runs"]["run"]["done"] == 1
        assert "line 2" in page(client, "/").text

    def test_rollouts_that_vanish_are_no_error_of_the_page(self, run: Path, show: Show) -> None:
        (run / "rollouts" / "step-000002" / "rollouts.jsonl").unlink()
        client = show(run)
        assert "its rollouts cannot be read" in page(client, "/rollouts?run=run&step=2").text
        assert client.get("/group?run=run&step=2&group=0").status_code == 404


class TestServing:
    @pytest.mark.parametrize("address", ["/", "/rollouts", "/group", "/curves.json", "/static/style.css", "/nowhere"])
    def test_every_answer_forbids_what_is_not_its_own(self, run: Path, show: Show, address: str) -> None:
        headers = show(run).get(address).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"

    def test_other_names_of_this_machine_are_refused(self, run: Path, show: Show) -> None:
        client = show(run)
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
        assert client.get("/", headers={"Host": "localhost:8477"}).status_code == 200

    def test_nothing_can_be_written(self, run: Path, show: Show) -> None:
        client = show(run)
        assert {client.post(address).status_code for address in ("/", "/rollouts", "/image")} == {405}

    def test_pages_ask_for_nothing_elsewhere(self, run: Path, show: Show) -> None:
        client = show(run)
        for address in ("/", "/rollouts?run=run", "/group?run=run&step=2&group=0"):
            asked = [found.get(name) for _, found in page(client, address).elements for name in ("src", "href")]
            assert [link for link in asked if link is not None and not link.startswith(("/", "#"))] == []
        for name in ("style.css", "axpo.js", "curves.js", "chart.js", "icon.svg"):
            text = client.get(f"/static/{name}").text
            assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
            assert "innerHTML =" not in text
