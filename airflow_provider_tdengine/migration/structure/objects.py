"""What a database has beside its tables: made in the target after the rows, as far as the source says how.

Statements are the source's own, as it lists them, with the target database in place of the source. What cannot be made
stays among what is not migrated, with the reason.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.findings import Finding, Severity
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure.not_migrated import Leftover, things

log = logging.getLogger(__name__)

_NEW_STREAMS = (3, 3, 7)
"""Since this version streams have another language, by TDengine's documentation."""

_QUOTED = r"""'(?:\\.|''|[^'\\])*'|"(?:\\.|""|[^"\\])*\""""
_QUALIFIER = re.compile(
    rf"{_QUOTED}|(?P<topic>\bDATABASE\s+)?(?:`(?P<quoted>[^`]+)`|\b(?P<bare>\w+)\b)(?P<dot>\s*\.)?", re.I
)


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one of them.

    Parameters:
        kind: index, tsma, view, topic, stream, virtual super table or virtual table.
        name: its name.
        statement: how it is made in the target; empty where nobody can say it.
        outcome: made, there (it was already, and is the same), or left.
        reason: why it was left; empty for the others.
    """

    kind: str
    name: str
    statement: str
    outcome: str
    reason: str = ""

    @property
    def finding(self) -> Finding:
        """The same among the findings of a migration."""
        subject = f"{self.kind.capitalize()} {self.name!r}"
        if self.outcome == "left":
            how = f": {self.statement}" if self.statement else ""
            return Finding(subject, f"it was not made: {self.reason}", f"Make it by hand{how}", Severity.WARNING)
        found = "it was made" if self.outcome == "made" else "it was there already, and is the same"
        return Finding(subject, found, f"Its statement is {self.statement}", Severity.INFO)

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def make_objects(source: Catalog, target: Catalog, options: MigrationOptions) -> list[Made]:
    """Make what the option `objects` names, one after the other, and look whether the target then has it.

    Parameters:
        source: the source database.
        target: the target database, with its tables.
        options: of the migration.

    Raises:
        TDengineError: a server did not answer.
    """
    there = {(thing.kind, thing.name): thing for thing in things(target, options.object_kinds)}
    # 3.3.3.0, both databases on it, was seen to list an index twice.
    wanted = {(thing.kind, thing.name): thing for thing in things(source, options.object_kinds)}
    made = [_made(source, target, options, thing, there) for thing in wanted.values()]
    listed = {(thing.kind, thing.name) for thing in things(target, options.object_kinds)}
    made = [
        replace(one, outcome="left", reason="the target does not list it after it was made")
        if one.outcome == "made" and (one.kind, one.name) not in listed
        else one
        for one in made
    ]
    for one in made:
        log.log(logging.WARNING if one.outcome == "left" else logging.INFO, "%s", one.finding)
    return made


def _made(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    thing: Leftover,
    there: Mapping[tuple[str, str], Leftover],
) -> Made:
    statement = readdressed(thing.definition, source.name, target.name)
    if reason := "".join(_obstacles(source, target, options, thing)):
        return Made(thing.kind, thing.name, statement, "left", reason)
    if twin := there.get((thing.kind, thing.name)):
        if _plain(twin.definition) == _plain(statement):
            return Made(thing.kind, thing.name, statement, "there")
        return Made(thing.kind, thing.name, statement, "left", f"the target has another one: {twin.definition}")
    try:
        with target.session() as session:
            session.query(statement)
    except TDengineError as error:
        if error.retryable:
            raise
        return Made(thing.kind, thing.name, statement, "left", f"the target refuses it ({error.message})")
    return Made(thing.kind, thing.name, statement, "made")


def _obstacles(source: Catalog, target: Catalog, options: MigrationOptions, thing: Leftover) -> Iterator[str]:
    """Why it cannot be made, the first reason."""
    if not thing.definition:
        yield "the source does not say how it was made"
    elif source.client.generation == 2:
        yield "2.x has another language for it"
    elif options.renames:
        yield "tables or columns have other names in the target; adapt the statement"
    elif thing.kind == "stream" and source.client.server.version < _NEW_STREAMS <= target.client.server.version:
        yield "streams have another language since 3.3.7"


def readdressed(statement: str, source: str, target: str) -> str:
    """A statement with another database in place of the source wherever it qualifies a name, or is a topic's.

    Parameters:
        statement: as the source lists it.
        source: the database that it names.
        target: the one that it is to name.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match["quoted"] or (match["bare"] or "").lower()
        if name != source or not (match["dot"] or match["topic"]):
            return match[0]
        return f"{match['topic'] or ''}{identifier(target)}{match['dot'] or ''}"

    return _QUALIFIER.sub(replaced, statement)


def _plain(statement: str) -> str:
    return " ".join(statement.replace("`", "").lower().replace("if not exists ", "").split())
