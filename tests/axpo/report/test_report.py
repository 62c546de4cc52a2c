import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from axpo.algorithm.types import Group
from axpo.records._rollout_log import write_rollouts
from axpo.records.outcomes import Comparison, Entry, run_outcome, start_outcome
from axpo.records.run_log import RunLog, RunLogError
from axpo.report._page import compact, percent, tagged
from axpo.report._regime import NOTES, default_regime
from axpo.report._report import write_curves, write_report
from axpo.settings.config import Cut, SelectionConfig, TrainConfig

RunMaker = Callable[..., Path]
LOADING = ("src", "href", "xlink:href", "poster", "data", "action", "srcset")


class Loads(HTMLParser):
    """Collects what a page would load, its scripts, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.rects: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in LOADING]
        if tag == "rect" and ("class", "over") in attrs:
            self.rects.append(dict(attrs))


def read(path: Path) -> tuple[str, Loads]:
    text, loads = path.read_text(encoding="utf-8"), Loads()
    loads.feed(text)
    return text, loads


@pytest.fixture
def run(tmp_path: Path, finished_run: RunMaker) -> Path:
    return finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")), pass1=0.75)


@pytest.fixture
def comparison(tmp_path: Path, finished_run: RunMaker) -> Path:
    return compared(tmp_path, finished_run)


def compared(folder: Path, finished_run: RunMaker, *settings: str) -> Path:
    entries = []
    for method, pass1 in (("grpo", 0.5), ("axpo", 0.875)):
        out = folder / method
        finished_run(TrainConfig(method=method, steps=2, out=str(out), env_args=settings), pass1=pass1)
        entries.append(Entry(name=method, runs=(run_outcome(out, seed=0, relative_to=folder),)))
    Comparison(
        start=start_outcome(folder / "grpo", seed=0, relative_to=folder),
        entries=tuple(entries),
        steps=2,
        machine={"python": "3.11 <i>"},
    ).write(folder)
    return folder


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_a_page_loads_nothing_and_runs_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    text, loads = read(write_report(request.getfixturevalue(kind)))
    assert loads.loaded
    assert all(value.startswith(("data:image/", "#")) for value in loads.loaded)
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert not {"script", "link", "iframe", "object"} & set(loads.tags)


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_what_models_and_files_say_is_escaped(kind: str, request: pytest.FixtureRequest) -> None:
    text, _ = read(write_report(request.getfixturevalue(kind)))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "What is on the &lt;b&gt;red&lt;/b&gt; sign?" in text
    assert "3.11 <i>" not in text


def test_a_run_page_shows_start_end_and_what_it_cost(run: Path) -> None:
    text, loads = read(write_report(run))
    assert "<title>AXPO run" in text
    cells = re.findall(r"<td[^>]*>(.*?)</td>", text)
    assert cells[:14] == [
        *("25.0%", "100.0%", "25.0%", "-", "0", "0", "0"),
        *("75.0%", "100.0%", "25.0%", "-", "20", "200", "3"),
    ]
    # The source's box and, as the branch's second box, that of its recovered continuation; then the examples' ones.
    boxes = [(rect["x"], rect["y"], rect["width"], rect["height"]) for rect in loads.rects]
    assert boxes[:2] == [("0.0", "0.0", "40.0", "20.0"), ("100.0", "25.0", "50.0", "25.0")]


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_a_page_says_what_it_is_of_and_when_it_was_made(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    text, _ = read(write_report(folder))
    assert f'<span class="name">{folder.name}</span></h1>' in text
    assert f" {folder.name} · axpo</title>" in text
    assert re.search(r">Report made \d{4}-\d\d-\d\d \d\d:\d\d UTC</p>", text)


def test_a_run_began_when_its_settings_were_written_unless_that_cannot_be(run: Path) -> None:
    nine = 1_767_258_000  # 2026-01-01 09:00 UTC
    os.utime(run / "config.toml", (nine, nine))
    os.utime(run / "metrics.jsonl", (nine + 60, nine + 60))
    assert ">Began 2026-01-01 09:00 UTC · Report made " in read(write_report(run))[0]
    # The two steps took three seconds: such files are a copy, whose times are those of copying.
    os.utime(run / "metrics.jsonl", (nine + 2, nine + 2))
    assert "Began" not in read(write_report(run))[0]


def test_a_comparison_began_with_its_first_run_where_all_are_known(comparison: Path) -> None:
    for hours, method in enumerate(("axpo", "grpo")):
        nine = 1_767_258_000 + 3600 * hours
        os.utime(comparison / method / "config.toml", (nine, nine))
        os.utime(comparison / method / "metrics.jsonl", (nine + 60, nine + 60))
    assert ">Began 2026-01-01 09:00 UTC · " in read(write_report(comparison))[0]
    os.utime(comparison / "grpo" / "config.toml")
    assert "Began" not in read(write_report(comparison))[0]


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_every_link_of_the_contents_leads_to_one_place(kind: str, request: pytest.FixtureRequest) -> None:
    text, _ = read(write_report(request.getfixturevalue(kind)))
    links = re.findall(r'<li><a href="#([\w-]+)">', text)
    assert {"results", "curves", "again", "settings"} < set(links)
    assert [text.count(f' id="{link}"') for link in links] == [1] * len(links)
    assert ("pairs" in links, "rollouts" in links) == (kind == "comparison", kind == "run")


@pytest.mark.parametrize(("evaluations", "rows"), [(8, 8), (9, 2)])
def test_all_evaluations_are_rows_where_they_are_few_and_always_points(
    tmp_path: Path, finished_run: RunMaker, evaluations: int, rows: int
) -> None:
    folder = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    with RunLog.open(folder, tensorboard=False) as log:
        for step in range(3, evaluations + 1):
            log.append_evaluation({**log.evaluations()[-1], "step": step})
    text, _ = read(write_report(folder))
    table = text[text.index('class="tiles"') : text.index('<h2 id="evaluations">')]
    named = re.findall(r'<th scope="row">.*</span>(Start|Step \d+)</th>', table)
    assert (len(named), named[0], named[-1]) == (rows, "Start", f"Step {evaluations}")
    assert ("in the curves below" in table) == (rows == 2)
    points = re.findall(r">AXPO, (step \d+: 50.0 % \(10.0 to 90.0 %\), n 8)<", text)
    assert len(points) == evaluations - 1  # Pass@1; it started at 25 %
    assert table.count('class="bar"') == 8  # four headlines, at the start and at the end


def test_two_evaluations_are_no_curve(run: Path, comparison: Path) -> None:
    assert not any('id="evaluations"' in read(write_report(folder))[0] for folder in (run, comparison))


def test_a_comparison_draws_the_evaluations_of_every_method(comparison: Path) -> None:
    for method in ("grpo", "axpo"):
        with RunLog.open(comparison / method, tensorboard=False) as log:
            log.append_evaluation({**log.evaluations()[-1], "step": 3})
    text, _ = read(write_report(comparison))
    assert ">GRPO, step 3: 50.0 % (10.0 to 90.0 %), n 8<" in text
    assert ">AXPO, step 3: 87.5 % (10.0 to 90.0 %), n 8<" in text


def test_what_the_optimizer_did_is_drawn_where_it_was_measured(run: Path) -> None:
    text, _ = read(write_report(run))
    assert 'id="optimization"' not in text
    with RunLog.open(run, tensorboard=False) as log:
        log.append_step({"step": 3, "loss": -0.5, "kl": None, "clip_low": 0.0, "clip_high": 0.25, "lr": 1e-4})
    text, _ = read(write_report(run))
    behind = text[text.index('<h2 id="optimization">') : text.index('<h2 id="again">')]
    assert re.findall(r"<h3>([^<]*)</h3>", behind) == ["Loss", "Clipped tokens", "Learning rate"]
    assert text.index('<h2 id="curves">') < text.index('<h2 id="optimization">')


def test_the_frozen_prefix_of_a_branch_is_marked(run: Path) -> None:
    text, _ = read(write_report(run))
    frozen = re.findall(r'<span class="\w+ frozen">(.*?)</span>', text, flags=re.DOTALL)
    plain = "".join(re.sub(r"</?b>", "", piece) for piece in frozen)
    assert plain == 2 * "&lt;think&gt;I cannot read it: zoom in.&lt;/think&gt;\n&lt;tool_call&gt;"


def test_a_comparison_page_shows_every_method(comparison: Path) -> None:
    text, _ = read(write_report(comparison))
    assert "<title>AXPO against GRPO" in text
    assert [row.strip() for row in re.findall(r'<th scope="row">.*</span>(\w+)</th>', text)] == [
        "Start",
        "GRPO",
        "AXPO",
    ]
    assert {"50.0%", "87.5%"} <= set(re.findall(r"<td[^>]*>(.*?)</td>", text))


def test_the_default_setting_is_called_a_chosen_one(comparison: Path, tmp_path: Path, finished_run: RunMaker) -> None:
    assert NOTES[0][:20] in write_report(comparison).read_text(encoding="utf-8")
    other = compared(tmp_path / "other", finished_run, "guess_rate=0.2")
    assert NOTES[0][:20] not in write_report(other).read_text(encoding="utf-8")


def test_notes_that_are_on_every_page_claim_no_result() -> None:
    assert not re.search(r"\d", " ".join(NOTES))


def test_a_page_lets_nothing_be_loaded_or_run(run: Path) -> None:
    text, _ = read(write_report(run))
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    assert policy is not None
    assert policy[1].split("; ")[0] == "default-src 'none'"
    assert "script" not in policy[1]
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_checkpoints_and_supervised_runs_have_no_report(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "step-000001"
    checkpoint.mkdir(parents=True)
    for name in ("config.toml", "trainer.json", "manifest.json"):
        (checkpoint / name).write_text("")
    with pytest.raises(RunLogError, match=rf"is a checkpoint; the report is that of its run, {tmp_path / 'run'}"):
        write_report(checkpoint)
    assert not (checkpoint / "report.html").exists()
    (tmp_path / "config.toml").write_text("[[stages]]\nsteps = 1\n")
    with pytest.raises(RunLogError, match="is a supervised run"):
        write_report(tmp_path)


def test_a_page_says_how_many_questions_were_asked_and_which(tmp_path: Path, finished_run: RunMaker) -> None:
    folder = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    with RunLog.open(folder, tensorboard=False) as log:
        log.append_evaluation({**log.evaluations()[-1], "questions": 7, "split": "validation"})
    text, _ = read(write_report(folder))
    assert "Shares are measured on 7 held-out questions (validation), 8 rollouts each" in text
    with RunLog.open(folder, tensorboard=False) as log:
        log.append_evaluation({**log.evaluations()[-1], "split": "train", "split_note": "they were trained on"})
    text, _ = read(write_report(folder))
    assert "Shares are measured on 7 questions (train), 8 rollouts each (they were trained on); bars" in text


def test_settings_that_were_changed_are_on_the_page(run: Path) -> None:
    with RunLog.open(run, tensorboard=False) as log:
        config = (run / "config.toml").read_text().replace("steps = 2", "steps = 9")
        log.change_config(config, {"step": 2, "settings": {"steps": {"before": 2, "after": 9}}})
    text, _ = read(write_report(run))
    assert "steps changed from 2 to 9 at step 2" in text


@pytest.mark.parametrize(("cut", "claim"), [("tool_call", "keeps its thought"), ("question", "nothing of it is kept")])
def test_what_is_said_of_branches_is_what_the_run_did(
    tmp_path: Path, finished_run: RunMaker, cut: str, claim: str
) -> None:
    selection = SelectionConfig(cut=Cut(cut))
    folder = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run"), selection=selection))
    assert claim in write_report(folder).read_text(encoding="utf-8")


def test_shipped_measurements_around_the_default_setting_can_be_read() -> None:
    rates = [point.guess_rate for point in default_regime().points]
    assert rates == sorted(rates)


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    RunLog.create(tmp_path / "run", 'method = "grpo"\nsteps = 9\n').close()
    text, _ = read(write_report(tmp_path / "run"))
    assert "No evaluation on held-out questions yet." in text
    assert "0 steps done so far" in text


def test_other_folders_have_no_report(tmp_path: Path) -> None:
    with pytest.raises(RunLogError, match=r"neither a run .config\.toml. nor a comparison .comparison\.json."):
        write_report(tmp_path)
    (tmp_path / "comparison.json").write_text('{"grpo": {}}')
    with pytest.raises(RunLogError, match=r"comparison\.json is no comparison"):
        write_report(tmp_path)
    (tmp_path / "comparison.json").unlink()
    (tmp_path / "config.toml").write_text("steps = ")
    with pytest.raises(RunLogError, match=r"neither a run .* nor a comparison"):
        write_report(tmp_path)


def test_a_missing_image_is_a_clear_error(run: Path) -> None:
    for image in run.glob("rollouts/*/images/*.png"):
        image.unlink()
    with pytest.raises(RunLogError, match=r"cannot write the report of .*\.png"):
        write_report(run)


def test_the_curves_of_a_comparison_become_a_picture(comparison: Path, tmp_path: Path) -> None:
    write_curves(comparison, tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text(encoding="utf-8")


def test_numbers_are_short() -> None:
    assert [compact(value) for value in (0, 29.6, 7680, 1_234_567)] == ["0", "30", "7,680", "1.23 M"]
    assert [percent(value) for value in (None, 0.0, 0.8754)] == ["-", "0.0%", "87.5%"]


def test_tags_of_the_turn_format_are_bold_and_others_are_text() -> None:
    assert tagged("<think>a</think><img>") == "<b>&lt;think&gt;</b>a<b>&lt;/think&gt;</b>&lt;img&gt;"


def test_further_rollouts_are_folded_away(run: Path, group: Group) -> None:
    write_rollouts(run / "rollouts", 3, [group, replace(group, branches=())], limit=0)
    text, _ = read(write_report(run))
    shown, _, folded = text[text.index('id="rollouts"') :].partition("<details><summary>")
    count = 2 * len(group.rollouts)
    assert shown.count('class="card example"') == 4
    assert folded.startswith(f"{count - 4} more</summary>")
    assert folded.count('class="card example"') == count - 4
