"""The codec of raw blocks: anything goes in and comes out equal; what is damaged gives a BlockError, nothing else."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import struct
import tracemalloc
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import (
    Block,
    Column,
    FixedColumn,
    VariableColumn,
    column_from_list,
    column_to_list,
    concatenate,
    decode_block,
    decode_block2,
    decode_fields,
    encode_block,
    encode_fields,
    name_columns,
    raw_rows,
    raw_timestamps,
)
from airflow_provider_tdengine.client.errors import BlockError
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type, field_from_wire

from .client_recordings import OF_3X, START, VERSIONS, exchange, fetched, frame

settings.register_profile(
    "codec", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("codec")

ALL_TYPES = tuple(Type)
TYPES_OF_2X = tuple(kind for kind in Type if kind <= Type.JSON)
INTEGERS = {
    Type.BOOL: (0, 1),
    Type.TINYINT: (-(2**7), 2**7 - 1),
    Type.SMALLINT: (-(2**15), 2**15 - 1),
    Type.INT: (-(2**31), 2**31 - 1),
    Type.BIGINT: (-(2**63), 2**63 - 1),
    Type.TIMESTAMP: (-(2**63), 2**63 - 1),
    Type.UTINYINT: (0, 2**8 - 1),
    Type.USMALLINT: (0, 2**16 - 1),
    Type.UINT: (0, 2**32 - 1),
    Type.UBIGINT: (0, 2**64 - 1),
    Type.DECIMAL64: (-(10**18) + 1, 10**18 - 1),
    Type.DECIMAL: (-(10**38) + 1, 10**38 - 1),
}
TEXTS = (
    "",
    "a",
    "0123456789abcdef",
    'it\'s "q" \\ %s {0} ?',
    "你好",
    "零一二三四五六七八九",
    "😀",
    "a😀é你\0b",
    "\0",
    "\n\t ",
)
BYTES = (b"", b"\xff", b"\xff\xff\xff\xff", b"\x00", b"\xe4\xb8", b"\x80abc", bytes(range(256)))


# --- Strategies


@st.composite
def fields(draw: st.DrawFn, kinds: Sequence[Type] = ALL_TYPES, name: str = "c") -> Field:
    kind = draw(st.sampled_from(kinds))
    if kind in DECIMALS:
        digits = draw(st.integers(1, 18 if kind is Type.DECIMAL64 else 38))
        return Field(name, kind, 8 if kind is Type.DECIMAL64 else 16, digits, draw(st.integers(0, digits)))
    if Field(name, kind).info.width:
        return Field(name, kind, Field(name, kind).info.width)
    return Field(name, kind, 16382 if kind is Type.JSON else draw(st.integers(1, 4000)))


def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Bytes of a value as it stands in a column: every bit pattern that the type has."""
    if field.type in (Type.FLOAT, Type.DOUBLE):
        width = 32 if field.type is Type.FLOAT else 64
        return st.floats(width=width).map(lambda value: struct.pack("<f" if width == 32 else "<d", value))
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        number = st.integers(low, high) | st.sampled_from((low, high, 0))
        return number.map(lambda value: value.to_bytes(field.info.width, "little", signed=low < 0))
    if field.type is Type.NCHAR:
        return (st.text(max_size=20) | st.sampled_from(TEXTS)).map(str.encode)
    if field.type is Type.JSON:
        return st.sampled_from(("{}", '{"a":1}', '{"站":"😀"}')).map(str.encode)
    return st.binary(max_size=24) | st.sampled_from(BYTES) | st.sampled_from(TEXTS).map(str.encode)


def column_of(field: Field, cells: Sequence[bytes | None]) -> Column:
    nulls = np.array([cell is None for cell in cells], np.bool_)
    if field.info.dtype is not None:
        raw = b"".join(bytes(field.info.width) if cell is None else cell for cell in cells)
        return FixedColumn(np.frombuffer(raw, field.info.dtype, len(cells)), nulls)
    lengths = np.array([0 if cell is None else len(cell) for cell in cells], np.int64)
    data = np.frombuffer(b"".join(cell or b"" for cell in cells), np.uint8)
    return VariableColumn(data, np.cumsum(lengths) - lengths, lengths, nulls)


@st.composite
def blocks(draw: st.DrawFn, kinds: Sequence[Type] = ALL_TYPES, max_columns: int = 5, max_rows: int = 12) -> Block:
    """Any schema, any values, any NULLs."""
    rows = draw(st.integers(0, max_rows))
    chosen = tuple(draw(fields(kinds, name=f"c{i}")) for i in range(draw(st.integers(1, max_columns))))
    columns = tuple(
        column_of(field, draw(st.lists(st.none() | values_of(field), min_size=rows, max_size=rows))) for field in chosen
    )
    return Block(chosen, columns, rows)


@st.composite
def large_blocks(draw: st.DrawFn, kinds: Sequence[Type] = ALL_TYPES) -> Block:
    """Up to 5,000 rows: what is drawn is a handful of values a column; which row has which comes from a seed."""
    rows = draw(st.integers(0, 5000) | st.sampled_from((0, 1, 7, 8, 9, 4095, 4096, 4097, 5000)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    chosen = tuple(draw(fields(kinds, name=f"c{i}")) for i in range(draw(st.integers(1, 6))))
    columns = []
    for field in chosen:
        pool = draw(st.lists(st.none() | values_of(field), min_size=1, max_size=6))
        picks = rng.integers(0, len(pool), rows)
        columns.append(column_of(field, [pool[pick] for pick in picks.tolist()]))
    return Block(chosen, tuple(columns), rows)


def cells_of(field: Field, column: Column) -> list[bytes | None]:
    """A column's values as bytes, so that NaN, -0.0 and every digit count."""
    if isinstance(column, VariableColumn):
        return column.to_bytes_list()
    width = field.info.width
    raw = column.values.tobytes()
    parts = [raw[i : i + width] for i in range(0, len(raw), width)]
    return [None if null else part for part, null in zip(parts, column.nulls.tolist(), strict=True)]


def content(block: Block) -> tuple[Any, ...]:
    columns = [cells_of(field, column) for field, column in zip(block.fields, block.columns, strict=True)]
    assert all(len(column) == block.rows for column in columns)
    return block.fields, block.rows, columns


def names(block: Block) -> list[str]:
    return [field.name for field in block.fields]


def every_type(rows: int = 9) -> Block:
    """A block with all types, some values and NULLs."""
    source = random.Random(rows)
    chosen, columns = [], []
    for kind in ALL_TYPES:
        field = Field(f"c{len(chosen)}", kind, 16, 10, 2) if kind in DECIMALS else Field(f"c{len(chosen)}", kind, 16)
        field = field_from_wire(field.name, kind, field.wire_bytes)
        if field.info.width:
            cells = [source.randbytes(field.info.width) if kind is not Type.BOOL else b"\1" for _ in range(rows)]
        else:
            cells = [TEXTS[(i * 3 + kind) % len(TEXTS)].encode() for i in range(rows)]
        chosen.append(field)
        columns.append(column_of(field, [None if source.random() < 0.25 else cell for cell in cells]))
    return Block(tuple(chosen), tuple(columns), rows)


# --- 3.x, both ways


@given(blocks())
@settings(max_examples=300)
def test_what_is_encoded_decodes_equal(block: Block) -> None:
    assert content(decode_block(encode_block(block), names(block))) == content(block)


@given(large_blocks())
@settings(max_examples=60)
def test_up_to_5000_rows_decode_equal(block: Block) -> None:
    raw = encode_block(block)
    decoded = decode_block(raw, names(block))
    assert content(decoded) == content(block)
    assert encode_block(decoded) == raw


@pytest.mark.parametrize("kind", ALL_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("nulls", ["none", "all", "first", "last", "every other"])
def test_nulls_of_every_type_stay_apart_from_values(kind: Type, nulls: str) -> None:
    rows = 17
    is_null = {
        "none": [False] * rows,
        "all": [True] * rows,
        "first": [True] + [False] * (rows - 1),
        "last": [False] * (rows - 1) + [True],
        "every other": [i % 2 == 0 for i in range(rows)],
    }[nulls]
    field = Field("c", kind, 16, 10, 2)
    # All bytes zero: were NULL a value, it would be this one.
    cell = bytes(field.info.width) if field.info.width else b""
    block = Block((field,), (column_of(field, [None if null else cell for null in is_null]),), rows)
    decoded = decode_block(encode_block(block))
    assert decoded.columns[0].nulls.tolist() == is_null
    assert cells_of(decoded.fields[0], decoded.columns[0]) == [None if null else cell for null in is_null]


def test_bytes_under_a_null_are_not_sent() -> None:
    field = Field("secret", Type.BIGINT, 8)
    column = FixedColumn(np.array([0x4142434445464748, 1], "<i8"), np.array([True, False]))
    assert b"HGFEDCBA" not in encode_block(Block((field,), (column,), 2))


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL_TYPES if Field("c", kind).info.width], ids=lambda kind: kind.name
)
def test_columns_of_any_memory_layout_encode_alike(kind: Type) -> None:
    field = Field("c", kind, 16, 10, 2)
    raw = random.Random(3).randbytes(40 * field.info.width)
    plain = np.frombuffer(raw, field.info.dtype)
    strided = np.repeat(plain, 2)[::2]
    unaligned = np.frombuffer(b"x" + raw, field.info.dtype, offset=1)
    nulls = np.arange(40) % 3 == 0
    expected = encode_block(Block((field,), (FixedColumn(plain, nulls),), 40))
    for values in (strided, unaligned, plain[::-1][::-1]):
        assert encode_block(Block((field,), (FixedColumn(values, np.repeat(nulls, 2)[::2]),), 40)) == expected


@given(blocks(max_rows=30), st.data())
def test_taking_rows_and_selecting_columns_match_doing_it_to_lists(block: Block, data: st.DataObject) -> None:
    decoded = decode_block(encode_block(block), names(block))
    _, _, columns = content(block)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=block.rows, max_size=block.rows)), np.bool_)
    start, stop, step = data.draw(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 3)))
    picks = data.draw(st.lists(st.integers(0, block.rows - 1), max_size=20)) if block.rows else []
    order = data.draw(st.permutations(range(len(block.fields))))
    for rows, numbers in (
        (mask, [i for i in range(block.rows) if mask[i]]),
        (slice(start, stop, step), list(range(block.rows))[start:stop:step]),
        (np.array(picks, np.int64), picks),
    ):
        taken = decoded.take(rows)
        expected = [[column[i] for i in numbers] for column in columns]
        assert content(taken) == (block.fields, len(numbers), expected)
        assert content(decode_block(encode_block(taken), names(taken))) == content(taken)
    selected = decoded.select(order)
    assert content(selected) == (tuple(block.fields[i] for i in order), block.rows, [columns[i] for i in order])


@given(blocks(max_rows=30), st.data())
def test_parts_of_a_block_are_put_together_again(block: Block, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, block.rows), max_size=4).map(sorted))
    bounds = [0, *places, block.rows]
    # Each part on its own buffers, as blocks of a result are.
    parts = [decode_block(encode_block(block.take(slice(a, b))), names(block)) for a, b in itertools.pairwise(bounds)]
    assert content(concatenate(parts)) == content(decode_block(encode_block(block), names(block)))


@given(st.lists(st.none() | st.binary(max_size=4) | st.sampled_from(("", "é", "温", "😀")).map(str.encode), max_size=8))
def test_what_is_said_of_all_values_is_true_of_each(cells: list[bytes | None]) -> None:
    column = column_of(Field("c", Type.VARCHAR, 8), cells)
    assert isinstance(column, VariableColumn)
    assert column.ended_by_nul() == b"".join((cell or b"") + b"\0" for cell in cells)
    # Bytes that are no text do not read back as they were.
    is_text = [cell is None or cell.decode(errors="replace").encode() == cell for cell in cells]
    assert column.is_utf8() == all(is_text)


@given(st.lists(st.none() | st.sampled_from(("", "a", "b", "ab", "a" * 7, "a" * 8, "a" * 9, "温" * 40)), max_size=40))
def test_runs_of_equal_values_begin_where_the_value_changes(cells: list[str | None]) -> None:
    field = Field("c", Type.VARCHAR, 200)
    column = column_of(field, [None if cell is None else cell.encode() for cell in cells])
    assert isinstance(column, VariableColumn)
    starts = [i for i, cell in enumerate(cells) if i == 0 or cell != cells[i - 1]]
    assert column.run_starts().tolist() == starts
    order = np.arange(len(cells))[::-1]
    assert column.take(order).take(order).run_starts().tolist() == starts


@given(st.lists(fields(), max_size=8), st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=8))
def test_descriptions_of_columns_read_back_equal(described: list[Field], given_names: list[str]) -> None:
    assume(not any("\0" in name for name in given_names))
    described = [
        Field(name or "x", field.type, field.length, field.digits, field.scale)
        for field, name in zip(described, given_names, strict=False)
    ]
    raw = encode_fields(described)
    assert len(raw) == 72 * len(described)
    assert decode_fields(raw) == tuple(described)


def test_a_name_of_64_bytes_fits_and_one_of_65_does_not() -> None:
    assert decode_fields(encode_fields([Field("n" * 64, Type.INT, 4)]))[0].name == "n" * 64
    with pytest.raises(BlockError, match="65 bytes, more than 64"):
        encode_fields([Field("n" * 65, Type.INT, 4)])


@given(st.binary(max_size=300))
def test_descriptions_of_random_bytes_are_refused_or_fields(raw: bytes) -> None:
    with contextlib.suppress(BlockError):
        decode_fields(raw)
    if len(raw) >= 72:
        with contextlib.suppress(BlockError):
            decode_fields(raw[: len(raw) // 72 * 72])


@pytest.mark.parametrize(("kind", "prefix"), [(Type.VARCHAR, 2), (Type.VARBINARY, 2), (Type.NCHAR, 2), (Type.BLOB, 4)])
def test_the_longest_value_fits_and_a_longer_one_is_refused(kind: Type, prefix: int) -> None:
    field = Field("c", kind, 16)
    longest = b"x" * (65535 // (4 if kind is Type.NCHAR else 1))
    block = Block((field,), (column_of(field, [longest, None, b"y"]),), 3)
    assert content(decode_block(encode_block(block), ["c"]))[2] == [[longest, None, b"y"]]
    block = Block((field,), (column_of(field, [longest + b"x"]),), 1)
    if prefix == 4:
        assert cells_of(field, decode_block(encode_block(block)).columns[0]) == [longest + b"x"]
    else:
        with pytest.raises(BlockError, match="more than a block can hold"):
            encode_block(block)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([b"\xff"], "not UTF-8"),
        ([b"abc", b"\xe4\xb8"], "not UTF-8"),
        # Valid taken together, yet each value has half a character.
        ([b"\xe4\xb8", b"\xad"], "cut in two"),
        ([b"a\xf0\x9f", b"\x98\x80b"], "cut in two"),
    ],
)
def test_nchar_that_is_no_text_is_refused(cells: list[bytes], said: str) -> None:
    field = Field("n", Type.NCHAR, 16)
    with pytest.raises(BlockError, match=said):
        encode_block(Block((field,), (column_of(field, list(cells)),), len(cells)))


def test_columns_that_do_not_fit_their_description_are_refused() -> None:
    number, text = Field("n", Type.INT, 4), Field("t", Type.VARCHAR, 4)
    nulls = np.zeros(2, np.bool_)
    floats = FixedColumn(np.zeros(2, "<f4"), nulls)
    swapped = FixedColumn(np.zeros(2, ">i4"), nulls)
    texts = column_of(text, [b"a", b"b"])
    for field, column, rows in (
        (number, floats, 2),
        (number, swapped, 2),
        (number, texts, 2),
        (text, FixedColumn(np.zeros(2, "<i4"), nulls), 2),
        (text, texts, 3),
    ):
        with pytest.raises(BlockError):
            encode_block(Block((field,), (column,), rows))


def test_values_at_null_rows_do_not_move_the_others() -> None:
    field = Field("t", Type.VARCHAR, 4)
    column = VariableColumn(
        np.frombuffer(b"aabbcc", np.uint8), np.array([0, 2, 4]), np.array([2, 2, 2]), np.array([False, True, False])
    )
    decoded = decode_block(encode_block(Block((field,), (column,), 3)))
    assert decoded.columns[0].to_bytes_list() == [b"aa", None, b"cc"]  # type: ignore[union-attr]


def test_numpy_booleans_are_taken_for_bool_columns() -> None:
    field = Field("b", Type.BOOL, 1)
    column = FixedColumn(np.array([True, False, True]), np.array([False, False, True]))
    assert decode_block(encode_block(Block((field,), (column,), 3))).column_values(0) == [True, False, None]


# --- Python values


@given(blocks(max_columns=3))
def test_python_values_turn_back_into_the_same_column(block: Block) -> None:
    for field, column in zip(block.fields, block.columns, strict=True):
        if field.type in DECIMALS:
            # Digits beyond the declared ones are not a value of the type.
            largest = 10**field.digits
            cells = [int.from_bytes(cell or b"", "little", signed=True) for cell in cells_of(field, column)]
            if any(abs(cell) >= largest for cell in cells):
                continue
        values = column_to_list(field, column)
        back = column_from_list(field, values)
        if field.type in (Type.FLOAT, Type.DOUBLE):
            # A NaN has many bit patterns and one Python value.
            assert back.nulls.tolist() == column.nulls.tolist()
            assert isinstance(back, FixedColumn)
            assert isinstance(column, FixedColumn)
            keep = ~column.nulls
            assert np.array_equal(back.values[keep], column.values[keep], equal_nan=True)
            assert (
                np.array_equal(np.signbit(back.values[keep]), np.signbit(column.values[keep]))
                or np.isnan(column.values[keep]).any()
            )
        else:
            assert cells_of(field, back) == cells_of(field, column)


def test_python_values_are_the_shortest_that_read_back() -> None:
    float_field, decimal = Field("f", Type.FLOAT, 4), Field("d", Type.DECIMAL, 16, 38, 10)
    assert column_to_list(float_field, FixedColumn(np.array([0.1, -3.4e38], "<f4"), np.zeros(2, np.bool_))) == [
        0.1,
        -3.4e38,
    ]
    values = [Decimal("9999999999999999999999999999.9999999999"), Decimal("-0.0000000001"), None]
    assert column_to_list(decimal, column_from_list(decimal, values)) == values


def test_bigint_unsigned_is_exact_to_the_last_digit() -> None:
    field = Field("u", Type.UBIGINT, 8)
    values = [2**64 - 1, 2**64 - 2, 2**63, 2**53 + 1, None, 0]
    block = Block((field,), (column_from_list(field, values),), 6)
    assert decode_block(encode_block(block)).column_values(0) == values


@pytest.mark.parametrize(
    ("sql_type", "value"),
    [
        (Type.TINYINT, 128), (Type.TINYINT, -129), (Type.UTINYINT, 256), (Type.UTINYINT, -1), (Type.SMALLINT, 2**15),
        (Type.INT, 2**31), (Type.BIGINT, 2**63), (Type.UBIGINT, 2**64), (Type.UBIGINT, -1), (Type.UINT, 2**32),
        (Type.INT, 1.5), (Type.INT, "5"), (Type.BOOL, 2), (Type.BOOL, "true"), (Type.FLOAT, 1e39), (Type.DOUBLE, "1"),
        (Type.DOUBLE, 10**400), (Type.DECIMAL64, Decimal("1.234")), (Type.DECIMAL64, Decimal("123456789.00")),
        (Type.DECIMAL64, "abc"), (Type.DECIMAL, Decimal("NaN")), (Type.DECIMAL64, b"1"), (Type.VARCHAR, 5),
        (Type.NCHAR, "\ud800"), (Type.TIMESTAMP, 2**63), (Type.TIMESTAMP, "2021-01-01"),
    ],
)  # fmt: skip
def test_values_of_another_type_or_range_are_refused(sql_type: Type, value: Any) -> None:
    with pytest.raises(BlockError, match="a value of column 'c' is no "):
        column_from_list(Field("c", sql_type, 8, 10, 2), [None, value])


# --- 2.x


def encode2(block: Block, widths: Sequence[int]) -> bytes:
    """A block of 2.x as DESIGN section 5 has it: a cell of fixed width a row, NULL as a value."""
    null = {
        Type.BOOL: b"\2", Type.TINYINT: struct.pack("<b", -128), Type.SMALLINT: struct.pack("<h", -(2**15)),
        Type.INT: struct.pack("<i", -(2**31)), Type.BIGINT: struct.pack("<q", -(2**63)),
        Type.TIMESTAMP: struct.pack("<q", -(2**63)), Type.UTINYINT: b"\xff", Type.USMALLINT: b"\xff" * 2,
        Type.UINT: b"\xff" * 4, Type.UBIGINT: b"\xff" * 8, Type.FLOAT: struct.pack("<I", 0x7FF00000),
        Type.DOUBLE: struct.pack("<Q", 0x7FFFFF0000000000), Type.VARCHAR: b"\xff", Type.NCHAR: b"\xff" * 4,
        Type.JSON: b"\xff" * 4,
    }  # fmt: skip
    raw = b""
    for field, column, width in zip(block.fields, block.columns, widths, strict=True):
        for cell in cells_of(field, column):
            value = null[field.type] if cell is None else cell
            if not field.info.width:
                value = struct.pack("<H", len(value)) + value
            raw += value.ljust(width, b"\xee")
    return raw


def widths_of(block: Block) -> list[int]:
    return [
        field.info.width or 2 + max([4, *(len(cell or b"") for cell in cells_of(field, column))])
        for field, column in zip(block.fields, block.columns, strict=True)
    ]


def without_sentinels(block: Block) -> Block:
    """The block with NULL where a value is what 2.x has for NULL."""
    columns = []
    for field, column in zip(block.fields, block.columns, strict=True):
        cells = [None if cell == field.info.null2 else cell for cell in cells_of(field, column)]
        columns.append(column_of(field, cells))
    return Block(block.fields, tuple(columns), block.rows)


@given(blocks(TYPES_OF_2X))
@settings(max_examples=200)
def test_blocks_of_2x_decode_to_what_they_hold(block: Block) -> None:
    block = without_sentinels(block)
    widths = widths_of(block)
    decoded = decode_block2(encode2(block, widths), block.fields, widths, block.rows)
    assert content(decoded) == content(block)
    # and on to 3.x, which is what a migration does with them
    assert content(decode_block(encode_block(decoded), names(block))) == content(block)


@given(large_blocks(TYPES_OF_2X))
@settings(max_examples=15)
def test_large_blocks_of_2x_decode_to_what_they_hold(block: Block) -> None:
    block = without_sentinels(block)
    widths = widths_of(block)
    decoded = decode_block2(encode2(block, widths), block.fields, widths, block.rows)
    assert content(decode_block(encode_block(decoded), names(block))) == content(block)


@given(blocks(TYPES_OF_2X), st.data())
def test_damaged_blocks_of_2x_are_refused_or_read(block: Block, data: st.DataObject) -> None:
    block = without_sentinels(block)
    widths = widths_of(block)
    raw = bytearray(encode2(block, widths))
    what = data.draw(st.sampled_from(("cut", "bytes", "width", "rows")))
    rows = block.rows
    if what == "cut":
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    elif what == "bytes" and raw:
        for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=8)):
            raw[place] = data.draw(st.integers(0, 255))
    elif what == "width":
        widths[data.draw(st.integers(0, len(widths) - 1))] = data.draw(st.integers(-3, 100))
    else:
        rows = data.draw(st.integers(-3, 2**31))
    try:
        decoded = decode_block2(bytes(raw), block.fields, widths, rows)
    except BlockError:
        return
    list(decoded.to_rows())
    assert decoded.rows == rows


@pytest.mark.parametrize(
    ("kind", "width", "cell"),
    [
        (Type.VARCHAR, 6, b"\5\0abcd"),
        (Type.NCHAR, 6, b"\xff\xffabcd"),
        (Type.VARCHAR, 1, b"a"),
        (Type.INT, 8, b"12345678"),
    ],
)
def test_a_cell_of_2x_that_cannot_be_is_refused(kind: Type, width: int, cell: bytes) -> None:
    with pytest.raises(BlockError, match="column 'c'"):
        decode_block2(cell, [Field("c", kind, 4)], [width], 1)


# --- Damage to blocks of 3.x


def test_a_block_cut_at_any_byte_is_refused() -> None:
    raw = encode_block(every_type())
    for length in range(len(raw)):
        with pytest.raises(BlockError):
            decode_block(raw[:length])


def test_a_block_cut_at_any_byte_is_refused_when_its_head_hides_it() -> None:
    block = every_type()
    raw = encode_block(block)
    for length in range(28, len(raw)):
        cut = raw[:4] + struct.pack("<i", length) + raw[8:length]
        if length == len(raw) - 1:
            # Only the closing byte is gone, as in blocks of 3.0.
            assert content(decode_block(cut, names(block))) == content(block)
        else:
            with pytest.raises(BlockError):
                decode_block(cut)


@pytest.mark.parametrize(("kind", "prefix"), [(Type.VARCHAR, 2), (Type.NCHAR, 2), (Type.BLOB, 4)])
def test_offsets_and_lengths_that_leave_the_column_are_refused(kind: Type, prefix: int) -> None:
    field = Field("c", kind, 16)
    values = [b"abcd", None, b"", b"efgh"]
    raw = bytearray(encode_block(Block((field,), (column_of(field, values),), 4)))
    offsets = 28 + 9
    size = struct.unpack_from("<i", raw, 33)[0]
    last = struct.unpack_from("<i", raw, offsets + 12)[0]
    for offset in (-(2**31), -2, size - prefix + 1, size - 1, size, size + 1, 2**31 - 1):
        damaged = bytearray(raw)
        struct.pack_into("<i", damaged, offsets + 12, offset)
        with pytest.raises(BlockError, match="starts outside of the column"):
            decode_block(bytes(damaged))
    place = offsets + 16 + last
    length = int.from_bytes(raw[place : place + prefix], "little")
    for wrong in (length + 1, length + 4, 2 ** (8 * prefix) - 1):
        damaged = bytearray(raw)
        damaged[place : place + prefix] = wrong.to_bytes(prefix, "little")
        with pytest.raises(BlockError, match="ends outside of the column"):
            decode_block(bytes(damaged))
    # An empty value may stand at the very end.
    struct.pack_into("<i", raw, offsets + 12, size - prefix)
    raw[offsets + 16 + size - prefix : offsets + 16 + size] = bytes(prefix)
    assert cells_of(field, decode_block(bytes(raw)).columns[0]) == [b"abcd", None, b"", b""]


@pytest.mark.parametrize("step", [0, 4, 60])
@pytest.mark.parametrize(("kind", "prefix"), [(Type.VARCHAR, 2), (Type.NCHAR, 2), (Type.BLOB, 4)])
def test_rows_that_share_their_bytes_are_refused(kind: Type, prefix: int, step: int) -> None:
    # Few bytes could be any number of bytes of values otherwise.
    rows = 200
    # At each fourth byte begins a value of 64 bytes, where steps are as wide.
    body = (b"@\0\0\0" * 17 * rows)[: 64 + prefix + max(step, 4) * rows]
    offsets = struct.pack(f"<{rows}i", *(i * step for i in range(rows)))
    heads = struct.pack("<bi", kind, 100) + struct.pack("<i", len(body))
    raw = heads + offsets + body + b"\0"
    raw = struct.pack("<iiiiiQ", 1, 28 + len(raw), rows, 1, -(2**31), 0) + raw
    with pytest.raises(BlockError, match="values of column 'c0' overlap"):
        decode_block(raw)


@given(st.data())
@settings(max_examples=600)
def test_a_block_with_wrong_bytes_is_refused_or_read(data: st.DataObject) -> None:
    raw = bytearray(encode_block(every_type(data.draw(st.integers(0, 9)))))
    heads = 28 + 9 * len(ALL_TYPES)
    for _ in range(data.draw(st.integers(1, 6))):
        # The heads say where everything is: half of the damage is done there.
        raw[data.draw(st.integers(0, heads - 1) | st.integers(0, len(raw) - 1))] = data.draw(
            st.integers(0, 255) | st.sampled_from((0x7F, 0x80, 0xFF))
        )
    try:
        block = decode_block(bytes(raw))
    except BlockError:
        return
    assert len(list(block.to_rows())) == block.rows


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x01" + b"\0" * 27)
def test_random_bytes_are_refused_or_read(raw: bytes) -> None:
    for candidate in (raw, b"\1\0\0\0" + struct.pack("<i", len(raw) + 8) + raw):
        for read in (decode_block, raw_timestamps, raw_rows):
            with contextlib.suppress(BlockError):
                read(candidate)


@pytest.mark.parametrize("rows", [2**31 - 1, 2**30, -1, -(2**31)])
@pytest.mark.parametrize("kind", [Type.INT, Type.VARCHAR, Type.NCHAR, Type.BLOB], ids=lambda kind: kind.name)
def test_a_head_that_claims_two_thousand_million_rows_allocates_nothing(rows: int, kind: Type) -> None:
    field = Field("c", kind, 16)
    raw = bytearray(encode_block(Block((field,), (column_of(field, [None]),), 1)))
    raw[8:12] = struct.pack("<i", rows)
    tracemalloc.start()
    try:
        with pytest.raises(BlockError):
            decode_block(bytes(raw))
        with pytest.raises(BlockError):
            raw_timestamps(bytes(raw))
        with pytest.raises(BlockError):
            decode_block2(bytes(raw), [field], [0], rows)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("columns", [2**31 - 1, 4096, -1, 0])
def test_a_head_that_claims_other_columns_is_refused(columns: int) -> None:
    raw = bytearray(encode_block(every_type()))
    raw[12:16] = struct.pack("<i", columns)
    with pytest.raises(BlockError):
        decode_block(bytes(raw))


def test_each_refusal_says_what_is_wrong() -> None:
    block = every_type()
    raw = encode_block(block)
    for damaged, said in (
        (raw[:10], "shorter than its head"),
        (struct.pack("<i", 7) + raw[4:], "version 7"),
        (raw[:-20], f"a block of {len(raw) - 20} bytes claims {len(raw)} bytes"),
        (raw[:28] + b"\x63" + raw[29:], "column 0 has the unknown type 99"),
    ):
        with pytest.raises(BlockError, match=said):
            decode_block(damaged)
    with pytest.raises(BlockError, match="20 columns where 1 were expected"):
        decode_block(raw, ["only one"])


# --- What real servers sent

ROW_OF_NULLS = (None,) * 14
SCENARIO_ROWS = [
    (START, True, 1, 2, 3, 4, 5, 6, 7, 8, 1.5, 2.5, "abc", "你好", START),
    (START + 1, *ROW_OF_NULLS),
    (START + 2, False, -127, -32767, -2147483647, -(2**63) + 1, 254, 65534, 2**32 - 2, 2**64 - 2, -3.4e38, 1.7e308, "",
     "", 0),
    (START + 3, True, 127, 32767, 2147483647, 2**63 - 1, 0, 0, 0, 0, 0.1, 0.1, "it's", "a\\b", START + 86400000),
    (START + 4, True, 0, 0, 0, 0, 0, 0, 0, 0, 1e-37, 2.3e-308, "0123456789abcdef", "零一二三四五六七八九零一二三四五",
     -1),
]  # fmt: skip


def recorded_blocks(version: str, statement: str) -> list[Block]:
    answer, messages = fetched(version, statement)
    described = [
        Field(name, Type(kind), length)
        for name, kind, length in zip(
            answer["fields_names"], answer["fields_types"], answer["fields_lengths"], strict=True
        )
    ]
    if version in OF_3X:
        return [decode_block(raw[16:], answer["fields_names"]) for _, raw in messages]
    return [decode_block2(raw[8:], described, before["lengths"], before["rows"]) for before, raw in messages]


def recorded_rows(version: str, statement: str) -> list[tuple[Any, ...]]:
    return [row for block in recorded_blocks(version, statement) for row in block.to_rows()]


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_rows_of_all_types(version: str) -> None:
    assert recorded_rows(version, "select * from contract_ms.c1") == SCENARIO_ROWS


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_rows_of_names_numbers_and_json(version: str) -> None:
    assert recorded_rows(version, "select * from contract_ns.s1") == [
        (1609459200000000001, 1),
        (1609459200000000002, 2),
    ]
    assert recorded_rows(version, "select * from contract_us.s1") == [(1609459200000001, 1), (1609459200000002, 2)]
    assert recorded_rows(version, "select count(*) from contract_ms.c1") == [(5,)]
    text = '{"n":3,"on":true,"site":"a b","x":null}' if version in OF_3X else None
    found = {row[1]: row[2] for row in recorded_rows(version, "select * from contract_ms.js")}
    assert found[2] is None
    assert (found[1] == text) if text else ('"site":"a b"' in found[1])
    rows = recorded_rows(version, "select tbname, ti32, tbin, tnc from contract_ms.alltypes")
    assert {row[0] for row in rows} >= {"c1", "c2", "c3"}
    by_name = {row[0]: row for row in rows}
    assert by_name["c2"] == ("c2", None, None, None)
    assert by_name["c1"][2:] == ("bin tag", "标签")
    assert by_name["c3"][2:] == ('it\'s "q" \\', "back\\slash")


def test_recorded_rows_of_the_types_of_3x() -> None:
    rows = recorded_rows("3.3.3.0", "select * from contract_ms.mo1")
    point = struct.pack("<bIdd", 1, 1, 1.0, 2.0)
    assert rows == [(START, b"\x00\xff\x10", point), (START + 1, None, None)]


@pytest.mark.parametrize("version", OF_3X)
def test_recorded_blocks_encode_to_the_same_bytes(version: str) -> None:
    seen = 0
    for line in range(2, 15):
        try:
            recording = exchange(version, f"ws_query_{line}")
        except StopIteration:
            continue
        for message in recording["received"]:
            if set(message) != {"base64"}:
                continue
            raw = frame(message)[16:]
            encoded = encode_block(decode_block(raw))
            kinds = {field.type for field in decode_block(raw).fields}
            if len(encoded) == len(raw) + 1:
                # 3.0, and results of 3.3 that were made anew for JSON, end before the closing byte.
                assert version == "3.0.5.2" or Type.JSON in kinds
                encoded = encoded[:4] + struct.pack("<i", len(raw)) + encoded[8:-1]
            assert encoded == raw
            seen += 1
    assert seen >= 9


def test_a_recorded_raw_block_and_its_description_encode_to_the_same_bytes() -> None:
    raw = frame(exchange("3.3.3.0", "ws_write_raw_block_c1_copy")["sent"][0])
    rows, length = struct.unpack_from("<iH", raw, 24)
    start = 30 + length
    size = struct.unpack_from("<i", raw, start + 4)[0]
    block, described = raw[start : start + size], raw[start + size :]
    decoded = decode_block(block)
    assert (decoded.rows, raw_rows(block)) == (rows, rows)
    assert encode_block(decoded) == block
    assert raw_timestamps(block).tolist() == [START + i for i in range(5)]
    assert [field.name for field in decode_fields(described)][:2] == ["ts", "b"]
    assert list(name_columns(decoded, [field.name for field in decode_fields(described)]).to_rows()) == SCENARIO_ROWS


def test_floats_of_2x_that_are_no_number_are_values_and_only_the_sentinel_is_null() -> None:
    field = Field("f", Type.FLOAT, 4)
    cells = [struct.pack("<I", bits) for bits in (0x7FC00000, 0x7F800000, 0xFF800000, 0x7FF00000, 1)]
    values = decode_block2(b"".join(cells), [field], [4], 5).column_values(0)
    assert math.isnan(values[0])  # type: ignore[arg-type]
    assert values[1:] == [math.inf, -math.inf, None, pytest.approx(1e-45, rel=0.5)]


def test_what_is_no_character_stays_what_it_is() -> None:
    """Servers take any number for a character of NCHAR in a raw block (measured 3.3.3.0, 3.3.5.2)."""
    field = Field("n", Type.NCHAR, 8)
    raw = encode_block(Block((field,), (column_from_list(field, ["aBc", "é你B", None, ""]),), 4))
    for number in (0xD800, 0x110000, 0x7FFFFFFF, 0xFFFFFFFF):
        damaged = raw.replace("B".encode("utf-32-le"), number.to_bytes(4, "little"))
        block = decode_block(damaged, ["n"])
        assert encode_block(block) == damaged
        first, second, *others = block.column_values(0)
        assert (str(first)[0], str(first)[-1], str(second)[:2], others) == ("a", "c", "é你", [None, ""])
        assert encode_block(Block((field,), (column_from_list(field, [first, second, *others]),), 4)) == damaged


def test_what_is_neither_a_character_nor_another_number_is_refused() -> None:
    field = Field("n", Type.NCHAR, 8)
    for text in (b"\xfe\x80", b"\xff", b"\xfe\xbf\xbf\xbf\xbf\xbf\xbf"):
        column = VariableColumn(
            np.frombuffer(text, np.uint8), np.zeros(1, int), np.array([len(text)]), np.zeros(1, bool)
        )
        with pytest.raises(BlockError, match="not UTF-8"):
            encode_block(Block((field,), (column,), 1))
