"""TTL and COMMENT of tables, which 3.x has and a migration carries over, and the options that stay behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch

from typing_extensions import Self

from airflow_provider_tdengine.client.result import as_name, as_number
from airflow_provider_tdengine.client.sql import string
from airflow_provider_tdengine.migration.catalog import Catalog, Table
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.rows import Transform
from airflow_provider_tdengine.migration.structure.not_migrated import Leftover

# Comments are stored as they stand between the quotes of CREATE, escapes and all (measured 3.0.5.2, 3.3.3.0).
_IN_SINGLE_QUOTES = re.compile(r"(?:\\.|''|[^'\\])*", re.DOTALL)

# At the end of SHOW CREATE STABLE of 3.3; 3.0 does not say it.
_SMA = re.compile(r" (SMA\((?:`[^`]*`,?)+\))$")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Options of a super table, subtable or normal table.

    Parameters:
        is_super: whether it is one of a super table.
        ttl: days after its creation at which the server drops it; 0 for never, and for super tables.
        comment: as it stands between its quotes.
    """

    is_super: bool
    ttl: int
    comment: str

    @property
    def sql(self) -> str:
        """What CREATE says of them, with a space before it; nothing for none."""
        quote = "'" if _IN_SINGLE_QUOTES.fullmatch(self.comment) else '"'
        ttl = f" TTL {self.ttl}" if self.ttl else ""
        return ttl + (f" COMMENT {quote}{self.comment}{quote}" if self.comment else "")


_NONE = TableOptions(is_super=False, ttl=0, comment="")


@dataclass(frozen=True, slots=True)
class OptionsOfTables:
    """Options of all tables that have some, by the names that the tables have in the target.

    Parameters:
        wanted: those of the source.
        there: those of the target.
    """

    wanted: Mapping[str, TableOptions]
    there: Mapping[str, TableOptions]

    @classmethod
    def read(cls, source: Catalog, target: Catalog, transform: Transform) -> Self:
        """The options of both sides; nothing for a target that is missing.

        Parameters:
            source: the source database.
            target: the target database.
            transform: the new names of tables.
        """
        wanted = {
            (transform.stables if options.is_super else transform.tables)(name): options
            for name, options in table_options(source)
        }
        return cls(wanted, dict(table_options(target)))

    def sql(self, name: str) -> str:
        """What CREATE of a table ends with."""
        return self.wanted.get(name, _NONE).sql

    def findings(self, target: Catalog, name: str) -> Iterator[Finding]:
        """A TTL that would delete a table of the target earlier than the source deletes its own."""
        ours, theirs = self.wanted.get(name, _NONE).ttl, self.there.get(name, _NONE).ttl
        if theirs and (not ours or theirs < ours):
            yield Finding(
                f"Table {name!r}",
                f"the target drops it {theirs} days after its creation (TTL), the source "
                + (f"{ours} days after its own" if ours else "keeps it"),
                f"In the target: ALTER TABLE {target.table(name)} TTL {ours}",
                kind="TTL",
            )


@singledispatch
def table_options(catalog: Catalog) -> Iterator[tuple[str, TableOptions]]:
    """The options of each table that has some."""
    if catalog.client.generation == 2:
        return
    views = (
        ("stable_name, 0, table_comment", "ins_stables", "table_comment IS NOT NULL"),
        ("table_name, `ttl`, table_comment", "ins_tables", "(`ttl` > 0 OR table_comment IS NOT NULL)"),
    )
    for columns, view, condition in views:
        statement = f"SELECT {columns} FROM information_schema.{view} WHERE db_name = {string(catalog.name)} AND "
        for name, ttl, comment in catalog.rows(statement + condition, 3):
            yield as_name(name), TableOptions(view == "ins_stables", as_number(ttl), str(comment or ""))


@singledispatch
def table_options_not_taken(source: Catalog, tables: Iterable[Table]) -> Iterator[Leftover]:
    """Options of super tables that are not carried over: ROLLUP, with what belongs to it, and SMA.

    Parameters:
        source: the source database.
        tables: of the source.
    """
    if source.client.generation == 2:
        return
    view = f"SELECT * FROM information_schema.ins_stables WHERE db_name = {string(source.name)}"
    rollups = {str(row["stable_name"]): row for row in source.by_column_name(view) if row["rollup"]}
    for name in (table.name for table in tables if table.is_super):
        if row := rollups.get(name):
            rollup, watermark, delay = (str(row[option]) for option in ("rollup", "watermark", "max_delay"))
            yield Leftover("table option", name, f"ROLLUP({rollup}) WATERMARK {watermark} MAX_DELAY {delay}")
        for _, created in source.rows(f"SHOW CREATE STABLE {source.table(name)}", 2):
            if match := _SMA.search(str(created)):
                yield Leftover("table option", name, match[1])
