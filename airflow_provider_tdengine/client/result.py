"""What a session is and what it answers: the same over WebSocket and REST."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

from typing_extensions import Self

from airflow_provider_tdengine.client.block import Block, Value
from airflow_provider_tdengine.client.errors import AnswerError, shorten
from airflow_provider_tdengine.client.types import Field, Precision


class Result(Protocol):
    """The answer to a statement."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns; none for a statement that changes something."""
        ...

    @property
    def affected(self) -> int:
        """Rows that the statement changed; 0 for a query."""
        ...

    @property
    def precision(self) -> Precision | None:
        """What the integers of TIMESTAMP columns count; None where the answer does not say (REST of 2.x)."""
        ...

    def blocks(self) -> Iterator[Block]:
        """The rows, block by block; each block can be read once."""
        ...


class Session(Protocol):
    """A logged-in session. One thread uses it at a time.

    Attributes:
        database: of statements that name none, None for none.
        waited: seconds for which it has waited for answers.
    """

    database: str | None
    waited: float

    @property
    def bytes_sent(self) -> int:
        """Bytes of all statements and blocks so far, confirmed or not."""
        ...

    def query(self, statement: str) -> Result:
        """Send a statement; its rows are read through the result."""
        ...

    def start(self, statement: str) -> Callable[[], Result]:
        """Send a statement; what is returned waits for its answer."""
        ...

    def streams(self, statement: str) -> bool:
        """Whether a statement's answer comes block by block, and not in one piece."""
        ...

    def close(self) -> None:
        """End the session; harmless when it has ended."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def as_number(value: Value) -> int:
    """A value that is a whole number.

    Raises:
        AnswerError: it is something else.
    """
    if not isinstance(value, int):
        raise AnswerError(f"The server answered with {_said(value)}, where a whole number was expected")
    return value


def as_name(value: Value) -> str:
    """A value that is a name, or another text that statements are made of.

    Raises:
        AnswerError: it is something else, or no UTF-8, which statements and files are.
    """
    try:
        if isinstance(value, str):
            value.encode()
            return value
    except UnicodeEncodeError:
        pass
    raise AnswerError(f"The server answered with {_said(value)}, where a name of UTF-8 text was expected")


def _said(value: Value) -> str:
    return "NULL" if value is None else shorten(repr(value))


def counted(result: Result) -> int:
    """The number that a COUNT answers; 2.x answers no row for 0.

    Raises:
        AnswerError: the answer is something else.
    """
    rows = all_rows(result)
    if len(rows) > 1 or any(len(row) != 1 for row in rows):
        raise AnswerError(f"The server answered a count with {len(rows)} rows of {len(result.fields)} columns")
    return as_number(rows[0][0]) if rows else 0


def all_rows(result: Result) -> list[tuple[Value, ...]]:
    """All rows of a result as Python values; for answers that are known to be small."""
    return [row for block in result.blocks() for row in block.to_rows()]
