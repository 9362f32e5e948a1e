"""What a statement says, as values: the parser builds them, the engine carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from airflow_provider_tdengine.client.types import Field

# --- Expressions


@dataclass(frozen=True)
class Literal:
    """A number, a text, true, false or NULL; `raw` is a text between its quotes as it was written."""

    value: int | float | str | bool | None
    raw: str = ""


@dataclass(frozen=True)
class Duration:
    """A length of time such as 5a or 1d."""

    count: int
    unit: str


@dataclass(frozen=True)
class Name:
    """A column, a tag, or a pseudo column such as tbname and _wstart."""

    name: str


@dataclass(frozen=True)
class Star:
    """All columns."""


@dataclass(frozen=True)
class Call:
    """A function and what it is applied to."""

    function: str
    arguments: tuple[Expression, ...]
    distinct: bool = False


@dataclass(frozen=True)
class Cast:
    """CAST(expression AS type)."""

    operand: Expression
    target: Field


@dataclass(frozen=True)
class Unary:
    """`-` or `not`."""

    operator: str
    operand: Expression


@dataclass(frozen=True)
class Binary:
    """Two expressions and what is between them."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class IsNull:
    """IS [NOT] NULL."""

    operand: Expression
    negated: bool


@dataclass(frozen=True)
class In:
    """[NOT] IN (...)."""

    operand: Expression
    values: tuple[Expression, ...]
    negated: bool


@dataclass(frozen=True)
class Like:
    """[NOT] LIKE, with % and _ in the pattern; MATCH and NMATCH, with a regular expression."""

    operand: Expression
    pattern: str
    negated: bool
    regular: bool = False


Expression: TypeAlias = Literal | Duration | Name | Star | Call | Cast | Unary | Binary | IsNull | In | Like


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside of one."""
    match expression:
        case Call(arguments=arguments):
            return arguments
        case Cast(operand=operand) | Unary(operand=operand) | IsNull(operand=operand) | Like(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case In(operand=operand, values=values):
            return (operand, *values)
        case _:
            return ()


# --- Parts of statements


@dataclass(frozen=True)
class TableName:
    """A table, a super table or a view of the catalog.

    Parameters:
        database: None where the statement leaves it to the session.
        name: without backticks.
        quoted_database: the database stood between backticks, which 2.4 does not understand.
    """

    database: str | None
    name: str
    quoted_database: bool = False


@dataclass(frozen=True)
class Column:
    """A column or tag of a CREATE statement."""

    field: Field
    primary_key: bool = False
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class SelectItem:
    """An expression of the SELECT list and what its column is called."""

    expression: Expression
    heading: str


@dataclass(frozen=True)
class Order:
    """A key of ORDER BY."""

    expression: Expression
    descending: bool


# --- Statements


@dataclass(frozen=True)
class Select:
    """SELECT, as far as the box takes it."""

    items: tuple[SelectItem, ...]
    source: TableName | Select | None = None
    where: Expression | None = None
    group: tuple[Expression, ...] = ()
    partition: tuple[Expression, ...] = ()
    interval: Duration | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    distinct: bool = False
    tags: bool = False


@dataclass(frozen=True)
class Union:
    """The rows of several SELECT, UNION ALL between them."""

    selects: tuple[Select, ...]


@dataclass(frozen=True)
class CreateDatabase:
    """CREATE DATABASE."""

    name: str
    quoted: bool
    if_not_exists: bool
    options: dict[str, str]


@dataclass(frozen=True)
class AlterDatabase:
    """ALTER DATABASE."""

    name: str
    options: dict[str, str]


@dataclass(frozen=True)
class DropDatabase:
    """DROP DATABASE."""

    name: str
    quoted: bool
    if_exists: bool


@dataclass(frozen=True)
class ResetCache:
    """RESET QUERY CACHE."""


@dataclass(frozen=True)
class FlushDatabase:
    """FLUSH DATABASE."""

    name: str


@dataclass(frozen=True)
class UseDatabase:
    """USE."""

    name: str


@dataclass(frozen=True)
class CreateTopic:
    """CREATE TOPIC ... WITH META AS DATABASE of 3.x."""

    name: str
    if_not_exists: bool
    database: str
    sql: str


@dataclass(frozen=True)
class DropGroup:
    """DROP CONSUMER GROUP."""

    name: str
    topic: str
    if_exists: bool


@dataclass(frozen=True)
class DropTopic:
    """DROP TOPIC."""

    name: str
    if_exists: bool


@dataclass(frozen=True)
class CreateTable:
    """CREATE STABLE, or CREATE TABLE with columns; a normal table has no tags."""

    name: TableName
    if_not_exists: bool
    columns: tuple[Column, ...]
    tags: tuple[Column, ...]
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DropTables:
    """DROP TABLE or DROP STABLE."""

    names: tuple[tuple[TableName, bool], ...]
    stable: bool


@dataclass(frozen=True)
class AlterTable:
    """ALTER TABLE or ALTER STABLE: add, drop, modify or rename a column or tag."""

    name: TableName
    action: str
    is_tag: bool
    column: str
    field: Field | None = None
    new_name: str = ""


@dataclass(frozen=True)
class AlterTableOption:
    """ALTER TABLE ... TTL and COMMENT."""

    name: TableName
    option: str
    value: str


@dataclass(frozen=True)
class SetTags:
    """ALTER TABLE ... SET TAG."""

    name: TableName
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Describe:
    """DESCRIBE."""

    name: TableName


@dataclass(frozen=True)
class ShowCreate:
    """SHOW CREATE DATABASE, TABLE or STABLE."""

    kind: str
    name: TableName


@dataclass(frozen=True)
class Show:
    """SHOW of something that there is a list of.

    Parameters:
        what: such as "databases" and "tables".
        database: where the statement names one.
        like: a pattern for the names.
        table: whose tags SHOW TABLE TAGS shows.
    """

    what: str
    database: str | None = None
    like: str | None = None
    table: TableName | None = None


@dataclass(frozen=True)
class Delete:
    """DELETE FROM."""

    name: TableName
    where: Expression | None


@dataclass(frozen=True)
class CreateUser:
    """CREATE USER."""

    name: str
    password: str
    create_databases: bool
    sysinfo: bool


@dataclass(frozen=True)
class AlterUser:
    """ALTER USER: a new password, 2.x's privilege, or 3.x's CREATEDB and SYSINFO; None where it stays."""

    name: str
    password: str | None = None
    privilege: str | None = None
    create_databases: bool | None = None
    sysinfo: bool | None = None


@dataclass(frozen=True)
class DropUser:
    """DROP USER."""

    name: str


@dataclass(frozen=True)
class Grant:
    """GRANT and REVOKE of 3.x.

    Parameters:
        rights: "read", "write", "all", ...
        database: a name, or "*".
        table: a name, or "*".
        condition: on tags, as it is written; empty for none.
        user: who gets or loses the rights.
        revoke: loses.
    """

    rights: tuple[str, ...]
    database: str
    table: str
    condition: str
    user: str
    revoke: bool


Statement: TypeAlias = (
    Select
    | Union
    | CreateDatabase
    | AlterDatabase
    | DropDatabase
    | ResetCache
    | FlushDatabase
    | UseDatabase
    | CreateTopic
    | DropGroup
    | DropTopic
    | CreateTable
    | DropTables
    | AlterTable
    | AlterTableOption
    | SetTags
    | Describe
    | ShowCreate
    | Show
    | Delete
    | CreateUser
    | AlterUser
    | DropUser
    | Grant
)
