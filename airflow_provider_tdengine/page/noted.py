"""What the note of a run says of its migrations, beside what people have written there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from airflow.models.dagrun import DagRunNote
from airflow.utils.session import create_session
from sqlalchemy import insert

from airflow_provider_tdengine.client.secrets import masked
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.options import OPTIONS
from airflow_provider_tdengine.page import reading
from airflow_provider_tdengine.page.migrations import Migration, State

LONGEST_NOTE = 1000
"""Characters that Airflow takes."""

_LONGEST_LINE = 300


def renew(number: int, values: Mapping[str, object]) -> None:
    """Bring the lines of a run's note up to date that are about its migrations.

    Parameters:
        number: the run's key in Airflow's database.
        values: of the DAG's Params, for a run that has not been resolved yet.
    """
    # The thread's own session is in the middle of a commit.
    with create_session(scoped=False) as session:
        defaults = {name: value for name, value in values.items() if name in OPTIONS}
        found = [
            migration
            if migration.group
            else replace(migration, options={**defaults, **migration.options}, given={**defaults, **migration.given})
            for migration in reading.of_run(session, number)
        ]
        known = [migration for migration in found if migration.source]
        why = {migration.key: _why(reading.findings(session, migration)) for migration in known}
        note = session.get(DagRunNote, number, with_for_update=True)
        before = note.content or "" if note else ""
        text = noted(before, known, why)
        if text == before:
            return
        if note:
            note.content = text
        else:
            session.execute(insert(DagRunNote).values(dag_run_id=number, content=text))


def noted(note: str, migrations: Sequence[Migration], why: Mapping[str, str]) -> str:
    """A note whose lines about migrations are up to date; all other lines stay.

    Parameters:
        note: as it is.
        migrations: of the run.
        why: what stands in the way of each, by its key; empty for nothing.
    """
    lines = note.split("\n") if note else []
    for migration in migrations:
        ending = masked(_ending(migration, why.get(migration.key, "")))
        line = wording.beginning(": ".join(filter(None, [migration.heading, ending])), _LONGEST_LINE)
        place = next((place for place, there in enumerate(lines) if migration.is_own(there)), len(lines))
        lines[place : place + 1] = [line]
    text = "\n".join(lines)
    return text if len(text) <= LONGEST_NOTE else note


def _ending(migration: Migration, why: str) -> str:
    """What it came to; nothing while it goes on."""
    state = migration.state
    if not state.is_over:
        return ""
    if state is State.COMPLETED:
        return migration.words or state.value
    if state is State.DRY_RUN:
        rows, batches = migration.planned.get("rows", 0), migration.planned.get("batches", 0)
        found = f"{wording.number(rows, 'row')} in {wording.number(batches, 'batch', 'batches')}"
        return f"{found} would be copied; nothing was written"
    reason = migration.words or (why if state is State.FAILED else "")
    return f"{state.value}: {reason}" if reason else state.value


def _why(findings: Sequence[Mapping[str, object]]) -> str:
    """The first thing that stands in the way."""
    return next((f"{one['object']}: {one['found']}" for one in findings if one["severity"] == "blocker"), "")
