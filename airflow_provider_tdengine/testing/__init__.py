"""TDengine in a box: an in-process server for demos and tests. Knows no Airflow and no migration.

    with TDengineBox(version="2.4.0.18") as box:
        box.execute("create database d")
        ...  # clients connect to box.url

Its rooms, each knowing only those before it: `generations` (what versions do differently), `language` (from text to
meaning), `stored` (what there is), `queries`, `catalog` and `changes` (what statements do); then `engine.py`, which
carries statements out, `wire` (REST and WebSocket), and `box.py`, the server.

Importing this package is cheap, since pytest does it for the fixtures; the server is imported when it is named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_tdengine.testing.box import TDengineBox
    from airflow_provider_tdengine.testing.generations import BoxError

__all__ = ["BoxError", "TDengineBox"]

_HOMES = {"TDengineBox": "box", "BoxError": "generations"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
