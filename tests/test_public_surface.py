"""What is public is listed once, documented, and all that pages import; what is private stays within its package."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import axpo
import axpo_agents
import axpo_benchmarks
import axpo_envs

ROOT = Path(__file__).parents[1]
PACKAGES = {package.__name__: package for package in (axpo_envs, axpo_agents, axpo, axpo_benchmarks)}
SURFACES = [
    "axpo",
    "axpo.adapters.rllm",
    "axpo.adapters.trl",
    "axpo.adapters.verl",
    "axpo.audit",
    "axpo.economy",
    "axpo.probes",
    "axpo_agents",
    "axpo_agents.families",
    "axpo_agents.formats",
    "axpo_agents.remote",
    "axpo_agents.testing",
    "axpo_agents.tiny",
    "axpo_agents.transformers_policy",
    "axpo_benchmarks",
    "axpo_benchmarks.environment",
    "axpo_benchmarks.harness",
    "axpo_benchmarks.loaders",
    "axpo_benchmarks.scorers",
    "axpo_benchmarks.testing",
    "axpo_envs",
    "axpo_envs.adapters.pettingzoo",
    "axpo_envs.adapters.sessions",
    "axpo_envs.adapters.sb3",
    "axpo_envs.backends.image_search",
    "axpo_envs.backends.mcp",
    "axpo_envs.backends.payments",
    "axpo_envs.backends.search",
    "axpo_envs.governance",
    "axpo_envs.backends.spreadsheets",
    "axpo_envs.backends.tickets",
    "axpo_envs.questions",
    "axpo_envs.rewards",
    "axpo_envs.scenes",
    "axpo_envs.suite.agentic",
    "axpo_envs.suite.desk",
    "axpo_envs.suite.multi_hop_search",
    "axpo_envs.suite.perception_qa",
    "axpo_envs.suite.python_reasoning",
    "axpo_envs.suite.tool_task",
    "axpo_envs.suite.visual_zoom",
    "axpo_envs.testing",
    "axpo_envs.tools",
    "axpo_envs.vector",
]
"""Where users import from: each has an `__all__`, and docs/api.md lists it."""
API = ROOT / "docs" / "api.md"


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Every import of this project's packages: the module, and the name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in PACKAGES:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.partition(".")[0] in PACKAGES)


def blocks() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))):
        for code in re.findall(
            r"^```python[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            yield page.name, code


def described(found: object) -> bool:
    return bool(inspect.getdoc(found)) or not (inspect.isclass(found) or inspect.isfunction(found))


@pytest.mark.parametrize("name", SURFACES)
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    surface = importlib.import_module(name)
    assert surface.__doc__
    assert len(set(surface.__all__)) == len(surface.__all__)
    assert [public for public in surface.__all__ if not described(getattr(surface, public))] == []


def test_the_page_lists_every_public_name() -> None:
    page = API.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `([\w.]+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(SURFACES)
    for name, text in sections.items():
        listed = {
            cell for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for cell in re.findall(r"`(\w+)`", row)
        }
        assert listed == set(importlib.import_module(name).__all__), name


def test_pages_import_public_names_alone() -> None:
    wrong = [
        (page, module, name)
        for page, code in blocks()
        for module, name in imports(ast.parse(code))
        if module not in SURFACES or (name is not None and name not in importlib.import_module(module).__all__)
    ]
    assert wrong == []


def test_no_package_reaches_into_the_private_modules_of_another() -> None:
    wrong = []
    for own, package in PACKAGES.items():
        for file in Path(package.__path__[0]).rglob("*.py"):
            for module, name in imports(ast.parse(file.read_text(encoding="utf-8"))):
                path = module if name is None else f"{module}.{name}"
                if module.partition(".")[0] != own and re.search(r"\._[a-z]", path):
                    wrong.append(f"{file.relative_to(ROOT)}: {path}")
    assert wrong == []


def test_every_folder_says_what_it_holds() -> None:
    for package in PACKAGES.values():
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.ispkg:
                assert importlib.import_module(module.name).__doc__, module.name


def resolves(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[count:])
    return False


def test_dotted_names_that_pages_and_docstrings_cite_exist() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
    texts += [file for package in PACKAGES.values() for file in Path(package.__path__[0]).rglob("*.py")]
    pattern = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)(?:\([^`]*\))?`")
    cited = {
        (str(text.relative_to(ROOT)), name)
        for text in texts
        if text.name != "CHANGELOG.md"
        for name in pattern.findall(text.read_text(encoding="utf-8"))
    }
    assert sorted((text, name) for text, name in cited if not resolves(name)) == []
