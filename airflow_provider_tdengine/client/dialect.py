"""What 2.x and 3.x say differently in SQL: one object a generation, everything else is the same.

Measured on TDengine 2.4.0.18, 2.6.0.66, 3.0.5.2, 3.3.3.0 and 3.3.5.2 (`tests/contract/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from airflow_provider_tdengine.client.errors import UnspeakableName
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.client.types import Field, Precision, Type


@dataclass(frozen=True, slots=True)
class Dialect:
    """The SQL of one generation.

    Parameters:
        generation: 2 or 3.
        quotes_database: whether a database's name takes backticks; 2.4 refuses them everywhere.
        has_select_tags: whether `SELECT TAGS` reads tags, one row a subtable; 3.0 does not have it.
        has_storage: whether columns have ENCODE, COMPRESS and LEVEL.
        confuses_tbname: whether `tbname` means a column of that name where there is one, quoted or not (2.6.0.66).
        has_virtual_tables: whether there are tables and super tables without rows of their own.
        describes_geometry: whether DESCRIBE and SHOW CREATE of a table with GEOMETRY are answered; the adapter of
            3.0.5.2 dies of them.
        forgets_tagged: whether a group that reads a topic is told nothing more of a subtable whose tag is set, nor what
            it was not told yet (measured 3.3.5.2; 3.3.5.8 by its sources, and nobody says that later ones are better).
        days_kept_local: the default of S3_KEEPLOCAL, which 3.3 compares with DURATION also where nothing is in S3.
        clock: asks the present moment; None where nothing does: 2.4 has no NOW(), and 2.6 only beside rows of a table.
        reset: has an adapter of 2.x ask anew which subtables a super table has; None in 3.x, which knows by itself.
            For up to 20 s it remembers that there were none (2.4.0.18, 2.6.0.27), and in which vgroups (2.6.0.27).
        mixes_rows: whether a row of an INSERT in memory and one of a block, which replaces it with a column that came
            between them, end the server when somebody reads them (measured 3.0.5.2; 3.1 and 3.2 were not).
        has_roles: whether rights are those of 3.4, by its documentation: on objects of many kinds, and for roles, too.
    """

    generation: int
    quotes_database: bool
    has_select_tags: bool
    has_storage: bool
    confuses_tbname: bool
    has_virtual_tables: bool
    describes_geometry: bool
    forgets_tagged: bool
    days_kept_local: int
    clock: str | None
    reset: str | None
    mixes_rows: bool
    has_roles: bool

    @classmethod
    @cache
    def of(cls, version: tuple[int, ...]) -> Dialect:
        """The dialect of a server's version, such as (3, 3, 3, 0)."""
        return cls(
            generation=version[0],
            quotes_database=version >= (2, 6),
            has_select_tags=version >= (3, 1),
            has_storage=version >= (3, 3),
            confuses_tbname=(2, 6) <= version < (3,),
            has_virtual_tables=version >= (3, 3, 6),
            # 3.1 and 3.2 were not measured; 2.x has no GEOMETRY.
            describes_geometry=not (3,) <= version < (3, 3),
            forgets_tagged=version >= (3, 3, 5),
            # Within 3.3.4 the one became the other (by its sources); 3.0 has none, which the longest KEEP says.
            days_kept_local=365 if version >= (3, 3, 4) else 3650 if version >= (3, 3) else 365_000,
            clock="SELECT NOW()" if version >= (3,) else None,
            reset="RESET QUERY CACHE" if version < (3,) else None,
            mixes_rows=(3,) <= version < (3, 3),
            has_roles=version >= (3, 4),
        )

    def database(self, name: str) -> str:
        """A database's name as statements say it.

        Raises:
            UnspeakableName: the name needs quotes and this version takes none, or see `sql.is_speakable`.
        """
        if self.quotes_database:
            return identifier(name)
        if not name.replace("_", "").isalnum() or not name.isascii() or name[0].isdigit():
            raise UnspeakableName(f"{name!r} cannot be a database of TDengine before 2.6: letters, digits and _ only")
        return name

    def table(self, database: str, name: str) -> str:
        """A table's name with its database."""
        return f"{self.database(database)}.{identifier(name)}"

    def type_name(self, field: Field) -> str:
        """A column's type as CREATE says it."""
        if self.generation == 2 and field.type is Type.VARCHAR:
            return f"BINARY({field.length})"
        return field.sql_type

    def bounds(self, time_column: str) -> list[str]:
        """Rows, first and last timestamp."""
        ts = identifier(time_column)
        return ["COUNT(*)", f"FIRST({ts})", f"LAST({ts})"]

    def exact_bounds(self, time_column: str) -> list[str]:
        """The same, of 3.x, from each row: FIRST and LAST of a super table of 3.0.5.2 may be garbage up to 1970.

        Measured: LAST of a super table whose rows are all before 1970 comes as 0, or rounded to 24 bits, where a vgroup
        has no row of it; so may FIRST near 1970 as 0. Each subtable's own are right, and 3.3.3.0 and 3.3.5.2 are.
        """
        ts = f"CAST({identifier(time_column)} AS BIGINT)"
        return ["COUNT(*)", f"MIN({ts})", f"MAX({ts})"]

    def create_topic(self, topic: str, database: str) -> str:
        """A topic of all that is written to a database, and of all changes of its tables; 3.x only.

        The database's WAL_RETENTION_PERIOD must not be 0 (code 908), and the account needs the right to read it.
        """
        return f"CREATE TOPIC IF NOT EXISTS {identifier(topic)} WITH META AS DATABASE {self.database(database)}"

    def drop_topic(self, topic: str) -> str:
        """Refused while a topic has consumers; so is DROP DATABASE while it has a topic (code 1005)."""
        return f"DROP TOPIC IF EXISTS {identifier(topic)}"

    def drop_group(self, group: str, topic: str) -> str:
        """Forget a group of a topic, and where it is; refused while it has consumers (code 1004)."""
        return f"DROP CONSUMER GROUP IF EXISTS {identifier(group)} ON {identifier(topic)}"

    def grant_reading(self, database: str, user: str) -> str:
        """What gives an account the right to read a database; 3.x only."""
        name = self.database(database)
        if self.has_roles:
            return f"GRANT USE, SHOW ON DATABASE {name} TO {user}; GRANT SELECT, SHOW ON {name}.* TO {user}"
        return f"GRANT READ ON {name}.* TO {user}"

    def grant_writing(self, database: str, user: str) -> str:
        """What gives an account all rights on a database; 3.x only."""
        name = self.database(database)
        whole = f"GRANT ALL ON DATABASE {name} TO {user}; " if self.has_roles else ""
        return f"{whole}GRANT ALL ON {name}.* TO {user}"

    def grant_creating(self, user: str) -> str:
        """What lets an account create databases; 3.1 and later."""
        return f"GRANT CREATE DATABASE TO {user}" if self.has_roles else f"ALTER USER {user} CREATEDB 1"

    def by_table(self, table: str, aggregates: list[str], conditions: str) -> str:
        """Aggregates of each subtable: its name, then these; 2.x appends the name a second time.

        Subtables without rows are missing in 2.x and 3.0, and have 0 rows in 3.3.
        """
        grouping = "GROUP BY" if self.generation == 2 else "PARTITION BY"
        return f"SELECT {', '.join(['tbname', *aggregates])} FROM {table}{conditions} {grouping} tbname"

    def by_slice(self, table: str, conditions: str, width: int, precision: Precision, *, is_super: bool) -> str:
        """Rows by slices of time, those without rows left out: start of the slice, rows, and the subtable's name.

        Slices begin at multiples of their width, in all precisions (measured 2.4.0.18, 2.6.0.27, 3.0.5.2, 3.3.3.0).

        Parameters:
            table: a super table, or a normal table, of which no name comes.
            conditions: the WHERE clause.
            width: of a slice, in steps of the precision.
            precision: of the database.
            is_super: whether it is a super table.
        """
        slices = f"INTERVAL({width}{precision.unit})"
        if self.generation == 2:
            return f"SELECT COUNT(*) FROM {table}{conditions} {slices}" + (" GROUP BY tbname" if is_super else "")
        name, parts = (", tbname", " PARTITION BY tbname") if is_super else ("", "")
        return f"SELECT _wstart, COUNT(*){name} FROM {table}{conditions}{parts} {slices}"

    def distribution(self, table: str) -> str:
        """How the rows of a table lie in files, as text."""
        if self.generation == 2:
            return f"SELECT _block_dist() FROM {table}"
        return f"SHOW TABLE DISTRIBUTED {table}"

    def tags(self, table: str, tags: list[Field], conditions: str) -> str:
        """Each subtable once, empty ones too: its name and its tags."""
        columns = ", ".join(["tbname", *(identifier(tag.name) for tag in tags)])
        if self.generation == 2:
            # 2.x answers one row a subtable when only tags are asked for.
            return f"SELECT {columns} FROM {table}{conditions}"
        if self.has_select_tags:
            return f"SELECT TAGS {columns} FROM {table}{conditions}"
        return f"SELECT DISTINCT {columns} FROM {table}{conditions}"
