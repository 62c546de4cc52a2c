"""Every claim on the documentation's pages holds: their Python blocks are executed, in order, a process to a page."""

import re
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_pages_code_runs_without_a_warning(page: Path, tmp_path: Path) -> None:
    # Under a page's own name it would stand in the way of a package of that name.
    script = tmp_path / f"page-{page.stem}.py"
    script.write_text(code_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    (tmp_path / "cwd").mkdir()
    command = [sys.executable, "-W", "error", str(script)]
    ended = subprocess.run(command, cwd=tmp_path / "cwd", capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, f"{page.name}, lines as on the page:\n{ended.stderr}"


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
