"""The rooms of the engine: which knows which, and that each is entered through its face only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_tdengine
from airflow_provider_tdengine import migration

PACKAGE = Path(airflow_provider_tdengine.__file__).parent
ENGINE = migration.__name__
ROOMS = ["catalog", "rows", "structure", "copying", "planning", "comparing", "offline", "following"]
"""Each may ask those before it, and the modules that all rooms use."""


def imports(file: Path) -> Iterator[str]:
    """The modules that a file takes names from, those in functions and under TYPE_CHECKING, too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def asked(file: Path) -> Iterator[tuple[str, bool]]:
    """The rooms that a file asks, each with whether it does so through its face."""
    for module in imports(file):
        room, _, inside = module.removeprefix(f"{ENGINE}.").partition(".")
        if module.startswith(f"{ENGINE}.") and room in ROOMS:
            yield room, not inside


def test_every_folder_is_a_known_room() -> None:
    assert sorted(path.parent.name for path in (PACKAGE / "migration").glob("*/__init__.py")) == sorted(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_one_way(room: str) -> None:
    below = set(ROOMS[: ROOMS.index(room) + 1])
    for file in (PACKAGE / "migration" / room).glob("*.py"):
        assert {other for other, _ in asked(file)} <= below, file


def test_what_all_rooms_use_knows_none_of_them() -> None:
    for file in (PACKAGE / "migration").glob("*.py"):
        assert not list(asked(file)), file


def test_rooms_are_entered_through_their_faces() -> None:
    for file in PACKAGE.rglob("*.py"):
        own = file.relative_to(PACKAGE).parts[1] if file.is_relative_to(PACKAGE / "migration") else None
        assert not [room for room, by_face in asked(file) if not by_face and room != own], file
