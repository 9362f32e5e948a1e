"""A DB-API (PEP 249) connection to TDengine: taospy's REST classes on this package's transport. Knows no Airflow.

taospy's own transport trusts any certificate or none, logs addresses, and cuts timestamps of ns databases;
its cursor ignores parameters. What is taken from it is the shape that programs know (`server_info`, `query`,
`istype` and so on work), what is replaced is how statements and rows travel.

Values: timestamps of ms and us databases are aware datetimes in the connection's time zone. Those of ns
databases are RFC 3339 text with nine digits, such as `2021-01-01T08:00:00.000000001+08:00`: a datetime ends at
microseconds, and this text sorts, reads and can be bound again without losing a digit. 2.x does not say over
REST which precision a database has: there, timestamps become text as soon as one of a result has digits below
a microsecond. JSON is text; VARBINARY and GEOMETRY are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from itertools import islice
from typing import TypeAlias, TypedDict

import numpy as np
from taosrest import RestClient, TaosRestConnection, TaosRestCursor  # type: ignore[import-untyped]
from taosrest.errors import ProgrammingError  # type: ignore[import-untyped]

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import StatementRejected, TDengineError
from airflow_provider_tdengine.client.rest import RestResult, RestSession, parse_timestamp
from airflow_provider_tdengine.client.sql import bind, cut
from airflow_provider_tdengine.client.types import Precision, Type

Parameters: TypeAlias = Mapping[str, object] | Iterable[object] | None
Cell: TypeAlias = Value | datetime
Row: TypeAlias = tuple[Cell, ...]
ColumnDescription: TypeAlias = tuple[str, str, None, int, None, None, None]


class _TaospyAnswer(TypedDict):
    """An answer as taospy's classes read it."""

    code: int
    column_meta: list[tuple[str, str, int]]
    data: list[Row]
    rows: int


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Digits behind a timestamp's point that a datetime can hold.
_DATETIME_DIGITS = 6
_FRACTION = re.compile(r"\.(\d+)")

_USE = re.compile(r"\s*use\s+(?:`([^`]+)`|(\w+))\s*;?\s*", re.IGNORECASE)
_ONE_ROW_INSERT = re.compile(
    r"(\s*insert\s.*\bvalues)\s*(\(\s*(?:%s|\?)(?:\s*,\s*(?:%s|\?))*\s*\))\s*;?\s*", re.IGNORECASE | re.DOTALL
)
_TOKEN = re.compile(
    r"""'(?:\\.|''|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<end>;)|(?P<text>\S)""",
    re.DOTALL,
)


def split(sql: str) -> list[str]:
    """The statements of a text, without the semicolons between them and without those that are only comments.

    Quotes are read as TDengine reads them, a backslash before a quote included.
    """
    statements: list[str] = []
    start, has_content = 0, False
    for match in _TOKEN.finditer(sql):
        if match["end"]:
            if has_content:
                statements.append(sql[start : match.start()].strip())
            start, has_content = match.end(), False
        elif not match["comment"]:
            has_content = True
    if has_content:
        statements.append(sql[start:].strip())
    return statements


class Transport(RestClient):  # type: ignore[misc]
    """Where taospy's classes send their statements.

    Parameters:
        address: the server and account.
        generation: 2 or 3.
        zone: the time zone of datetimes in answers.
    """

    def __init__(self, address: Address, generation: int, zone: tzinfo) -> None:
        # RestClient's own __init__ would build another transport.
        self.zone = zone
        self._address = address
        self._generation = generation
        self._session = RestSession(address, generation)

    def sql(self, q: str, req_id: int | None = None) -> _TaospyAnswer:
        """Send a statement and take its whole answer.

        `USE` holds for the statements after it, though REST knows no sessions.

        Parameters:
            q: one statement.
            req_id: not sent; taospy's signature has it.

        Raises:
            TDengineError: of the kind of failure.
        """
        answer = self._session.post(q, "sqlutc" if self._generation == 2 else "sql")
        if use := _USE.fullmatch(q):
            self._session.close()
            self._session = RestSession(self._address, self._generation, use[1] or use[2])
        result = RestResult(answer, q)
        if not result.fields:
            meta = [("affected_rows", Type.INT.name, 4)]
            return {"code": 0, "column_meta": meta, "data": [(result.affected,)], "rows": 1}
        rows = _rows(result, self.zone)
        columns = [(field.name, field.info.sql, field.length) for field in result.fields]
        return {"code": 0, "column_meta": columns, "data": rows, "rows": len(rows)}

    def close(self) -> None:
        self._session.close()


class TDengineConnection(TaosRestConnection):  # type: ignore[misc]
    """A connection as PEP 249 describes it. There are no transactions: every statement is final when it returns.

    Parameters:
        address: the server and account.
        generation: 2 or 3.
        zone: the time zone of datetimes in answers, and of naive datetimes in parameters.
    """

    def __init__(self, address: Address, generation: int, zone: tzinfo = timezone.utc) -> None:
        # TaosRestConnection's own __init__ would build taospy's transport.
        self._client = Transport(address, generation, zone)

    @property
    def autocommit(self) -> bool:
        """Always true; setting it changes nothing."""
        return True

    @autocommit.setter
    def autocommit(self, value: bool) -> None: ...

    def cursor(self) -> TDengineCursor:
        return TDengineCursor(self._client)

    def close(self) -> None:
        self._client.close()


class TDengineCursor(TaosRestCursor):  # type: ignore[misc]
    """A cursor as PEP 249 describes it; it holds the whole result. For bulk data there is the client."""

    _c: Transport
    _response: _TaospyAnswer | None

    @property
    def description(self) -> list[ColumnDescription] | None:
        """The columns of the last query: name, type's name and size (bytes; characters for NCHAR), each 7 items.

        None before the first statement, and after one that returns no rows.
        """
        if self._response is None or self._affected_rows is not None:
            return None
        return [(name, kind, None, size, None, None, None) for name, kind, size in self._response["column_meta"]]

    def execute(self, operation: str, parameters: Parameters = None, req_id: int | None = None) -> int | None:
        """Run one statement.

        Parameters:
            operation: SQL, with `?` or `%s` for a sequence of parameters, `%(name)s` for a mapping.
            parameters: values, written as literals; naive datetimes and dates are in the connection's time zone.
            req_id: not sent; taospy's signature has it.

        Returns:
            Rows that the statement changed, None for a query.

        Raises:
            ValueError: parameters and placeholders do not match, or a value cannot be written in SQL.
            TDengineError: of the kind of failure. The statement in it shows no values of parameters.
        """
        if (count := len(split(operation))) > 1:
            raise StatementRejected(
                f"{count} statements in one: TDengine would run the first and silently ignore the rest; send them "
                "one by one (in Airflow: split_statements=True, or a list)",
                statement=operation,
            )
        return self._send(_bind(operation, parameters, self._c.zone), operation)

    def executemany(self, operation: str, parameters: Iterable[Parameters] = (), req_id: int | None = None) -> None:
        """Run a statement once for each set of parameters.

        An INSERT whose VALUES are placeholders only sends as many rows in a request as a statement may hold.

        Parameters:
            operation: as of `execute`.
            parameters: sets of them.
            req_id: not sent; taospy's signature has it.

        Raises:
            ValueError: as `execute`.
            TDengineError: as `execute`; rows of earlier requests have been written.
        """
        changed = 0
        head, row = _split_insert(operation)
        if row is None:
            for values in parameters:
                changed += self.execute(operation, values) or 0
        else:
            rows = (_bind(row, values, self._c.zone) for values in parameters)
            for statement, _ in cut(head, rows):
                changed += self._send(statement, operation) or 0
        self._rowcount = changed

    def _send(self, statement: str, shown: str) -> int | None:
        try:
            changed: int | None = super().execute(statement)
        except TDengineError as error:
            error.statement = shown
            raise
        return changed

    def fetchone(self) -> Row | None:
        """The next row, None at the end."""
        self._check_rows()
        row: Row | None = super().fetchone()
        return row

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next rows, at most `size` (by default `arraysize`, 1) of them; none at the end."""
        self._check_rows()
        return list(islice(self, self.arraysize if size is None else size))

    def fetchall(self) -> list[Row]:
        """The rows that are left."""
        self._check_rows()
        rows: list[Row] = super().fetchall()
        return rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fetchone, None)

    def close(self) -> None:
        self._response = None

    def _check_rows(self) -> None:
        if self.description is None:
            raise ProgrammingError("there are no rows to fetch: no query was executed, or the cursor is closed")


# --- Parameters


def _bind(statement: str, parameters: Parameters, zone: tzinfo) -> str:
    if parameters is None:
        return statement
    if isinstance(parameters, Mapping):
        return bind(statement, {name: _parameter(value, zone) for name, value in parameters.items()})
    if isinstance(parameters, (str, bytes)):
        raise ValueError("parameters are a sequence or a mapping, not text; for one parameter: (value,)")
    return bind(statement, [_parameter(value, zone) for value in parameters])


def _split_insert(operation: str) -> tuple[str, str | None]:
    """What stands before the values of an INSERT, and the placeholders of a row; None where rows cannot be joined."""
    insert = _ONE_ROW_INSERT.fullmatch(operation)
    if insert is None:
        return operation, None
    try:
        return bind(insert[1], ()), insert[2]
    except ValueError:
        # The table is a parameter, too.
        return operation, None


def _parameter(value: object, zone: tzinfo) -> object:
    """A value that `literal` can write: naive moments get the connection's zone."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=zone)
        # pandas' timestamps have nanoseconds, which the text of a datetime leaves out.
        return aware.isoformat() if getattr(value, "nanosecond", 0) else aware
    if isinstance(value, date):
        return datetime.combine(value, time(), zone)
    if isinstance(value, np.datetime64):
        # As numpy counts them, from 1970 in UTC.
        return None if np.isnat(value) else f"{value.astype('datetime64[ns]')}+00:00"
    if isinstance(value, np.timedelta64):
        raise ValueError("a duration cannot be written in SQL")
    return value


# --- Rows


def _rows(result: RestResult, zone: tzinfo) -> list[Row]:
    block = next(result.blocks(), None)
    if block is None:
        return []
    times = [i for i, field in enumerate(result.fields) if field.type is Type.TIMESTAMP]
    as_text = any(_digits(row[i]) > _DATETIME_DIGITS for row in result.data for i in times)
    columns: list[Sequence[Cell]] = [
        [_moment(row[i], zone, as_text) for row in result.data] if i in times else block.column_values(i)
        for i in range(len(result.fields))
    ]
    return list(zip(*columns, strict=True))


def _digits(timestamp: Value) -> int:
    fraction = _FRACTION.search(timestamp) if isinstance(timestamp, str) else None
    return len(fraction[1]) if fraction else 0


def _moment(timestamp: Value, zone: tzinfo, as_text: bool) -> datetime | str | None:
    nanoseconds = parse_timestamp(timestamp, Precision.NS)
    if nanoseconds is None:
        return None
    seconds, fraction = divmod(nanoseconds, Precision.NS.per_second)
    try:
        moment = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone)
    except (OverflowError, ValueError):
        # Python's years end with 9999; TDengine's do not (3.3.3.0).
        return str(timestamp)
    if not as_text:
        return moment.replace(microsecond=fraction // 1000)
    offset = moment.isoformat(timespec="seconds")[19:]
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}{offset}"
