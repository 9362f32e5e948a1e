"""DESCRIBE, and what would create a table again."""

from __future__ import annotations

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type
from airflow_provider_tdengine.testing.catalog.views import Row, View, fields_of
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.stored import Schema, SuperTable, Table


def _type_name(generation: Generation, field: Field) -> str:
    """A type as DESCRIBE says it; of a DECIMAL (3.3.6) with its digits."""
    name = generation.type_name(field.type)
    return f"{name}({field.digits}, {field.scale})" if field.type in DECIMALS else name


def _sql_type(generation: Generation, field: Field) -> str:
    name = _type_name(generation, field)
    return f"{name}({field.length})" if field.info.sized else name


def listed_type(generation: Generation, field: Field) -> str:
    """A type as information_schema says it."""
    nameless = field.type is Type.GEOMETRY and not generation.names_geometry
    return "(null)" if nameless else _sql_type(generation, field)


def describe(generation: Generation, schema: Schema) -> View:
    """DESCRIBE."""
    is_2 = generation.number == 2
    fields = (
        fields_of("Field:64 Type:20 Length:INT Note:8")
        if is_2
        else fields_of("field:64 type:20 length:INT note:16 encode:12 compress:12 level:12")
    )
    rows: list[Row] = []
    for number, column in enumerate(schema.columns):
        note = "PRIMARY KEY" if schema.composite and number == 1 else ""
        rows.append(
            (
                column.name,
                _type_name(generation, column),
                column.length,
                note,
                *schema.storage(column, generation.compression),
            )
        )
    for tag in schema.tags:
        rows.append((tag.name, _type_name(generation, tag), tag.length, "TAG", *(["disabled"] * 3)))
    return View(fields, [row[: len(fields)] for row in rows])


def show_create_table(generation: Generation, table: Table | SuperTable) -> View:
    """SHOW CREATE TABLE and SHOW CREATE STABLE; as with real servers, quotes in tags come out as they are."""
    if isinstance(table, Table) and table.stable is not None:
        text = _create_child(generation, table, table.stable)
    else:
        text = _create_table(generation, table)
    if generation.number == 2:
        return View(fields_of(f"Table:192 Create~Table:{len(text.encode())}"), [(table.name, text)])
    return View(fields_of("Table:193 Create~Table:3145726"), [(table.name, text)])


def _create_table(generation: Generation, table: Table | SuperTable) -> str:
    schema = table.schema
    is_2 = generation.number == 2
    separator = "," if is_2 else ", "
    columns = []
    for number, column in enumerate(schema.columns):
        text = f"`{column.name}` {_sql_type(generation, column)}"
        if not is_2:
            encode, compress, level = schema.storage(column, generation.compression)
            text += f" ENCODE '{encode}' COMPRESS '{compress}' LEVEL '{level}'"
            text += " PRIMARY KEY" if schema.composite and number == 1 else ""
        columns.append(text)
    word = "STABLE" if schema.tags and not is_2 else "TABLE"
    created = f"CREATE {word} `{table.name}` ({separator.join(columns)})"
    if schema.tags:
        tags = separator.join(f"`{tag.name}` {_sql_type(generation, tag)}" for tag in schema.tags)
        created += f" TAGS ({tags})"
    options = schema.options | (table.options if isinstance(table, Table) else {})
    return created + "".join(_option(name, value) for name, value in options.items())


def _option(name: str, value: str) -> str:
    if name == "sma":
        return " SMA({})".format(",".join(f"`{column.strip(' `')}`" for column in value.strip("()").split(",")))
    return f" {name.upper()} '{value}'" if name == "comment" else f" {name.upper()} {value}"


def _create_child(generation: Generation, table: Table, stable: SuperTable) -> str:
    tags = stable.schema.tags
    values = [_tag_literal(generation, tag, value) for tag, value in zip(tags, table.tags, strict=True)]
    if generation.number == 2:
        return f"CREATE TABLE `{table.name}` USING `{stable.name}` TAGS ({','.join(values)})"
    names = ", ".join(f"`{tag.name}`" for tag in tags)
    created = f"CREATE TABLE `{table.name}` USING `{stable.name}` ({names}) TAGS ({', '.join(values)})"
    return created + "".join(_option(name, value) for name, value in table.options.items())


def _tag_literal(generation: Generation, tag: Field, value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:f}" if generation.number == 2 else f"{value:e}"
    if isinstance(value, bytes):
        return f'"\\x{value.hex().upper()}"'
    if isinstance(value, str) or (tag.type is Type.TIMESTAMP and generation.number == 2):
        return f'"{value}"'
    return str(value)


def tag_text(tag: Field, value: Value) -> str | None:
    """A tag's value as ins_tags has it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.5f}" if tag.type is Type.FLOAT else f"{value:.9f}"
    return f"\\x{value.hex().upper()}" if isinstance(value, bytes) else str(value)
