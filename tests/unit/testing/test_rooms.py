"""The rooms of the box: which may know which, and what one takes from another."""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = "airflow_provider_tdengine.testing"
HOME = ROOT / PACKAGE.replace(".", "/")

# From the ground up: a room, or a file that has no room, knows only those of the lines above its own.
STOREYS = [
    {"generations"},
    {"language", "faults"},
    {"stored"},
    {"queries", "catalog", "changes"},
    {"engine"},
    {"wire"},
    {"box"},
    {"__init__"},
    {"__main__", "fixtures"},
]
STOREY_OF = {name: number for number, names in enumerate(STOREYS) for name in names}
ROOMS = sorted(path.parent.name for path in HOME.glob("*/__init__.py"))


class Arrow(NamedTuple):
    """An import of something in the package: from which file, from which module, which name."""

    file: Path
    module: str
    name: str


@cache
def arrows() -> list[Arrow]:
    """All imports from the package, wherever in the project they are."""
    found = []
    for folder in ("airflow_provider_tdengine", "benchmarks", "example_dags", "tests"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith(PACKAGE):
                    found += [Arrow(file, node.module or "", alias.name) for alias in node.names]
                elif isinstance(node, ast.Import):
                    found += [Arrow(file, a.name, "") for a in node.names if a.name.startswith(PACKAGE)]
    return found


def room_of(file: Path) -> str | None:
    """The room that a file is in, or the file's own name; None outside of the package."""
    return file.relative_to(HOME).with_suffix("").parts[0] if file.is_relative_to(HOME) else None


def target_of(arrow: Arrow) -> str:
    """The room or file that an import is from."""
    inside = arrow.module.removeprefix(PACKAGE).lstrip(".").split(".")[0]
    return inside or (arrow.name if arrow.name in STOREY_OF else "__init__")


def test_every_file_has_its_storey() -> None:
    assert {room_of(file) for file in HOME.rglob("*.py")} == set(STOREY_OF)
    assert len(arrows()) > 60


def test_no_arrow_runs_up_or_in_a_circle() -> None:
    wrong = [
        f"{arrow.file.relative_to(ROOT)} takes {arrow.name} from {target}"
        for arrow in arrows()
        if (room := room_of(arrow.file)) is not None
        and (target := target_of(arrow)) != room
        # What `testing/__init__.py` gives away it imports when somebody asks for it.
        and STOREY_OF[target] >= STOREY_OF[room]
    ]
    assert not wrong


def test_what_is_taken_from_a_room_stands_in_its_face() -> None:
    wrong = [
        f"{arrow.file.relative_to(ROOT)} takes {arrow.name} from {arrow.module}"
        for arrow in arrows()
        if (target := target_of(arrow)) in ROOMS
        and target != room_of(arrow.file)
        # `from testing import changes` is the whole face.
        and arrow.module != PACKAGE
        and (arrow.module != f"{PACKAGE}.{target}" or arrow.name not in import_module(arrow.module).__all__)
    ]
    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_is_a_sentence_and_names(room: str) -> None:
    face = import_module(f"{PACKAGE}.{room}")
    assert face.__doc__ is not None
    assert face.__doc__.count("\n") == 0
    assert all(hasattr(face, name) for name in face.__all__)
    body = ast.parse((HOME / room / "__init__.py").read_text(encoding="utf-8")).body
    assert all(isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in body)
