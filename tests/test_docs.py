"""The README and the report are true of what stands: files, commands, names, and the first query."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from graphql import build_schema, parse, validate

from deploy.grid import REPOSITORY
from docs.bench_table import table
from docs.build import FOLDER, build
from gateway.limits import Limits
from write_side import commands
from write_side.events import Fact

README = (REPOSITORY / "README.md").read_text()
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text()
CHAPTERS = "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.typ")))
TEXTS = {"README": README, "CHANGELOG": CHANGELOG, "report": CHAPTERS}
FOLDERS = ("write_side", "projections", "gateway", "simulator", "deploy", "bench", "tests", "docs")
MADE_HERE = {"docs/report.pdf", "gateway/playground/dist"}


def _quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def _paths(text: str) -> set[str]:
    """What is quoted and begins with a folder of ours, or is a file at the top."""
    top = re.compile(r"[\w.-]+\.(md|sh|in|lock|graphql|toml)|\.ci/run|(\./)?(prepare|run)\.sh")
    ours = tuple(f"{folder}/" for folder in FOLDERS)
    return {quoted for quoted in _quoted(text) if quoted.startswith(ours) or top.fullmatch(quoted)}


def _help(*command: str) -> str:
    asked = (sys.executable, "-m", "deploy", *command, "--help")
    return subprocess.run(
        asked, capture_output=True, text=True, cwd=REPOSITORY, timeout=60, check=True
    ).stdout


def test_the_report_is_built_and_has_pages(tmp_path: Path) -> None:
    report = build(tmp_path / "report.pdf").read_bytes()
    assert report.startswith(b"%PDF-")
    counted = re.search(rb"/Type\s*/Pages\b.*?/Count\s+(\d+)|/Count\s+(\d+)", report, re.DOTALL)
    assert counted is not None
    assert int(next(filter(None, counted.groups()))) >= 8


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_named_exists(name: str) -> None:
    named = sorted(_paths(TEXTS[name]) - MADE_HERE)
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_files_are_named() -> None:
    """Else the test before says nothing."""
    assert {"write_side/registration.py", "projections/settling.py"} <= _paths(README)
    assert {"write_side/command_group.py", "tests/simulator/test_scenarios.py"} <= _paths(CHAPTERS)


def test_every_command_named_exists() -> None:
    known = _help()
    for text in TEXTS.values():
        for line in re.findall(r"\./run\.sh[^`\n#]*", text):
            words = line.split()[1:]
            command = [words[0]] if words and not words[0].startswith("-") else []
            assert all(re.search(rf"^ +{word}\b", known, re.MULTILINE) for word in command), line
            if command != ["test"]:
                told = _help(*command)
                assert all(word in told for word in words if word.startswith("--")), line


def test_every_module_to_run_exists() -> None:
    modules = {module for text in TEXTS.values() for module in re.findall(r"python -m ([\w.]+)", text)}
    assert "docs.build" in modules
    assert [module for module in sorted(modules) if importlib.util.find_spec(module) is None] == []


def test_every_variable_named_is_read_somewhere() -> None:
    read = "\n".join(
        path.read_text()
        for folder in ("deploy", "write_side", "simulator", "tests")
        for path in REPOSITORY.glob(f"{folder}/**/*.py")
    )
    named = {word for text in TEXTS.values() for word in re.findall(r"\b(?:SMARTRIX_\w+|\w+_URL)\b", text)}
    limits = {f"SMARTRIX_LIMIT_{limit.name.upper()}" for limit in fields(Limits)}
    assert limits <= named
    assert [variable for variable in sorted(named - limits) if f'"{variable}"' not in read] == []


def test_the_report_names_all_facts_commands_and_refusals_and_no_others() -> None:
    """What is written in the code's way of writing names is a name of the code."""
    facts = {fact.__name__ for fact in get_args(Fact)}
    asked = {command.__name__ for command in get_args(commands.Command)}
    refused = {
        refusal.__name__
        for refusal in commands.Refusal.__subclasses__()
        if refusal.__module__ == commands.__name__
    }
    interfaces = (FOLDER / "interfaces.typ").read_text()
    assert facts | asked | refused <= _quoted(interfaces)
    named = {quoted for quoted in _quoted(CHAPTERS) if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", quoted)}
    from_gateway = {"NotPermitted", "IntakeFull"}
    assert named <= facts | asked | refused | from_gateway


def test_the_report_names_all_mutations_and_tables() -> None:
    interfaces = _quoted((FOLDER / "interfaces.typ").read_text())
    mutation = build_schema((REPOSITORY / "schema.graphql").read_text()).mutation_type
    assert mutation is not None
    assert set(mutation.fields) <= interfaces
    made = {
        table
        for path in (REPOSITORY / "projections").glob("*.py")
        for table in re.findall(r"create table if not exists (\w+)", path.read_text())
    }
    assert made <= interfaces


def test_the_first_query_fits_the_schema() -> None:
    schema = build_schema((REPOSITORY / "schema.graphql").read_text())
    queries = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)
    assert queries
    assert [error.message for query in queries for error in validate(schema, parse(query))] == []


def test_the_readme_has_the_figures_of_the_last_bench() -> None:
    assert table() in README
