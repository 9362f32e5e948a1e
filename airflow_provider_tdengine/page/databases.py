"""The databases of a fleet: how far each is, what it came to, and what was found of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_tdengine.migration.copying import Batch, Pack
from airflow_provider_tdengine.operators.progress import part_key
from airflow_provider_tdengine.page import reading
from airflow_provider_tdengine.page.migrations import Migration, State


@dataclass(frozen=True, slots=True)
class Member:
    """A database of a fleet.

    Parameters:
        name: of the source database.
        target: of the target database.
        state: a word for it.
        rows: that have been copied.
        planned: rows that the plan gave it; None before.
        words: the verdict in a sentence, or what stands in the way.
        kind: of the verdict; empty while there is none.
    """

    name: str
    target: str
    state: State
    rows: int
    planned: int | None
    words: str = ""
    kind: str = ""


def members(session: Session, migration: Migration, certificate: Mapping[str, Any] | None) -> list[Member]:
    """The databases of a migration; none where it is of but one.

    Parameters:
        session: of the metadata database.
        migration: whose.
        certificate: what proves it, None while there is none.
    """
    if not migration.asked.is_fleet:
        return []
    proofs = {one["source"]["database"]: one["verdict"] for one in (certificate or {}).get("databases", ())}
    planned = migration.planned_databases
    rows, found = _rows(session, migration), dict(_found(session, migration))
    result = []
    # Of those that are not meant any more, what was found is said.
    for name in dict.fromkeys([*migration.asked.databases, *found]):
        verdict, count, total = proofs.get(name), rows.get(name, 0), planned.get(name)
        words, kind, state = found.get(name, ""), "", State.CREATED
        if verdict:
            words, kind = str(verdict["words"]), str(verdict["kind"])
            state = State.FAILED if kind == "different" else State.COMPLETED
        elif words:
            state = State.FAILED
        elif total is not None:
            state = State.WAITING if not count and total else State.RUNNING
        result.append(Member(name, migration.asked.target_of(name), state, count, total, words, kind))
    return result


def _rows(session: Session, migration: Migration) -> Mapping[str, int]:
    """Rows that have been copied of each database, as checkpoints say it; of one that has none, the copy's result."""
    plan = reading.document(session, migration, "plan", "return_value")
    packs = [Pack.from_dict(one) for one in plan if "parts" in one] if isinstance(plan, list) else []
    kept = reading.part_rows(session, migration)
    returned = {
        Batch.from_dict(part["batch"]).identity: int(part["rows"])
        for part in _parts(session, migration, "copy")
        if "copied" in part
    }
    rows: dict[str, int] = defaultdict(int)
    for batch in (batch for pack in packs for batch in pack.parts):
        rows[batch.database] += returned.get(batch.identity, kept.get(part_key(batch.identity), 0))
    return rows


def _found(session: Session, migration: Migration) -> Iterator[tuple[str, str]]:
    """What stands in the way of databases; what was found first comes last."""
    yield from _broken(session, migration, "certify")
    for stage in ("verify", "copy"):
        for part in _parts(session, migration, stage):
            for one in part.get("failed", ())[:1]:
                yield part["batch"]["database"], _said(one)
    for stage in ("plan", "sync_schema", "resolve"):
        yield from _broken(session, migration, stage)


def _broken(session: Session, migration: Migration, stage: str) -> Iterator[tuple[str, str]]:
    """What a stage that is no mapped one has left out."""
    broken = reading.document(session, migration, stage, "broken")
    for database, findings in (broken or {}).items():
        yield database, "; ".join(map(_said, findings[:1]))


def _said(finding: Mapping[str, str]) -> str:
    return f"{finding['object']}: {finding['found']}. {finding['action']}"


def _parts(session: Session, migration: Migration, stage: str) -> Sequence[Mapping[str, Any]]:
    return [part for value in reading.returned(session, migration, stage) for part in value.get("parts", ())]
