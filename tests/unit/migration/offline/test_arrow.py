"""Blocks as Parquet: every value of every type comes back as it was, bit by bit."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings

from airflow_provider_tdengine.client.block import Block, column_from_list
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.migration.offline.arrow import NotText, Reader, Writer
from airflow_provider_tdengine.migration.offline.export import as_text

from ...client.test_block import blocks, content, large_blocks


def written(block: Block, binary: frozenset[int] = frozenset(), names: str | None = None) -> bytes:
    file = io.BytesIO()
    with Writer(file, block.fields, Precision.US, binary=binary, names=names) as writer:
        if names is None:
            writer.write(block)
        else:
            half = block.rows // 2
            writer.write(block, ["d1", "ä 2"], np.array([half, block.rows - half]))
    return file.getvalue()


def read(file: bytes, block: Block, *, has_names: bool = False) -> Block:
    with Reader(io.BytesIO(file), block.fields, has_names=has_names) as reader:
        return reader.read(0)


@given(blocks())
@settings(max_examples=60)
def test_it_comes_back(block: Block) -> None:
    assume(block.rows)
    assert content(read(as_text(lambda binary: written(block, binary)), block)) == content(block)


@given(large_blocks())
@settings(max_examples=6)
def test_many_rows_come_back_with_the_names_of_their_tables(block: Block) -> None:
    assume(block.rows)
    file = as_text(lambda binary: written(block, binary, "tbname"))
    assert content(read(file, block, has_names=True)) == content(block)
    names = pq.read_table(io.BytesIO(file)).column("tbname").to_pylist()
    assert names == ["d1"] * (block.rows // 2) + ["ä 2"] * (block.rows - block.rows // 2)


def test_others_read_what_it_means() -> None:
    fields = (
        Field("ts", Type.TIMESTAMP, 8),
        Field("d", Type.DECIMAL64, 8, 10, 2),
        Field("u", Type.UBIGINT, 8),
        Field("text", Type.NCHAR, 8),
        Field("raw", Type.VARBINARY, 8),
        Field("on", Type.BOOL, 1),
    )
    values = ([0, 1], ["-1.50", None], [2**64 - 1, 0], ["你", None], [b"\xff", b""], [True, False])
    columns = tuple(column_from_list(field, own) for field, own in zip(fields, values, strict=True))
    table = pq.read_table(io.BytesIO(written(Block(fields, columns, 2))))
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types == {
        "ts": "timestamp[us, tz=UTC]",
        "d": "decimal128(18, 2)",
        "u": "uint64",
        "text": "string",
        "raw": "binary",
        "on": "bool",
    }
    rows = [{**row, "ts": row["ts"].isoformat(), "d": str(row["d"])} for row in table.to_pylist()]
    first = {"ts": "1970-01-01T00:00:00+00:00", "d": "-1.50", "u": 2**64 - 1, "text": "你", "raw": b"\xff", "on": True}
    assert rows[0] == first
    assert rows[1]["text"] is None


def test_text_that_is_none_is_binary_in_its_file() -> None:
    field = Field("v", Type.VARCHAR, 8)
    block = Block((field,), (column_from_list(field, ["fine", "caf\udce9"]),), 2)
    with pytest.raises(NotText):
        written(block)
    table = pq.read_table(io.BytesIO(as_text(lambda binary: written(block, binary))))
    assert table.column("v").to_pylist() == [b"fine", b"caf\xe9"]
