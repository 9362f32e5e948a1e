"""README and docs/ as a reader uses them: commands and snippets run, what is shown is what appears, the site builds.

Commands run in this process against boxes that stand for the servers they name; Python snippets run together in one
other process, since importing Airflow takes seconds.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

import airflow_provider_tdengine
from airflow_provider_tdengine import cli
from airflow_provider_tdengine.testing import TDengineBox
from airflow_provider_tdengine.testing.__main__ import _arguments as box_arguments

ROOT = Path(__file__).parents[2]
PACKAGE = Path(airflow_provider_tdengine.__file__).parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TUTORIALS = ("tutorial.md", "tutorial.zh.md")

LANGUAGES = {"python", "shell", "console", "text", "sql", "ini", "nginx", "yaml", "json", "toml"}
"""`shell` is commands, `console` commands after a $ with what they print, `text` what something prints."""

PROGRAMS = ("airflow", "airflow-tdengine", "make", "pip", "python", "curl", "statsd_exporter", "$")
"""What a command begins with."""


@dataclass(frozen=True)
class Block:
    """What stands between fences.

    Parameters:
        document: that has it.
        line: of its first line.
        language: after the fence.
        text: without the indentation of the fence.
    """

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a document, and what the document says it prints."""

    block: Block
    words: list[str]
    printed: list[str]


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
        lines = [line.removeprefix(found[1]) for line in found[3].splitlines()]
        language = found[2] or _guessed(lines[0])
        yield Block(document, text[: found.start(3)].count("\n") + 1, language, "\n".join(lines) + "\n")


def _guessed(line: str) -> str:
    """What a block is that does not say it, by its first line."""
    program = line.split(maxsplit=1)[0] if line.strip() else ""
    return "console" if program == "$" else "shell" if program in PROGRAMS else "text"


def commands(document: Path) -> Iterator[Command]:
    for block in blocks(document):
        if block.language not in ("shell", "console"):
            continue
        found: Command | None = None
        for line in block.text.replace("\\\n", "").splitlines():
            if block.language == "shell" or line.startswith("$ "):
                found = Command(block, shlex.split(line.removeprefix("$ ")), [])
                yield found
            elif found:
                found.printed.append(line)


ALL = [command for document in DOCUMENTS for command in commands(document)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_block_says_what_it_is(document: Path) -> None:
    for block in blocks(document):
        assert block.language in LANGUAGES, f"{block} is {block.language!r}"
        if block.language == "text":
            assert block.text.split()[0] not in PROGRAMS, f"{block} is a command: say shell or console"


# --- Commands


def alike(line: str) -> str:
    """A line without what differs from run to run: numbers, hashes, widths."""
    return " ".join(re.sub(r"\d[\d,.]*", "0", re.sub(r"[0-9a-f]{16}", "hash", line)).split())


@dataclass
class Servers:
    """Boxes that stand for the servers of a document."""

    source: TDengineBox
    target: TDengineBox

    def arguments(self, words: list[str]) -> list[str]:
        """Those of a command, with the boxes' addresses; what is left out by dots is added."""
        here = f"ws://root:taosdata@{self.source.host}:{self.source.port}"
        there = f"ws://root:taosdata@{self.target.host}:{self.target.port}"
        given = [word for word in words if word != "..."]
        if given != words:
            given += ["--source-conn-id", here, "--target-conn-id", there]
        for name, address in (("--source-conn-id", here), ("--source-conn-ids", here), ("--target-conn-id", there)):
            if name in given:
                given[given.index(name) + 1] = address
        return given


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of all documents are given."""
    return tmp_path_factory.mktemp("documents")


@pytest.fixture
def servers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """The servers that the tutorial starts, with what it writes into old.sql; with names of other pages, too."""
    monkeypatch.chdir(folder)
    (old,) = [block.text for block in blocks(ROOT / "docs" / "tutorial.md") if block.text.startswith("CREATE DATABASE")]
    started = [command.words[3:] for command in commands(ROOT / "docs" / "tutorial.md") if "python" in command.words]
    with ExitStack() as stack:
        boxes = [stack.enter_context(TDengineBox(version=box_arguments(words).version)) for words in started]
        others = old.replace("location", "site")
        for text in (old, others.replace("power", "parquet_power"), others.replace("power", "plant_north")):
            for statement in text.splitlines():
                boxes[0].execute(statement)
        yield Servers(*boxes)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_run(document: Path, servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    """With what they print in the tutorials; elsewhere it was other data."""
    for command in commands(document):
        if command.words[0] == "curl":
            statement = command.words[command.words.index("-d") + 1]
            answer = httpx.post(
                f"http://{servers.target.host}:{servers.target.port}/rest/sql",
                content=statement,
                auth=("root", "taosdata"),
            )
            said = answer.text
        elif command.words[0] == "airflow-tdengine":
            status = cli.main(servers.arguments(command.words[1:]))
            said = "".join(capsys.readouterr())
            assert status in (0, 1), f"{command.block}: {said}"
        else:
            continue
        if document.name in TUTORIALS:
            shown, seen = [alike(line) for line in command.printed], [alike(line) for line in said.splitlines()]
            assert [line for line in seen if line in shown] == shown, f"{command.block}: {said}"


def test_other_commands_are_there() -> None:
    """They take too long to run here, or run elsewhere in the tests; what they name is there."""
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for command in ALL:
        program, *words = command.words
        if program == "make":
            assert words[0] in targets, command.block
        elif program == "pip" and words[1].startswith("."):
            extra = words[1].removeprefix(".").strip("[]")
            assert not extra or f"\n{extra} = [" in project, command.block
        elif program.endswith("python"):
            assert words[0] == "-m", command.block
            assert importlib.util.find_spec(words[1]), command.block
        elif program == "statsd_exporter":
            assert (ROOT / "docs" / "grafana" / words[0].partition("=")[2]).exists()
        else:
            assert program in PROGRAMS, command.block


def test_commands_in_sentences_are_there() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for name in re.findall(r"`airflow-tdengine ([a-z]+)", text):
            assert name in cli._COMMANDS, f"{document.name}: airflow-tdengine {name}"
        for name in re.findall(r"`make ([a-z-]+)", text):
            assert name in targets, f"{document.name}: make {name}"
        for module in re.findall(r"`python -m ([\w.]+)", text):
            assert importlib.util.find_spec(module), f"{document.name}: python -m {module}"
        for script in re.findall(r"`python (docs/\w+\.py)", text):
            assert (ROOT / script).exists(), f"{document.name}: {script}"


# --- Python

RUN = """
import json, sys
from airflow.cli.cli_parser import get_parser
from airflow.sdk import DAG
from airflow_provider_tdengine.dags import migration, migration_dag

# What a reader has imported who has read the first example.
KNOWN = {"DAG": DAG, "migration": migration, "migration_dag": migration_dag}

said = json.load(sys.stdin)
for where, words in said["commands"]:
    try:
        get_parser().parse_args(words)
    except SystemExit:
        raise AssertionError(where)
for where, code in said["snippets"]:
    names = {**KNOWN, "__name__": where, "__file__": said["file"]}
    exec(compile(code, where, "exec"), names)
    if "dag" in names:
        print("DAG", where, names["dag"].dag_id, *names["dag"].task_ids)
"""


def test_snippets_run(folder: Path, servers: Servers, airflow_environment: dict[str, str]) -> None:
    """Those of all documents, as they stand there; the first one of the README is a DAG. Airflow knows its commands."""
    for command in commands(ROOT / "docs" / "offline.md"):
        # What a snippet of that page reads.
        if "export" in command.words:
            cli.main(servers.arguments([*command.words[1:], "--force"]))
    migrate = next(command for command in ALL if "--certificate-path" in command.words and "migrate" in command.words)
    cli.main(servers.arguments(migrate.words[1:]))
    snippets = [
        (str(block), block.text) for document in DOCUMENTS for block in blocks(document) if block.language == "python"
    ]
    known = [(str(command.block), command.words[1:]) for command in ALL if command.words[0] == "airflow"]
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps({"snippets": snippets, "commands": known, "file": str(ROOT / "example_dags" / "mine.py")}),
        capture_output=True,
        text=True,
        cwd=folder,
        env=airflow_environment,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"DAG README.md:\d+ power_to_new_cluster resolve sync_schema plan copy verify", done.stdout)


# --- Pages


@pytest.mark.parametrize("script", sorted((ROOT / "docs").glob("make_*.py")), ids=lambda script: script.name)
def test_generated_pages_are_up_to_date(script: Path) -> None:
    made = runpy.run_path(str(script))
    assert made["FILE"].read_text(encoding="utf-8") == made["render"](), f"run: python docs/{script.name}"


def test_the_site_builds(tmp_path: Path) -> None:
    """A link to a page, a heading or a file that is not there is an error, and so is a page that no menu has."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "example_dags" / "tdengine_migration.html").exists()
    linked = set(
        re.findall(r"""(?:src|href)=["'](https?://[^"']+\.(?:js|css))""", (tmp_path / "index.html").read_text())
    )
    assert not linked, "a page must not fetch anything from elsewhere"


def test_the_workflow_tries_all_versions() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["versions"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert {*matrix["airflow"], *(one["airflow"] for one in matrix["include"])} == {"3.1.8", "3.2.2", "3.3.2"}
    assert "lowest-direct" in [one["resolution"] for one in matrix["include"]]


# --- Language

STUMBLES = re.compile(
    r"\b(?:is|are|was|were) (?:said|told)\b|\bnothing is told\b|\bmend(?:s|ed|ing)?\b|\bso many\b|fall together",
    re.IGNORECASE,
)
"""What reads like another language than English."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_are_in_natural_english(document: Path) -> None:
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        assert not STUMBLES.search(line), f"{document.name}:{number}: {line}"


def test_the_package_speaks_natural_english() -> None:
    """In what users see: strings of some words that are no docstrings, and templates."""
    for file in (*PACKAGE.rglob("*.py"), *(ROOT / "example_dags").glob("*.py")):
        if "testing" in file.relative_to(ROOT).parts:
            continue
        for line, text in strings(
            ast.parse(file.read_text(encoding="utf-8")), with_docs=file.parent.name == "example_dags"
        ):
            assert not (" " in text and STUMBLES.search(text)), f"{file}:{line}: {text}"
    for file in PACKAGE.rglob("*.html"):
        text = re.sub(r"\{[{%#].*?[}%#]\}", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not (found := STUMBLES.search(text)), f"{file}: {found}"


def strings(tree: ast.Module, *, with_docs: bool) -> Iterator[tuple[int, str]]:
    """Strings of a module with their lines; docstrings, of attributes too, only if asked for."""
    docs = set()
    if not with_docs:
        docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
            yield node.lineno, node.value
