"""Every claim on the documentation's pages holds: their Python blocks are executed, in order, a process to a page."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
MOST_UNTESTED_BLOCKS = 3


def code_of(page: str) -> str:
    """The page with every line blank that is no executed Python, so that errors name the page's lines."""
    lines = []
    language = ""
    for line in page.splitlines():
        if (fence := re.match(r"```(.*)", line)) is not None:
            language = fence.group(1).strip() or "text" if not language else ""
            lines.append("")
        else:
            lines.append(line if language == "python" else "")
    return "\n".join(lines)


WRITTEN = {"tables.md", "phase.md"}
"""Pages that commands write."""


# Most pages use torch, and to import it takes longer than to run them: one process imports it, with warnings as errors
# as the pages have them, and forks itself for each page. It has no threads and does nothing else. What it imported is
# frozen, so that no page's garbage collection touches, and so copies, all of it.
FORKING = """
import gc, json, os, runpy, sys
import transformers, axpo, axpo_agents.transformers_policy
gc.collect()
gc.freeze()
for line in sys.stdin:
    page = json.loads(line)
    child = os.fork()
    if child == 0:
        for name, number in (("output", 1), ("errors", 2)):
            os.dup2(os.open(page[name], os.O_WRONLY | os.O_CREAT), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(page["folder"])
        sys.argv, sys.path[0] = [page["script"]], os.path.dirname(page["script"])
        runpy.run_path(page["script"], run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def run_page() -> Iterator[Callable[[Path, Path], tuple[int, str]]]:
    """Runs a script in a folder, in a process of its own; returns its exit code and what it wrote to stderr."""
    command = [sys.executable, "-W", "error", "-c", FORKING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forking:

        def run(script: Path, folder: Path) -> tuple[int, str]:
            assert forking.stdin is not None
            assert forking.stdout is not None
            errors = script.with_suffix(".err")
            asked: dict[str, Any] = {"script": str(script), "folder": str(folder), "errors": str(errors)}
            forking.stdin.write(json.dumps({**asked, "output": str(script.with_suffix(".out"))}) + "\n")
            forking.stdin.flush()
            return int(forking.stdout.readline()), errors.read_text(encoding="utf-8")

        yield run
        assert forking.stdin is not None
        forking.stdin.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_pages_code_runs_without_a_warning(
    page: Path, tmp_path: Path, run_page: Callable[[Path, Path], tuple[int, str]]
) -> None:
    # Under a page's own name it would stand in the way of a package of that name.
    script = tmp_path / f"page-{page.stem}.py"
    script.write_text(code_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    (tmp_path / "cwd").mkdir()
    code, errors = run_page(script, tmp_path / "cwd")
    assert code == 0, f"{page.name}, lines as on the page:\n{errors}"


@pytest.mark.parametrize(
    ("code", "told"),
    [("import warnings\nwarnings.warn('old')", "UserWarning: old"), ("assert 1 + 1 == 3", "AssertionError")],
)
def test_a_page_that_warns_or_fails_is_noticed(
    code: str, told: str, tmp_path: Path, run_page: Callable[[Path, Path], tuple[int, str]]
) -> None:
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    exit_code, errors = run_page(script, tmp_path)
    assert exit_code == 1
    assert told in errors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_links_to_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_pages_that_code_cites_exist() -> None:
    cited = set()
    for folder in ("envs", "agents", "axpo", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            cited |= set(re.findall(r"[\w-]+\.md\b", file.read_text(encoding="utf-8")))
    known = {page.name for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"))}
    assert cited - known - WRITTEN == set()


def test_the_paths_that_pages_name_exist() -> None:
    tops = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    named = {
        (page.name, path)
        for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"))
        if page.name != "CHANGELOG.md"
        for path in re.findall(rf"`((?:{tops})/[\w./-]+)`", page.read_text(encoding="utf-8"))
        if not path.startswith("runs/") and not re.fullmatch(r"axpo/[A-Z]\w+-v\d+", path)
    }
    assert sorted((page, path) for page, path in named if not (ROOT / path).exists()) == []


def test_blocks_that_are_not_run_are_rare() -> None:
    untested = [page.name for page in PAGES for _ in re.findall(r"^```python.+$", page.read_text(), re.MULTILINE)]
    assert len(untested) <= MOST_UNTESTED_BLOCKS, untested


def test_code_keeps_its_lines_and_other_blocks_are_left_out() -> None:
    page = "# A\n```python\na = 1\n```\ntext\n```\nplain\n```\n```python no-run\nb = 2\n```\n```python\nc = 3\n```"
    assert code_of(page).split("\n") == ["", "", "a = 1", "", "", "", "", "", "", "", "", "", "c = 3", ""]
