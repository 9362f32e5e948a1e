"""What subscriptions are told of changes: each goes into the logs of the vgroups that it reaches, as 3.x words it.

Measured on 3.0.5.2 and 3.3.3.0 (`tests/contract/subscription-*.jsonl`). 2.x has no logs, so that nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing.language import AlterTable
from airflow_provider_tdengine.testing.stored import (
    Access,
    Database,
    Named,
    Part,
    Schema,
    SuperTable,
    Table,
    Told,
    Written,
)

_ALTERATIONS = {
    ("add", True): 1,
    ("drop", True): 2,
    ("rename", True): 3,
    ("add", False): 5,
    ("drop", False): 6,
    ("modify", False): 7,
    ("modify", True): 8,
    ("rename", False): 10,
}
_SET_TAG, _SET_OPTIONS = 4, 9


def _tell(access: Access, database: Database, table: Table | SuperTable, change: Told) -> None:
    """Tell a change where it is seen: of a super table, in all vgroups."""
    logs = access.store.logs(database)
    if isinstance(table, Table):
        logs = logs and [logs[table.spot]]
    for log in logs:
        log.add(change)


# --- Structure


def created(access: Access, database: Database, table: Table | SuperTable) -> None:
    """A super table or normal table is there."""
    kind = "super" if isinstance(table, SuperTable) else "normal"
    compression = access.generation.compression
    columns = [
        _field(column)
        | {"isPrimarykey": column.name in table.schema.keys[1:]}
        | _storage(table.schema, column, compression)
        for column in table.schema.columns
    ]
    if not access.generation.selects_tags:
        columns = [_field(column) for column in table.schema.columns]
    tags = [_field(tag) for tag in table.schema.tags]
    change = {"type": "create", "tableType": kind, "tableName": table.name, "columns": columns, "tags": tags}
    _tell(access, database, table, change)


def _storage(schema: Schema, column: Field, compression: Mapping[Type, str]) -> dict[str, object]:
    encode, compress, level = schema.storage(column, compression)
    return {"encode": encode, "compress": compress, "level": level}


def _field(field: Field) -> dict[str, object]:
    sized = {"length": field.length} if field.info.sized else {}
    return {"name": field.name, "type": int(field.type), **sized}


def altered(access: Access, database: Database, table: Table | SuperTable, statement: AlterTable) -> None:
    """A column or tag was added, dropped, widened or renamed."""
    change: dict[str, object] = {"colName": statement.column}
    if statement.new_name:
        change["colNewName"] = statement.new_name
    if statement.field is not None:
        change["colType"] = int(statement.field.type)
        if statement.field.info.sized:
            change["colLength"] = statement.field.length
    how = _ALTERATIONS[statement.action, statement.is_tag]
    kind = "super" if isinstance(table, SuperTable) else "normal"
    _tell(access, database, table, _alteration(kind, table.name, how) | change)


def _alteration(kind: str, name: str, how: int) -> dict[str, object]:
    return {"type": "alter", "tableType": kind, "tableName": name, "alterType": how}


def options_set(access: Access, database: Database, table: Table | SuperTable) -> None:
    """TTL or COMMENT; of a subtable, too, 3.x calls it one of a normal table."""
    kind = "super" if isinstance(table, SuperTable) else "normal"
    _tell(access, database, table, _alteration(kind, table.name, _SET_OPTIONS))


def tag_set(access: Access, database: Database, table: Table, tag: Field, value: Value) -> None:
    """A tag has another value."""
    told: dict[str, object] = {"colName": tag.name, "colValueNull": value is None}
    if value is not None:
        told["colValue"] = str(_tag_value(tag, value))
    _tell(access, database, table, _alteration("child", table.name, _SET_TAG) | told)


def dropped(access: Access, database: Database, tables: Iterable[Table | SuperTable]) -> None:
    """Tables are gone: of a statement's tables, those of a vgroup together."""
    by_vgroup: dict[int, list[str]] = {}
    for table in tables:
        if isinstance(table, SuperTable):
            _tell(access, database, table, {"type": "drop", "tableType": "super", "tableName": table.name})
        elif access.store.logs(database):
            by_vgroup.setdefault(table.spot, []).append(table.name)
    for vgroup, names in by_vgroup.items():
        access.store.logs(database)[vgroup].add({"type": "drop", "tableNameList": names})


# --- Subtables


def child(table: Table, values: Sequence[Value]) -> Told:
    """What is told of a subtable that is there, with the values that its tags have or had."""
    assert table.stable is not None
    tags = [
        {"name": tag.name, "type": int(tag.type), "value": _tag_value(tag, value)}
        for tag, value in zip(table.schema.tags, values, strict=False)
        if value is not None
    ]
    return {"tableName": table.name, "using": table.stable.name, "tagNum": len(values), "tags": tags}


def _tag_value(tag: Field, value: Value) -> object:
    """A tag as JSON has it: cJSON keeps numbers as DOUBLE, and texts stand between quotes, whatever is in them."""
    if isinstance(value, bytes):
        return f'"\\x{value.hex().upper()}"'
    if isinstance(value, str):
        return value if tag.type is Type.JSON else f'"{value}"'
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else float(value)
    return value


def children_created(children: Sequence[Told]) -> Told:
    """What is told of subtables that came together: the first one, and all where there are several."""
    several = list(children) if len(children) > 1 else []
    return {"type": "create", "tableType": "child", **children[0], "createList": several}


def children(access: Access, made: Iterable[tuple[Database, Table]]) -> None:
    """Subtables are there, by CREATE TABLE ... USING."""
    by_vgroup: dict[tuple[Database, int], list[Told]] = {}
    for database, table in made:
        if access.store.logs(database):
            by_vgroup.setdefault((database, table.spot), []).append(child(table, table.tags))
    for (database, vgroup), told in by_vgroup.items():
        access.store.logs(database)[vgroup].add(children_created(told))


# --- Rows


def written(
    access: Access, named: Iterable[tuple[Database, Table]], parts: Iterable[tuple[Database, Table, Part]]
) -> None:
    """Rows were written.

    Parameters:
        access: of the session.
        named: the tables of which the statement said USING.
        parts: rows of tables.
    """
    named_in: dict[tuple[Database, int], list[Named]] = {}
    rows_in: dict[tuple[Database, int], dict[Table, list[Part]]] = {}
    schemas: dict[Schema, Sequence[Field]] = {}
    for database, table in named:
        if access.store.logs(database):
            place = database, table.spot
            named_in.setdefault(place, []).append(Named(table, tuple(table.tags)))
    for database, table, part in parts:
        if access.store.logs(database):
            place = database, table.spot
            if table.schema not in schemas:
                schemas[table.schema] = tuple(table.schema.columns)
            # A table that has another part later forgets and renames its columns; what was written stays.
            rows_in.setdefault(place, {}).setdefault(table, []).append(Part(part.rows, dict(part.columns)))
    for place, tables in rows_in.items():
        database, vgroup = place
        rows = [Written(table, schemas[table.schema], pieces) for table, pieces in tables.items()]
        access.store.logs(database)[vgroup].add(named=named_in.get(place, ()), rows=rows)


def deleted(
    access: Access,
    database: Database,
    table: Table | SuperTable,
    met: Mapping[Table, tuple[int, int]],
    low: int,
    high: int,
) -> None:
    """A DELETE, whatever it met; each vgroup tells the rows' own bounds where it met some.

    Parameters:
        access: of the session.
        database: where.
        table: what the statement names.
        met: the first and the last timestamp that were deleted, by table.
        low: the first timestamp that the statement means.
        high: the last one.
    """
    logs = access.store.logs(database)
    by_vgroup: dict[int, tuple[int, int]] = {}
    if isinstance(table, Table) and logs:
        by_vgroup[table.spot] = low, high
    elif logs:
        by_vgroup = dict.fromkeys(range(len(logs)), (low, high))
    bounds: dict[int, tuple[int, int]] = {}
    for each, (first, last) in met.items():
        vgroup = each.spot
        known = bounds.get(vgroup, (first, last))
        bounds[vgroup] = min(first, known[0]), max(last, known[1])
    column = table.schema.timestamp
    for vgroup, meant in by_vgroup.items():
        first, last = bounds.get(vgroup, meant)
        sql = f"delete from `{table.name}` where `{column}` >= {first} and `{column}` <= {last}"
        logs[vgroup].add({"type": "delete", "sql": sql})
