"""Patience with the servers of a migration: for what each of its stages asks of them, whoever begins it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.catalog.catalog import Catalog

_T = TypeVar("_T")


def meet(source: Catalog, target: Catalog, stop: threading.Event | None = None) -> None:
    """Wait until both servers have said what they are; not for long, since their addresses may be wrong.

    Raises:
        TDengineError: no answer, or one that no retry cures.
        Stopped: `stop` was set.
    """
    retry.persist(lambda: (source.client.server, target.client.server), stop, patience=retry.FIRST_CONTACT)


def patiently(source: Catalog, target: Catalog, action: Callable[[], _T], stop: threading.Event | None = None) -> _T:
    """Do something with two databases, again and anew as long as a retry can cure what fails.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    with source, target:
        meet(source, target, stop)
        return retry.persist(action, stop)
