"""What a catalog makes of answers that no server should give: an error that says what is wrong, never a wrong table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_tdengine.client.errors import AnswerError, BlockError, TDengineError, UnsupportedServer
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Table, holdings

from ....fuzz.targets import Told

STABLE = Table("s", (Field("ts", Type.TIMESTAMP, 8), Field("v", Type.INT, 4)), (Field("g", Type.INT, 4),))


def told(columns: dict[str, str], *rows: tuple[Any, ...]) -> Catalog:
    """A database of a server that has one answer to everything but counts, which are 1."""
    answer = answered(columns, *rows)
    return Catalog(Told("3.3.3.0", lambda statement: ONE if statement.startswith("SELECT COUNT") else answer), "d")


def answered(columns: dict[str, str], *rows: tuple[Any, ...]) -> str:
    metas = [[name, sql_type, 8] for name, sql_type in columns.items()]
    return json.dumps({"code": 0, "column_meta": metas, "data": rows, "rows": len(rows)})


ONE = answered({"count(*)": "BIGINT"}, (1,))


DATABASE = {"name": "VARCHAR", "precision": "VARCHAR", "keep": "VARCHAR"}
DESCRIBED = {"field": "VARCHAR", "type": "VARCHAR", "length": "INT", "note": "VARCHAR"}
HELD = {"tbname": "VARCHAR", "count(*)": "BIGINT", "first(ts)": "BIGINT", "last(ts)": "BIGINT"}

Act = Callable[[Catalog], object]


@pytest.mark.parametrize(
    ("act", "catalog", "kind", "said"),
    [
        (Catalog.database, told(DATABASE, ("d", "ps", "")), AnswerError, "database 'd' .*'ps'"),
        (Catalog.database, told(DATABASE, ("d", "ms", "soon")), AnswerError, "database 'd' .*'soon'"),
        (Catalog.database, told({"name": "VARCHAR"}, ("d",)), AnswerError, "without the column 'precision'"),
        (Catalog.database, told({"nome": "VARCHAR"}, ("d",)), AnswerError, "without the column 'name'; it has nome"),
        (Catalog.stable_names, told({"stable_name": "INT"}, (5,)), AnswerError, "5, where a name"),
        (Catalog.stable_names, told({"stable_name": "VARCHAR"}, (None,)), AnswerError, "NULL, where a name"),
        (Catalog.owners, told({"table_name": "VARCHAR"}, ("a",)), AnswerError, "1 columns where 2 were asked for"),
        (lambda db: db.count("x"), told({"c": "VARCHAR"}, ("5",)), AnswerError, "'5', where a whole number"),
        (lambda db: db.count("x"), told({"c": "INT"}, (None,)), AnswerError, "NULL, where a whole number"),
        (lambda db: db.count("x"), told({"c": "INT"}, (1,), (2,)), AnswerError, "a count with 2 rows of 1 columns"),
        (lambda db: db.describe("t"), told(DESCRIBED), AnswerError, "0 columns of table 't' is no timestamp"),
        (lambda db: db.describe("t"), told(DESCRIBED, ("v", "INT", 4, "")), AnswerError, "is no timestamp"),
        (lambda db: db.describe("t"), told(DESCRIBED, ("v", "NEW", 4, "")), UnsupportedServer, "Table 't' .*'NEW'"),
        (lambda db: db.describe("t"), told(DESCRIBED, ("v", "NCHAR", 2**30, "")), UnsupportedServer, "1073741824"),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_is_an_error_that_says_so(
    act: Act, catalog: Catalog, kind: type[TDengineError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        act(catalog)


@pytest.mark.parametrize(
    ("row", "columns", "kind", "said"),
    [
        (("a", 1, 2, 1), HELD, AnswerError, "end before they begin"),
        (("a", -1, 2, 1), HELD, AnswerError, "below 0"),
        (("a", None, 2, 1), HELD, AnswerError, "NULL"),
        ((None, 1, 1, 1), HELD, AnswerError, "NULL, where a name"),
        (("a", 1, 1, 1.5), {**HELD, "last(ts)": "DOUBLE"}, BlockError, "no whole numbers"),
        (("a", 1, 1, "x"), {**HELD, "last(ts)": "VARCHAR"}, BlockError, "text where numbers"),
        (("a", 1, 1), {"tbname": "VARCHAR", "count(*)": "INT", "first(ts)": "INT"}, AnswerError, "3 columns, not 4"),
    ],
)
def test_what_tables_cannot_hold(
    row: tuple[Any, ...], columns: dict[str, str], kind: type[TDengineError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        holdings(told(columns, row), STABLE, EVERYTHING, (None, None))
