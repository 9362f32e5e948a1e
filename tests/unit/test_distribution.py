"""What is published: wheel and source distribution, what they ask for, and what Airflow is told about the provider."""

import ast
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from importlib import resources
from pathlib import Path
from pkgutil import resolve_name

import pytest
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from airflow_provider_tdengine.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]
NAME = "airflow_provider_tdengine"
PACKAGE = ROOT / NAME

HEAVY = ("numpy", "pyarrow", "pandas", "websockets", "h11", "rich", "taosrest", "aiohttp", "fastapi", "openlineage")
"""What a task may need, and a DAG that is parsed does not."""

OPTIONAL = {"openlineage", "wtforms"}
"""Imported in functions that are called by those who have them: OpenLineage's provider, and Airflow's old form."""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, as they would be uploaded."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Iterator[zipfile.ZipFile]:
    (file,) = distributions.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


@pytest.fixture(scope="module")
def about(wheel: zipfile.ZipFile) -> Message:
    """The wheel's metadata."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


def files_of_package() -> set[str]:
    return {
        file.relative_to(ROOT).as_posix()
        for file in PACKAGE.rglob("*")
        if file.is_file() and file.suffix not in {".pyc", ".pyo"}
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == files_of_package()
    assert {f"{NAME}/py.typed", f"{NAME}/page/static/page.js", f"{NAME}/page/templates/list.html"} <= files
    assert f"{NAME}/migration/templates/certificate.html" in files


def test_the_wheel_has_licence_and_entry_points(wheel: zipfile.ZipFile, about: Message) -> None:
    (points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    text = wheel.read(points).decode()
    assert f"[apache_airflow_provider]\nprovider_info = {NAME}.get_provider_info:get_provider_info" in text
    assert f"[airflow.plugins]\ntdengine = {NAME}.page.plugin:TDenginePlugin" in text
    assert about["License-Expression"] == "Apache-2.0"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_the_source_distribution_builds_the_same(distributions: Path) -> None:
    (file,) = distributions.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert files_of_package() <= names
    beside = {name for name in names if not name.startswith((f"{NAME}/", "example_dags/"))}
    assert beside == {"LICENSE", "README.md", "PKG-INFO", "pyproject.toml", ".gitignore"}


def test_a_registry_would_take_them(distributions: Path) -> None:
    files = [str(file) for file in distributions.iterdir()]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_classifiers(about: Message) -> None:
    classifiers = about.get_all("Classifier") or []
    assert "Framework :: Apache Airflow :: Provider" in classifiers
    assert "Typing :: Typed" in classifiers
    assert [f"Programming Language :: Python :: 3.{minor}" in classifiers for minor in range(10, 14)] == [True] * 4
    assert about.get_all("Project-URL")


# --- What it asks for


def imported(modules: Iterator[Path]) -> Iterator[str]:
    """The full names of modules that the package imports from others."""
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module


def distribution_of(module: str) -> str:
    """What a module comes from."""
    if provider := re.match(r"airflow\.providers\.(common\.\w+|\w+)", module):
        return f"apache-airflow-providers-{provider[1].replace('.', '-')}"
    top = module.partition(".")[0]
    return {"airflow": "apache-airflow", "taosrest": "taospy"}.get(top) or canonicalize_name(top)


def test_what_is_imported_is_declared(about: Message) -> None:
    requirements = [line for line in about.get_all("Requires-Dist") or [] if "extra == 'dev'" not in line]
    declared = {canonicalize_name(Requirement(line).name) for line in requirements}
    known = {NAME, *OPTIONAL, *sys.stdlib_module_names}
    used = {distribution_of(name) for name in imported(PACKAGE.rglob("*.py")) if name.partition(".")[0] not in known}
    assert used - declared == {"apache-airflow-providers-openlineage"}


def test_no_package_of_airflow_is_moved(about: Message) -> None:
    """An installer may not come to take a taospy that holds typing-extensions below Airflow's."""
    requirements = [Requirement(line) for line in about.get_all("Requires-Dist") or []]
    (bound,) = (one.specifier for one in requirements if one.name == "typing-extensions")
    assert not bound.contains("4.14.1")
    assert bound.contains("99")


# --- What Airflow is told


def test_the_metadata_is_valid() -> None:
    info = get_provider_info()
    schema = json.loads((resources.files("airflow") / "provider_info.schema.json").read_text(encoding="utf-8"))
    assert not [error.message for error in Draft7Validator(schema).iter_errors(info)]
    assert info.keys() - {"versions"} <= schema["properties"].keys()


def test_the_metadata_names_all_modules() -> None:
    info = get_provider_info()
    for kind, base in {"operators": "BaseOperator", "sensors": "BaseSensorOperator", "triggers": "BaseTrigger"}.items():
        named = [module for of in info[kind] for module in of["python-modules"]]  # type: ignore[attr-defined]
        found = {
            f"{NAME}.{kind}.{file.stem}"
            for file in (PACKAGE / kind).glob("*.py")
            if re.search(r"^class (TDengine\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
        }
        assert set(named) == found, base


def text_of(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from text_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from text_of(one)
    elif isinstance(value, str):
        yield value


def test_all_that_the_metadata_names_is_there() -> None:
    names = [text for text in text_of(get_provider_info()) if text.startswith(f"{NAME}.")]
    assert len(names) > 10
    assert [resolve_name(name) for name in names]


# --- What it costs those who do not run it


def test_what_is_no_task_loads_little() -> None:
    """Each process of Airflow asks for the metadata, and a DAG processor parses DAGs every few seconds.

    What Airflow loads by itself is no news.
    """
    script = f"""
import sys
import airflow.sdk, airflow.plugins_manager, airflow.providers.standard.operators.hitl
before = set(sys.modules)
import {NAME}.page.plugin
from {NAME}.cutover import cutover_dag
from {NAME}.dags import assessment_dag, migration_dag
from {NAME}.get_provider_info import get_provider_info
migration_dag("one"), assessment_dag("two"), cutover_dag("three"), get_provider_info()
print("LOADED", *sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    loaded = line.split()[1:]
    assert f"{NAME}.operators.migration" in loaded
    assert not [name for name in loaded if name in HEAVY]
    rooms = "|".join(folder.name for folder in (PACKAGE / "migration").iterdir() if folder.is_dir())
    assert not [name for name in loaded if re.match(rf"{NAME}\.migration\.({rooms})\b", name)], "rooms of the engine"
