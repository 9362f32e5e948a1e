"""Several databases in one run, side by side: one that is broken does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import in_background
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions

AT_ONCE = 2
"""For each worker, so many databases are looked at at the same time, each with a session or two at both servers."""

_T = TypeVar("_T")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_T]):
    """What something came to, by source database.

    Parameters:
        done: where it was done.
        broken: where it could not be done, what stands in the way.
    """

    done: dict[str, _T]
    broken: dict[str, list[Finding]]


def of_each(
    options: MigrationOptions,
    action: Callable[[MigrationOptions], _T],
    before: Mapping[str, list[Finding]] | None = None,
) -> Outcome[_T]:
    """Do something with each database of a migration.

    Parameters:
        options: of the migration; where it has but one database, what fails is raised.
        action: what is done; threads call it.
        before: databases that are left out, since they are broken, and what was found.

    Returns:
        What it came to; broken are those, too, that were so before.

    Raises:
        MigrationStopped: no database is left.
        TDengineError: one that a retry may cure, of a server and not of a database; all others have been done.
    """
    if not options.is_fleet:
        return Outcome({options.source_database: action(options)}, {})
    doing = _Doing(action, dict(before or {}))
    members = [one for one in options.members if one.source_database not in doing.broken]
    waiting, lock = iter(members), threading.Lock()

    def take() -> MigrationOptions | None:
        with lock:
            return next(waiting, None)

    def work() -> None:
        while one := take():
            doing.do(one)

    for worker in [in_background(work) for _ in range(min(at_once(options), len(members)))]:
        worker.result()
    return doing.outcome(options)


def in_turn(options: MigrationOptions, left: Outcome[Callable[[], _T]]) -> Outcome[_T]:
    """Do what is left to do with each database, in the thread that calls.

    Parameters:
        options: of the migration.
        left: what `of_each` came to, for each database what is done now.

    Raises:
        MigrationStopped, TDengineError: see `of_each`.
    """
    if not options.is_fleet:
        return Outcome({name: do() for name, do in left.done.items()}, {})
    doing = _Doing(lambda one: left.done[one.source_database](), dict(left.broken))
    for one in options.members:
        if one.source_database in left.done:
            doing.do(one)
    return doing.outcome(options)


class _Doing(Generic[_T]):
    """Does something with databases of a fleet.

    Parameters:
        action: what is done.
        broken: databases that are broken, and what was found.
    """

    def __init__(self, action: Callable[[MigrationOptions], _T], broken: dict[str, list[Finding]]) -> None:
        self._action = action
        self._done: dict[str, _T] = {}
        self._passing: list[TDengineError] = []
        self.broken = broken

    def do(self, one: MigrationOptions) -> None:
        try:
            self._done[one.source_database] = self._action(one)
        except TDengineError as error:
            if error.retryable:
                self._passing.append(error)
            else:
                self.broken[one.source_database] = findings_of(one.source_database, error)

    def outcome(self, options: MigrationOptions) -> Outcome[_T]:
        """What it came to, of all of them."""
        if self._passing:
            raise self._passing[0]
        if not self._done:
            raise MigrationStopped(_together(self.broken))
        return Outcome(_ordered(self._done, options), _ordered(self.broken, options))


def at_once(options: MigrationOptions) -> int:
    """How many databases of a migration are looked at at the same time, at most."""
    return min(AT_ONCE * options.workers, len(options.databases))


def _ordered(found: Mapping[str, _V], options: MigrationOptions) -> dict[str, _V]:
    """In the order of the databases; those that are not meant any more come last."""
    return {name: found[name] for name in (*options.databases, *found) if name in found}


def findings_of(database: str, error: TDengineError) -> list[Finding]:
    """What a failure says of a database of a fleet."""
    found = error.findings if isinstance(error, MigrationStopped) else None
    return found or [Finding(f"Database {database!r}", str(error), "The log of the task has more")]


def named(database: str, findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say of which database of a fleet they are."""
    return _said_of(f"Database {database!r}", findings)


def _said_of(what: str, findings: Sequence[Finding]) -> list[Finding]:
    return [
        found if found.object == what else replace(found, object=f"{what}, {found.object[0].lower()}{found.object[1:]}")
        for found in findings
    ]


def _together(broken: Mapping[str, list[Finding]]) -> list[Finding]:
    """Findings of all databases; what all of them have in common, such as a server that is too old, once."""
    first, *others = broken.values()
    if all(found == first for found in others):
        return _said_of(f"All {wording.number(len(broken), 'database')}", first)
    return [one for database, found in broken.items() for one in named(database, found)]
