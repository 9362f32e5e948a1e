"""SQL over REST, both generations: the last resort for copying, and what serves SQL in hooks.

Answers as recorded in `tests/contract/`: 3.x gives a code, 2.x a status; both send errors with HTTP 200.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from types import TracebackType
from urllib.parse import quote, urlencode

from typing_extensions import Self

from airflow_provider_tdengine.client.address import APP, Address, login_refused
from airflow_provider_tdengine.client.answers import Answer, listed_columns, moment_of
from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.errors import (
    AnswerError,
    AuthenticationFailed,
    IncompleteResult,
    PermissionDenied,
    ServerBusy,
    TDengineError,
    Timeout,
    UnsupportedServer,
    error_for,
    shorten,
)
from airflow_provider_tdengine.client.http import HttpAnswer, HttpConnection
from airflow_provider_tdengine.client.result import as_number
from airflow_provider_tdengine.client.types import Precision, Type

_STATUS: dict[int, type[TDengineError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    429: ServerBusy,
    502: ServerBusy,
    503: ServerBusy,
    504: ServerBusy,
}
_OK = 200
_LARGEST = (1 << 63) - 1

_SHOWN = 200


class RestSession:
    """Statements over REST. Stateless at the server: `close` only gives back the TCP connection.

    Parameters:
        address: the server and account.
        generation: 2 or 3; decides where exact timestamps are asked for.
        database: the database of statements that name none.
    """

    def __init__(self, address: Address, generation: int = 3, database: str | None = None) -> None:
        self._address = address
        self._generation = generation
        self.bytes_sent = 0
        self.database = database or address.database
        self.waited = 0.0
        self._date: datetime | None = None
        self._http = HttpConnection(address)
        self._headers = (("Accept-Encoding", "identity"), *_authorization(address))

    def query(self, statement: str) -> RestResult:
        """Send a statement and take its whole answer.

        Raises:
            TDengineError: of the kind of failure.
        """
        # sqlt of 2.x says timestamps as integers; 3.x has only text, which keeps all digits.
        answer = self.post(statement, "sqlt" if self._generation == 2 else "sql")
        return RestResult(answer, statement)

    def start(self, statement: str) -> Callable[[], RestResult]:
        """What `query` answers, for later: over REST a statement is done when it has been sent.

        Raises:
            TDengineError: of the kind of failure.
        """
        result = self.query(statement)
        return lambda: result

    def streams(self, statement: str) -> bool:
        """Whether a statement's answer comes block by block: never."""
        return False

    def date(self) -> datetime:
        """The moment that the head of an answer says, cut to the second: taosAdapter's clock.

        Raises:
            AnswerError: the answer does not say it.
            TDengineError: of the kind of failure.
        """
        self.post("select server_version()")
        if self._date is None:
            raise AnswerError(f"{self._address} answers without a Date; does a proxy take it away?")
        return self._date

    def post(self, statement: str, verb: str = "sql", time_zone: str | None = None) -> Answer:
        """The JSON of an answer that was a success.

        Parameters:
            statement: SQL.
            verb: what follows /rest/: sql, sqlt (2.x, integers for timestamps), sqlutc (2.x).
            time_zone: IANA name in which 3.x writes timestamps.

        Raises:
            TDengineError: of the kind of failure.
        """
        path = f"/rest/{verb}/{quote(self.database, safe='')}" if self.database else f"/rest/{verb}"
        given = {"token": self._address.token, "tz": time_zone, "app": APP}
        query = urlencode({name: value for name, value in given.items() if value})
        content = statement.encode("utf-8", "surrogateescape")
        self.bytes_sent += len(content)
        began = time.monotonic()
        self._http.connect()
        try:
            response = self._http.request("POST", f"{path}?{query}", self._headers, content, self._address.timeout)
        except (Timeout, UnsupportedServer) as error:
            error.statement = statement
            raise
        finally:
            self.waited += time.monotonic() - began
        self._date = moment_of(response.date)
        return _checked(self._address, response, statement)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _authorization(address: Address) -> tuple[tuple[str, str], ...]:
    if address.token:
        return ()
    if address.bearer_token:
        return (("Authorization", f"Bearer {address.bearer_token}"),)
    account = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
    return (("Authorization", f"Basic {account}"),)


def _checked(address: Address, response: HttpAnswer, statement: str) -> Answer:
    # Values of VARCHAR need not be UTF-8.
    text = response.content.decode("utf-8", "surrogateescape")
    try:
        answer = Answer.of(text, address)
    except AnswerError as error:
        if response.status_code == _OK and text.lstrip().startswith("{"):
            raise IncompleteResult(f"The answer of {address} is cut or damaged", statement=statement) from error
        raise _no_answer_of_tdengine(address, response, text) from error
    if "code" not in answer and "status" not in answer:
        raise _no_answer_of_tdengine(address, response, text)
    if (code := answer.whole("code", least=-_LARGEST, most=_LARGEST)) or answer.text("status") == "error":
        refusal = error_for(code, answer.text("desc"), statement)
        if response.status_code in _STATUS and response.status_code not in (401, 403):
            raise ServerBusy(f"{address} cannot do it now. {refusal.message}", code=code, statement=statement)
        raise login_refused(address, refusal) if isinstance(refusal, AuthenticationFailed) else refusal
    if "head" in answer and "column_meta" not in answer:
        raise UnsupportedServer(f"{address} answers as TDengine 1.x does; this provider needs 2.4 or later")
    return answer


def _no_answer_of_tdengine(address: Address, response: HttpAnswer, text: str) -> TDengineError:
    status = response.status_code
    kind = _STATUS.get(status, ServerBusy if status >= 500 else UnsupportedServer)
    if kind is AuthenticationFailed:
        return login_refused(address, AuthenticationFailed(f"HTTP {status}"))
    said = shorten(text, _SHOWN).encode("utf-8", "replace").decode()
    return kind(f"{address} does not answer as TDengine's REST does, but HTTP {status}: {said or 'nothing'}")


class RestResult:
    """The answer to a statement over REST, whole.

    Parameters:
        answer: a success.
        statement: for errors.

    Attributes:
        data: the rows as they arrived, a list of values each; none for a statement that changes something.

    Raises:
        IncompleteResult: rows are missing, or values of them.
        AnswerError: a part of the answer is of another kind.
        UnsupportedServer: a column is of a type that is not known.
    """

    def __init__(self, answer: Answer, statement: str) -> None:
        self._statement = statement
        rows = answer.items("data")
        announced = answer.whole("rows", len(rows))
        fields = listed_columns(answer.items("column_meta"))
        if announced != len(rows):
            raise IncompleteResult(f"{len(rows)} rows arrived where {announced} were announced", statement=statement)
        self.data = [row for row in rows if isinstance(row, list) and len(row) == len(fields)]
        if len(self.data) != len(rows):
            raise IncompleteResult(f"a row arrived that has not {len(fields)} values", statement=statement)
        is_update = [(field.name, field.type) for field in fields] == [("affected_rows", Type.INT)]
        self.affected = as_number(self.data[0][0]) if is_update and self.data else 0
        if is_update:
            self.data = []
        self.fields = () if is_update else fields
        self._times = [i for i, field in enumerate(self.fields) if field.type is Type.TIMESTAMP]
        self.precision = self._precision()

    def _precision(self) -> Precision | None:
        """From the digits of 3.x timestamps; the integers of 2.x do not say what they count."""
        for row in self.data:
            for i in self._times:
                match = _RFC3339.fullmatch(row[i]) if isinstance(row[i], str) else None
                if match and match[4]:
                    return Precision.of_number((len(match[4]) + 2) // 3 - 1)
        return None

    def blocks(self) -> Iterator[Block]:
        """The rows as one block."""
        if not self.data:
            return
        columns = []
        for i, field in enumerate(self.fields):
            values: Sequence[Value] = [row[i] for row in self.data]
            if field.type is Type.TIMESTAMP:
                values = [parse_timestamp(value, self.precision or Precision.MS) for value in values]
            elif field.type is Type.JSON:
                values = [None if value is None else _json(value) for value in values]
            elif field.type in (Type.VARBINARY, Type.GEOMETRY, Type.BLOB):
                values = [_from_hex(value) if isinstance(value, str) else value for value in values]
            columns.append(column_from_list(field, values))
        yield Block(self.fields, tuple(columns), len(self.data))


def _json(value: Value) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise AnswerError("a JSON value arrived that is nested too deeply") from error


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise IncompleteResult(f"{shorten(text, _SHOWN)!r} arrived where hexadecimal digits were expected") from error


# Years of milliseconds and microseconds go beyond four digits, and below 0 (3.3.3.0).
_RFC3339 = re.compile(r"(-?\d{4,9})(-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)

# The calendar repeats itself so often; `datetime` has the years from 1 to 9999 only.
_CYCLE_YEARS, _CYCLE_SECONDS = 400, 146_097 * 86_400


def parse_timestamp(value: Value, precision: Precision) -> int | None:
    """A timestamp as an answer writes it, as an integer; no digit is lost.

    Parameters:
        value: an integer already, text such as 2021-01-01T00:00:00.000000001Z, or None.
        precision: what the integer shall count.

    Raises:
        IncompleteResult: the text is no timestamp.
    """
    if value is None or isinstance(value, int):
        return value
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        found = repr(shorten(value, _SHOWN)) if isinstance(value, str) else f"a {type(value).__name__}"
        raise IncompleteResult(f"{found} arrived where a timestamp was expected")
    year, day, clock, fraction, zone = match.groups()
    cycles, year_of_cycle = divmod(int(year) - 2000, _CYCLE_YEARS)
    try:
        seconds = _seconds(f"{2000 + year_of_cycle}{day}", clock, zone) + cycles * _CYCLE_SECONDS
    except ValueError as error:
        raise IncompleteResult(f"{value!r} arrived where a timestamp was expected: {error}") from error
    digits = 3 * (precision.number + 1)
    return seconds * precision.per_second + int((fraction or "0").ljust(9, "0")[:digits])


def _seconds(day: str, clock: str, zone: str | None) -> int:
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in (None, 'Z') else zone}")
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
