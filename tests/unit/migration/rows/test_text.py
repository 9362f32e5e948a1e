"""Values on their way: as text they read back to the same bits, what text cannot carry goes as blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, column_from_list, concatenate
from airflow_provider_tdengine.client.errors import StatementRejected
from airflow_provider_tdengine.client.sql import MAX_STATEMENT_BYTES, cut
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.copying import brief
from airflow_provider_tdengine.migration.rows import Transcoder, has_no_text, insert_parts

from ..conftest import SOURCE, TARGET, Pair, T

FIELDS = (
    Field("ts", Type.TIMESTAMP, 8),
    Field("b", Type.BOOL, 1),
    Field("i", Type.SMALLINT, 2),
    Field("l", Type.BIGINT, 8),
    Field("u", Type.UBIGINT, 8),
    Field("f", Type.FLOAT, 4),
    Field("d", Type.DOUBLE, 8),
    Field("s", Type.VARCHAR, 30),
    Field("n", Type.NCHAR, 12),
    Field("t", Type.TIMESTAMP, 8),
)

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=7) | st.sampled_from(
    ("it's", "\\", "a\\'", "'", "%s%%d{}", "温度😀", "\n\t\r", "NULL", '"')
)
cells = (
    st.booleans(),
    st.integers(-(2**15) + 1, 2**15 - 1),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.integers(0, 2**64 - 2),
    st.floats(width=32, allow_nan=False),
    st.floats(allow_nan=False),
    texts.map(str.encode) | st.binary(max_size=30).filter(lambda value: value != b"\xff"),
    texts,
    st.integers(-(10**11), 10**14),
)
row = st.tuples(*(st.none() | values for values in cells))


def block_of(rows: Sequence[tuple[object, ...]]) -> Block:
    columns: list[Column] = [
        column_from_list(field, [row[i] for row in rows])  # type: ignore[misc]
        for i, field in enumerate(FIELDS)
    ]
    return Block(FIELDS, tuple(columns), len(rows))


# --- Through all paths

NAMES = ("d", "it's", "100%s", "温 度", "back\\slash")
numbers = count()


def fill(pair: Pair, stable: str, names: Sequence[str], tables: Sequence[Block]) -> list[Block]:
    """Subtables with rows, at the source: as blocks in 3.x, as text in 2.x, which takes no blocks.

    Returns:
        The rows that were written.
    """
    dialect = pair.source.dialect
    columns = ", ".join(f"`{field.name}` {dialect.type_name(field)}" for field in FIELDS)
    parts = [f"{dialect.table(SOURCE, name)} USING {SOURCE}.{stable} TAGS (1)" for name in names]
    pair.sql(f"create stable {SOURCE}.{stable} ({columns}) tags (g int)", f"create table {' '.join(parts)}")
    if pair.source.generation == 3:
        with pair.source.websocket_session(SOURCE) as session:
            for name, block in zip(names, tables, strict=True):
                for request in session.write_block(name, block):
                    session.confirm(request, name)
        return list(tables)
    tables = [block.take(~has_no_text(block)) for block in tables]
    for name, block in zip(names, tables, strict=True):
        pair.sql(*(s for s, _ in cut("INSERT INTO", insert_parts([(dialect.table(SOURCE, name), block.rows)], block))))
    return tables


def bits(client: Client, database: str, names: Sequence[str]) -> list[list[object]]:
    """All values of tables, to the bit; nothing of a value that is NULL."""
    with client.session() as session:
        tables = [
            list(session.query(f"select * from {client.dialect.table(database, name)} order by ts").blocks())
            for name in names
        ]
    return [[bits_of(column) for column in concatenate(blocks).columns] if blocks else [] for blocks in tables]


def bits_of(column: Column) -> object:
    if isinstance(column, FixedColumn):
        return column.nulls.tolist(), column.values[~column.nulls].tobytes()
    return column.to_bytes_list()


class Opened(Transcoder):
    """Blocks are decoded and encoded even where they could pass unopened."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.unchanged = False


@pytest.fixture
def databases(pair: Pair) -> Pair:
    pair.sql(f"create database {SOURCE} precision 'ms' keep 36500")
    pair.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    return pair


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables=st.lists(st.lists(row, min_size=1, max_size=6), min_size=2, max_size=5))
@pytest.mark.parametrize(
    ("strategy", "transcoder"),
    [("sparse", Transcoder), ("dense", Transcoder), ("dense", Opened)],
    ids=["sparse", "dense", "transcoded"],
)
def test_any_values_arrive(
    databases: Pair, strategy: str, transcoder: Callable[..., Transcoder], tables: list[list[tuple[object, ...]]]
) -> None:
    """Denormal and infinite floats, bytes that are no text, NULLs and all."""
    number = next(numbers)
    names = [f"{name}{number}" for name in NAMES[: len(tables)]]
    blocks = [block_of([(T + number, *values) for number, values in enumerate(rows)]) for rows in tables]
    written = fill(databases, f"s{number}", names, blocks)
    expected = [[bits_of(column) for column in block.columns] if block.rows else [] for block in written]
    assert bits(databases.source, SOURCE, names) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brief, "Transcoder", transcoder)
        databases.sync(stables=f"s{number}")
        copied = databases.copy_batches(stables=f"s{number}", strategy=strategy)
    assert bits(databases.target, TARGET, names) == expected
    assert sum(part.rows for part in copied.values()) == sum(block.rows for block in written)
    comparison = databases.verify(copied=copied, stables=f"s{number}")
    assert (comparison.differences, comparison.levels) == ([], {"digest": 1} if copied else {})


# --- Text


def test_what_has_no_text() -> None:
    good = (T, True, 1, 1, 1, 1.5, 2.5, b"abc", "x", T)

    def with_(index: int, value: object) -> tuple[object, ...]:
        return (*good[:index], value, *good[index + 1 :])

    textless = [
        with_(5, 3.4028234663852886e38),
        with_(5, float("inf")),
        with_(6, 5e-324),
        with_(6, float("-inf")),
        with_(6, float("nan")),
        with_(7, b"\xff\xfe"),
        with_(7, b"a\0b"),
        # Together they would be one character.
        with_(7, b"\xe4\xb8"),
        with_(7, b"\xad"),
        with_(8, "x\0"),
    ]
    texted = [good, (T, *[None] * 9), with_(5, 1e-45), with_(6, -0.0), with_(7, b""), with_(8, ""), with_(7, b"'\\%")]
    assert has_no_text(block_of(textless)).all()
    assert not has_no_text(block_of(texted)).any()
    assert has_no_text(block_of(texted + textless)).tolist() == [False] * len(texted) + [True] * len(textless)


numeric = {
    Type.FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False),
    Type.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    Type.BIGINT: st.integers(-(2**63) + 1, 2**63 - 1),
    Type.UBIGINT: st.integers(0, 2**64 - 2),
}


@pytest.mark.parametrize("kind", numeric, ids=lambda kind: kind.name)
@given(data=st.data())
def test_the_text_of_a_number_reads_back_to_the_same_bits(kind: Type, data: st.DataObject) -> None:
    field = Field("v", kind, 8)
    column = column_from_list(field, data.draw(st.lists(numeric[kind], min_size=1, max_size=20)))
    assert isinstance(column, FixedColumn)
    (part,) = insert_parts([("t", len(column))], Block((field,), (column,), len(column)))
    read = part.removeprefix("t (`v`) VALUES (").removesuffix(")").split(")(")
    assert np.array(read, column.values.dtype).tobytes() == column.values.tobytes()


@given(st.lists(st.lists(row, max_size=4), max_size=5), st.integers(1, 300))
def test_tables_stay_apart_and_parts_short(tables: list[list[tuple[object, ...]]], limit: int) -> None:
    """However rows are cut into parts, each table has its own, in their order."""
    rows = [(T + i, *values) for i, values in enumerate(values for table in tables for values in table)]
    names = [(f"`t{i}`", len(table)) for i, table in enumerate(tables)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_tdengine.migration.rows.text._PART_BYTES", limit)
        block = block_of(rows)
        block = block.take(~has_no_text(block))
        counts = iter(has_no_text(block_of(rows)).tolist())
        names = [(name, sum(not next(counts) for _ in range(rows))) for name, rows in names]
        parts = list(insert_parts(names, block))
    found: dict[str, list[str]] = {}
    for part in parts:
        table, _, text = part.partition(" (")
        found.setdefault(table, []).append(text.partition(" VALUES ")[2])
    assert list(found) == [name for name, rows in names if rows]
    first = 0
    for name, some in names:
        (whole,) = insert_parts([(name, some)], block.take(slice(first, first + some))) if some else ("",)
        assert "".join(found.get(name, [])) == whole.partition(" VALUES ")[2]
        first += some


def test_a_statement_is_never_longer_than_servers_take() -> None:
    """The longest rows there are: 64 KB of text, each byte of which needs a backslash."""
    field = Field("s", Type.VARCHAR, 65_000)
    block = Block((field,), (column_from_list(field, [b"'" * 65_000] * 20),), 20)
    statements = [statement for statement, _ in cut("INSERT INTO", insert_parts([("t", 20)], block))]
    assert max(map(len, statements)) <= MAX_STATEMENT_BYTES
    assert sum(statement.count("\\'") for statement in statements) == 20 * 65_000


def test_the_names_of_many_columns_are_said_once_for_many_rows() -> None:
    fields = tuple(Field(f"c{i}", Type.DOUBLE, 8) for i in range(800))
    column = column_from_list(fields[0], [0.5] * 40)
    parts = list(insert_parts([("a", 15), ("b", 25)], Block(fields, (column,) * 800, 40)))
    assert len(parts) == 3
    assert sum(part.count("(0.5,") for part in parts) == 40


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize(("value", "is_taken"), [(b"\xff\xfe\\x41", True), (b"a\0b", False)])
def test_a_target_without_websocket_refuses_what_it_cannot_take(
    databases: Pair, strategy: str, value: bytes, is_taken: bool
) -> None:
    """Bytes that are no text pass through REST as they are, a zero byte never (3.3.3.0)."""
    if databases.source.generation == 2:
        return
    block = block_of([(T, True, 1, 1, 1, 1.5, 2.5, value, "x", T)])
    fill(databases, "s", ("d0", "d1"), (block, block))
    databases.sync()
    rest = replace(databases, target=Client(replace(databases.target.address, scheme="http")))
    if is_taken:
        rest.copy(strategy=strategy)
        assert bits(databases.target, TARGET, ("d0", "d1")) == bits(databases.source, SOURCE, ("d0", "d1"))
    else:
        with pytest.raises(StatementRejected, match="syntax error"):
            rest.copy(strategy=strategy)
