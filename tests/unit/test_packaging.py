"""The package as it is installed: metadata, entry points, what imports without Airflow, example DAGs."""

import ast
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import airflow_provider_tdengine

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow-provider-tdengine"
EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))

WITHOUT_AIRFLOW = """
import importlib, pkgutil, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ImportError(f"{name} was asked for")

sys.meta_path.insert(0, NoAirflow())
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(("__main__", ".fixtures")):
            importlib.import_module(module.name)
"""


def test_version() -> None:
    assert metadata.version(PACKAGE) == airflow_provider_tdengine.__version__


def test_entry_points_load() -> None:
    points = {point.group: point for point in metadata.distribution(PACKAGE).entry_points}
    info = points["apache_airflow_provider"].load()()
    assert info["package-name"] == PACKAGE
    assert info["versions"] == [airflow_provider_tdengine.__version__]
    points["pytest11"].load()
    assert points["airflow.plugins"].load().external_views[0]["name"] == "Migrations"


def test_extras() -> None:
    about = metadata.metadata(PACKAGE)
    assert set(about.get_all("Provides-Extra") or ()) >= {"testing", "dev"}
    requirements = metadata.requires(PACKAGE) or []
    assert any(line.startswith("aiohttp") and "testing" in line for line in requirements)
    assert "taospy>=2.8.0" in requirements
    assert about["Requires-Python"] == ">=3.10"


def test_requirements_have_no_upper_bounds() -> None:
    upper = [line for line in metadata.requires(PACKAGE) or [] if re.search(r"<|==[^ ']|~=", line.partition(";")[0])]
    assert not upper


def test_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("package", ["client", "migration", "testing"])
def test_imports_without_airflow(package: str) -> None:
    name = f"airflow_provider_tdengine.{package}"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIRFLOW, name], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_dependencies_point_one_way() -> None:
    """The client knows no migration and no Airflow; the migration knows no Airflow and none of its faces."""
    allowed = {"client": {"client"}, "migration": {"client", "migration"}, "testing": {"client", "testing"}}
    for package, known in allowed.items():
        for file in (ROOT / "airflow_provider_tdengine" / package).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_tdengine."):
                    assert str(node.module).split(".")[1] in known, f"{file.name} imports {node.module}"


def test_no_file_names_a_registry() -> None:
    # Written in two parts, or this file would be one.
    hosts = [host + ".org" for host in ("pypi", "files.pythonhosted", "proxy.golang", "registry.npmjs")]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        files = [*ROOT.glob("*.*"), *ROOT.glob("airflow_provider_tdengine/**/*.py"), *ROOT.glob("tests/**/*.py")]
    else:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    for file in files:
        if file.is_file():
            content = file.read_bytes()
            assert not [host for host in hosts if host.encode() in content], f"{file} names a registry"


def test_there_are_examples() -> None:
    assert "tdengine_migration" in [file.stem for file in EXAMPLES]


def test_example_dags_import(airflow_environment: dict[str, str]) -> None:
    """As a DAG processor does it, in a process of its own."""
    script = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
mute = [name for name, dag in bag.dags.items() if not dag.description or "\\n1. " not in (dag.doc_md or "")]
print("RESULT " + json.dumps([bag.import_errors, mute, sorted(bag.dags)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "example_dags")],
        capture_output=True,
        text=True,
        env=airflow_environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (result,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert result.startswith("RESULT [{}, [], "), (
        f"not imported, or it does not say what it is and what to do: {result}"
    )
    # By a file of its own, and from the one that tdengine_from_yaml.py reads.
    assert {"tdengine_migration", "north_to_cluster", "south_to_cluster"} <= set(json.loads(result[7:])[2])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_explained(example: Path) -> None:
    assert ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")))
