"""The sizes and habits of the code, so that it stays as readable as on its first day."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("write_side", "projections", "gateway", "simulator", "deploy", "bench")
LONGEST_FILE, MEDIAN_FILE = 400, 150
LONGEST_FUNCTION, MEDIAN_FUNCTION, MOST_FUNCTIONS = 70, 8, 30
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "common", "base", "manager", "service", "models"}

# Written in pieces, so that this file does not hold what it forbids.
ADDRESSES = re.compile(r"--index-url|--extra-index-url|--trusted-host|registry=|npmrc_auth|:_authToken")
REGISTRIES = re.compile(r"https?://[\w.-]*(?:pypi|npmjs|pythonhosted|yarnpkg|artifactory|nexus)[\w.-]*", re.I)
# The image's own user has its home at /home/grid, on every machine.
MACHINE_PATHS = re.compile(
    r"(?<![\w.])(?!/home/grid\b)/(?:home|Users|root|work|workspace|mnt)/\w+|/tmp/\w+/|[A-Z]:\\\\?Users"
)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _modules() -> list[Path]:
    found = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    return sorted(path for path in found if not {"node_modules", ".venv", "dist"} & set(path.parts))


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _functions() -> Iterator[tuple[str, int]]:
    """Where a function stands, and its lines from `def` to its end, docstring and all."""
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, DEFINITIONS):
                assert node.end_lineno is not None
                place = f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"
                yield place, node.end_lineno - node.lineno + 1


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
    )
    if listed.returncode != 0:
        pytest.skip("not a git clone: which files belong to the project is not known")
    return [path for name in listed.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]


def _is_told_to_clients(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a decorator carries the sentence that the GraphQL schema prints as description."""
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
    given = [value for call in calls for value in (*call.args, *(word.value for word in call.keywords))]
    sentences = [value.value for value in given if isinstance(value, ast.Constant)]
    return any(isinstance(each, str) and each.endswith(".") for each in sentences)


def _without_docstring(path: Path) -> Iterator[str]:
    """The module, its public classes and public functions, those in a public class too."""
    tree = ast.parse(path.read_text())
    name = path.relative_to(REPOSITORY)
    if tree.body and ast.get_docstring(tree) is None:
        yield f"{name}: the module"
    for node, owner in _public(tree):
        if ast.get_docstring(node) is None and not _is_told_to_clients(node):
            yield f"{name}:{node.lineno} {owner}{node.name}"


def _public(
    within: ast.Module | ast.ClassDef, owner: str = ""
) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for node in within.body:
        if isinstance(node, (ast.ClassDef, *DEFINITIONS)) and not node.name.startswith("_"):
            yield node, owner
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node, f"{node.name}.")


def test_no_file_is_long() -> None:
    sizes = {str(path.relative_to(REPOSITORY)): _lines(path) for path in _modules()}
    assert len(sizes) > 50
    assert {name: lines for name, lines in sizes.items() if lines > LONGEST_FILE} == {}
    assert median(lines for lines in sizes.values() if lines) <= MEDIAN_FILE


def test_no_function_is_long() -> None:
    functions = list(_functions())
    assert len(functions) > 300
    assert [(place, lines) for place, lines in functions if lines > LONGEST_FUNCTION] == []


def test_most_functions_are_short() -> None:
    sizes = sorted(lines for _, lines in _functions())
    assert median(sizes) <= MEDIAN_FUNCTION
    short = sum(lines < MOST_FUNCTIONS for lines in sizes)
    assert short >= 0.9 * len(sizes), f"{short} of {len(sizes)} have less than {MOST_FUNCTIONS} lines"


def test_everything_public_says_what_it_is() -> None:
    silent = [place for path in _modules() for place in _without_docstring(path)]
    assert silent == [], "\n".join(silent)


def test_file_names_are_capabilities() -> None:
    names = [path for path in _modules() if path.stem in NAMES_THAT_SAY_NOTHING]
    folders = [
        path for path in _modules() if NAMES_THAT_SAY_NOTHING & set(path.relative_to(REPOSITORY).parts)
    ]
    assert names + folders == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for forbidden in (ADDRESSES, REGISTRIES, MACHINE_PATHS):
                if path != Path(__file__).resolve() and forbidden.search(line):
                    found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]}")
    assert found == [], "\n".join(found)
