"""What SHOW, DESCRIBE and information_schema tell about what is there."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.stored import Accounts, Database, Schema, SuperTable, Table, slot_of

Row = tuple[Value, ...]

_WIDTHS = {Type.TIMESTAMP: 8, Type.TINYINT: 1, Type.SMALLINT: 2, Type.INT: 4, Type.BIGINT: 8, Type.BOOL: 1}


def _fields(columns: str) -> tuple[Field, ...]:
    """Fields from a line such as `name:64 vgroups:INT`; a number is the length of a VARCHAR."""
    fields = []
    for column in columns.split():
        name, _, kind = column.rpartition(":")
        if kind.isdigit():
            fields.append(Field(name.replace("~", " "), Type.VARCHAR, int(kind)))
        else:
            fields.append(Field(name.replace("~", " "), Type[kind], _WIDTHS[Type[kind]]))
    return tuple(fields)


@dataclass
class View:
    """Rows of the catalog.

    Parameters:
        fields: the columns.
        rows: as tuples of Python values.
    """

    fields: tuple[Field, ...]
    rows: Iterable[Row]

    def block(self) -> Block:
        rows = list(self.rows)
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.fields)
        made = (column_from_list(field, values) for field, values in zip(self.fields, columns, strict=True))
        return Block(self.fields, tuple(made), len(rows))


@dataclass
class Catalog:
    """What the views look at.

    Parameters:
        generation: whose views.
        databases: those that the user may see.
        accounts: the users.
        user: who looks.
    """

    generation: Generation
    databases: Mapping[str, Database]
    accounts: Accounts
    user: str = "root"


# --- Both generations: what a statement would create a table again

_ENCODINGS = {
    Type.BOOL: "bit-packing",
    Type.TIMESTAMP: "delta-i",
    Type.FLOAT: "delta-d",
    Type.DOUBLE: "delta-d",
}


def _storage_options(schema: Schema, column: Field) -> tuple[str, str, str]:
    """ENCODE, COMPRESS and LEVEL of a column in 3.3."""
    numeric = column.info.dtype is not None
    default = {
        "encode": _ENCODINGS.get(column.type, "simple8b" if numeric else "disabled"),
        "compress": "lz4",
        "level": "medium",
    }
    given = default | schema.column_options.get(column.name, {})
    return given["encode"], given["compress"], given["level"]


def _type_name(generation: Generation, field: Field) -> str:
    """A type as DESCRIBE says it; of a DECIMAL (3.3.6) with its digits."""
    name = generation.type_name(field.type)
    return f"{name}({field.digits}, {field.scale})" if field.type in DECIMALS else name


def _sql_type(generation: Generation, field: Field) -> str:
    name = _type_name(generation, field)
    return f"{name}({field.length})" if field.info.sized else name


def _listed_type(generation: Generation, field: Field) -> str:
    """A type as information_schema says it."""
    nameless = field.type is Type.GEOMETRY and not generation.names_geometry
    return "(null)" if nameless else _sql_type(generation, field)


def describe(generation: Generation, schema: Schema) -> View:
    """DESCRIBE."""
    is_2 = generation.number == 2
    fields = (
        _fields("Field:64 Type:20 Length:INT Note:8")
        if is_2
        else _fields("field:64 type:20 length:INT note:16 encode:12 compress:12 level:12")
    )
    rows: list[Row] = []
    for number, column in enumerate(schema.columns):
        note = "PRIMARY KEY" if schema.composite and number == 1 else ""
        rows.append(
            (column.name, _type_name(generation, column), column.length, note, *_storage_options(schema, column))
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
        return View(_fields(f"Table:192 Create~Table:{len(text.encode())}"), [(table.name, text)])
    return View(_fields("Table:193 Create~Table:3145726"), [(table.name, text)])


def _create_table(generation: Generation, table: Table | SuperTable) -> str:
    schema = table.schema
    is_2 = generation.number == 2
    separator = "," if is_2 else ", "
    columns = []
    for number, column in enumerate(schema.columns):
        text = f"`{column.name}` {_sql_type(generation, column)}"
        if not is_2:
            encode, compress, level = _storage_options(schema, column)
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


def _tag_text(tag: Field, value: Value) -> str | None:
    """A tag's value as ins_tags has it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.5f}" if tag.type is Type.FLOAT else f"{value:.9f}"
    return f"\\x{value.hex().upper()}" if isinstance(value, bytes) else str(value)


# --- Databases

_DATABASES_2 = _fields(
    "name:32 created_time:TIMESTAMP ntables:INT vgroups:INT replica:SMALLINT quorum:SMALLINT days:SMALLINT keep:24 "
    "cache(MB):INT blocks:INT minrows:INT maxrows:INT wallevel:TINYINT fsync:INT comp:TINYINT cachelast:TINYINT "
    "precision:3 update:TINYINT status:10"
)
_DATABASES_3 = _fields(
    "name:64 create_time:TIMESTAMP vgroups:INT ntables:BIGINT replica:TINYINT strict:4 duration:10 keep:32 buffer:INT "
    "pagesize:INT pages:INT minrows:INT maxrows:INT comp:TINYINT precision:2 status:10 retentions:60 "
    "single_stable:BOOL cachemodel:11 cachesize:INT wal_level:TINYINT wal_fsync_period:INT wal_retention_period:INT "
    "wal_retention_size:BIGINT stt_trigger:SMALLINT table_prefix:SMALLINT table_suffix:SMALLINT tsdb_pagesize:INT "
    "keep_time_offset:INT s3_chunksize:INT s3_keeplocal:10 s3_compact:TINYINT with_arbitrator:TINYINT "
    "encrypt_algorithm:16"
)

# Columns of SHOW DATABASES that are called otherwise in CREATE DATABASE.
_OPTION_OF = {"cache(MB)": "cache", "wallevel": "wal"}


def _listed(catalog: Catalog) -> list[Database]:
    """The databases, in the order of lists."""
    newest_first = reversed(list(catalog.databases.values()))
    return sorted(newest_first, key=lambda database: slot_of("databases", database.name, catalog.generation))


def _databases_2(catalog: Catalog) -> Iterator[Row]:
    for database in _listed(catalog):
        yield tuple(_database_value(database, field) for field in _DATABASES_2)


def _databases_3(catalog: Catalog) -> Iterator[Row]:
    for name, count in (("information_schema", 0), ("performance_schema", 0)):
        named: dict[str, Value] = {"name": name, "ntables": count, "status": "ready", "precision": "ms"}
        yield tuple(named.get(field.name) for field in _DATABASES_3)
    for database in _listed(catalog):
        yield tuple(_database_value(database, field) for field in _DATABASES_3)


def _database_value(database: Database, field: Field) -> Value:
    own: dict[str, Value] = {
        "name": database.name,
        "created_time": database.created,
        "create_time": database.created,
        "ntables": len(database.tables),
        "status": "ready",
        "with_arbitrator": 0,
        "retentions": database.options.get("retentions") or None,
    }
    if database.generation.number == 2:
        own["vgroups"] = int(bool(database.tables))
    else:
        own["duration"] = f"{database.minutes('duration')[0]}m"
        own["keep"] = keep_in_minutes(database)
        own["s3_keeplocal"] = f"{database.minutes('s3_keeplocal')[0]}m"
    if field.name in own:
        return own[field.name]
    text = database.options[_OPTION_OF.get(field.name, field.name)]
    if field.type is Type.BOOL:
        return text == "1"
    return text if field.type is Type.VARCHAR else int(text)


def keep_in_minutes(database: Database) -> str:
    """KEEP as 3.x shows it: three values in minutes."""
    keep = database.minutes("keep")
    keep += keep[-1:] * (3 - len(keep))
    return ",".join(f"{minutes}m" for minutes in keep)


_CREATE_2 = (
    "CREATE DATABASE {name} REPLICA {replica} QUORUM {quorum} DAYS {days} KEEP {keep} CACHE {cache} BLOCKS {blocks} "
    "MINROWS {minrows} MAXROWS {maxrows} WAL {wal} FSYNC {fsync} COMP {comp} CACHELAST {cachelast} "
    "PRECISION '{precision}' UPDATE {update}"
)
_CREATE_3 = (
    "CREATE DATABASE `{name}` BUFFER {buffer} CACHESIZE {cachesize} CACHEMODEL '{cachemodel}' COMP {comp} "
    "DURATION {duration} WAL_FSYNC_PERIOD {wal_fsync_period} MAXROWS {maxrows} MINROWS {minrows} "
    "STT_TRIGGER {stt_trigger} KEEP {keep} PAGES {pages} PAGESIZE {pagesize} PRECISION '{precision}' "
    "REPLICA {replica} WAL_LEVEL {wal_level} VGROUPS {vgroups} SINGLE_STABLE {single_stable} "
    "TABLE_PREFIX {table_prefix} TABLE_SUFFIX {table_suffix} TSDB_PAGESIZE {tsdb_pagesize} "
    "WAL_RETENTION_PERIOD {wal_retention_period} WAL_RETENTION_SIZE {wal_retention_size} "
    "KEEP_TIME_OFFSET {keep_time_offset} ENCRYPT_ALGORITHM '{encrypt_algorithm}' S3_CHUNKSIZE {s3_chunksize} "
    "S3_KEEPLOCAL {s3_keeplocal} S3_COMPACT {s3_compact}"
)


def show_create_database(database: Database) -> View:
    """SHOW CREATE DATABASE."""
    if database.generation.number == 2:
        text = _CREATE_2.format(name=database.name, **database.options)
        return View(_fields(f"Database:32 Create~Database:{len(text)}"), [(database.name, text)])
    options = database.options | {
        "duration": f"{database.minutes('duration')[0]}m",
        "keep": keep_in_minutes(database),
        "s3_keeplocal": f"{database.minutes('s3_keeplocal')[0]}m",
    }
    text = _CREATE_3.format(name=database.name, **options)
    return View(_fields("Database:63 Create~Database:65517"), [(database.name, text)])


# --- SHOW in 2.x

Rows = Callable[[Catalog, Database | None], Iterable[Row]]


def _stables_2(_: Catalog, database: Database | None) -> Iterator[Row]:
    for stable in database.listed_stables() if database else ():
        yield (
            stable.name,
            stable.created,
            len(stable.schema.columns),
            len(stable.schema.tags),
            len(stable.tables),
        )


def _tables_2(_: Catalog, database: Database | None) -> Iterator[Row]:
    if database is None:
        return
    tids = {name: tid for tid, name in enumerate(database.tables, 1)}
    for table in database.listed_tables():
        stable = table.stable.name if table.stable else ""
        yield (table.name, table.created, len(table.schema.columns), stable, table.uid, tids[table.name], 2)


def _users_2(catalog: Catalog, _: Database | None) -> Iterator[Row]:
    for name in ("_root", "monitor"):
        yield (name, "writable", catalog.accounts.find("root").created, "root")
    for account in catalog.accounts.users.values():
        yield (account.name, account.privilege, account.created, "root")


def _nothing(_: Catalog, __: Database | None) -> Iterator[Row]:
    return iter(())


_SHOW_2: dict[str, tuple[tuple[Field, ...], Rows]] = {
    "databases": (_DATABASES_2, lambda catalog, _: _databases_2(catalog)),
    "stables": (_fields("name:193 created_time:TIMESTAMP columns:SMALLINT tags:SMALLINT tables:INT"), _stables_2),
    "tables": (
        _fields("table_name:193 created_time:TIMESTAMP columns:SMALLINT stable_name:195 uid:BIGINT tid:INT vgId:INT"),
        _tables_2,
    ),
    "users": (_fields("name:24 privilege:8 create_time:TIMESTAMP account:24"), _users_2),
    "streams": (
        _fields(
            "streamId:20 user:24 dest~table:193 ip:port:22 created~time:TIMESTAMP exec~time:TIMESTAMP time(us):BIGINT "
            "sql:512 cycles:INT"
        ),
        _nothing,
    ),
    "functions": (
        _fields("name:65 path:4096 aggregate:INT outputtype:32 create_time:TIMESTAMP code_len:INT bufsize:INT"),
        _nothing,
    ),
}

# --- information_schema of 3.x

# What users other than root see of databases in 2.x (measured 2.4.0.18, 2.6.0.66).
_SEEN_OF_DATABASES_2 = frozenset({"name", "created_time", "ntables", "keep", "precision", "update", "status"})

# What SYSINFO 0 hides, and what it leaves of databases, in 3.x (measured 3.3.3.0).
_SYSTEM_INFORMATION = frozenset({"ins_grants", "ins_users", "ins_user_privileges"})
_SEEN_OF_DATABASES_3 = frozenset({"name", "create_time", "ntables", "precision", "status", "keep_time_offset"})

Wanted = Mapping[str, Value]
"""Columns that WHERE compares with one value, so that a view need not make the other rows."""


def _databases_of(catalog: Catalog, wanted: Wanted) -> Iterator[Database]:
    if "db_name" in wanted:
        named = catalog.databases.get(str(wanted["db_name"]))
        yield from [named] if named else []
    else:
        yield from _listed(catalog)


def _tables_of(catalog: Catalog, wanted: Wanted) -> Iterator[tuple[Database, Table]]:
    for database in _databases_of(catalog, wanted):
        if "table_name" in wanted:
            table = database.tables.get(str(wanted["table_name"]))
            yield from [(database, table)] if table else []
        elif "stable_name" in wanted:
            stable = database.stables.get(str(wanted["stable_name"]))
            yield from ((database, table) for table in (stable.read() if stable else ()))
        else:
            yield from ((database, table) for table in database.listed_tables())


def _ins_databases(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    return _databases_3(catalog)


def _ins_stables(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database in _databases_of(catalog, wanted):
        for stable in database.listed_stables():
            schema = stable.schema
            comment = schema.options.get("comment")
            yield (
                stable.name,
                database.name,
                stable.created,
                len(schema.columns),
                len(schema.tags),
                stable.created,
                comment,
                "5000a,5000a",
                "-1a,-1a",
                None,
            )


def _ins_tables(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database, table in _tables_of(catalog, wanted):
        options = table.schema.options | table.options if table.stable is None else table.options
        yield (
            table.name,
            database.name,
            table.created,
            len(table.schema.columns),
            table.stable.name if table.stable else None,
            table.uid,
            2 + table.spot,
            int(options.get("ttl", "0")),
            options.get("comment"),
            "CHILD_TABLE" if table.stable else "NORMAL_TABLE",
        )


def _ins_columns(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database in _databases_of(catalog, wanted):
        for stable in database.listed_stables():
            if wanted.get("table_name", stable.name) == stable.name:
                yield from _columns_of(stable, database, "SUPER_TABLE")
    for database, table in _tables_of(catalog, wanted):
        yield from _columns_of(table, database, "CHILD_TABLE" if table.stable else "NORMAL_TABLE")


def _columns_of(table: Table | SuperTable, database: Database, kind: str) -> Iterator[Row]:
    for column in table.schema.columns:
        name = _listed_type(database.generation, column)
        yield (table.name, database.name, kind, column.name, name, column.wire_bytes, None, None, None)


def _ins_tags(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database, table in _tables_of(catalog, wanted):
        if table.stable is None:
            continue
        for tag, value in zip(table.schema.tags, table.tags, strict=True):
            kind = "JSON(16382)" if tag.type is Type.JSON else _listed_type(database.generation, tag)
            yield (table.name, database.name, table.stable.name, tag.name, kind, _tag_text(tag, value))


def _ins_users(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    for account in catalog.accounts.users.values():
        is_super = int(account.privilege == "super")
        seen = int(account.sysinfo)
        yield (account.name, is_super, 1, seen, int(account.create_databases), account.created, "127.0.0.1")


def _ins_user_privileges(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    for account in catalog.accounts.users.values():
        if account.privilege == "super":
            yield (account.name, "all", "all", "", "", "")
        for grant in account.grants:
            yield (account.name, grant.right, grant.database, grant.table, grant.condition, "")


def _ins_grants(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    """What the licence allows, "grants" in TDengine's words; the community edition's is measured."""
    edition = "Enterprise" if catalog.accounts.checked else "Community"
    yield (f"TDengine {edition} Edition", "unlimited", "limited", "false", "ungranted", *["unlimited"] * 3)


def _ins_indexes(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    """3.x indexes the first tag of every super table by itself."""
    for database in _databases_of(catalog, wanted):
        for stable in database.listed_stables():
            tag = stable.schema.tags[0].name
            yield (f"{tag}_{stable.name}", database.name, stable.name, None, stable.created, tag, "tag_index", None)


def _no_rows(_: Catalog, __: Wanted) -> Iterator[Row]:
    return iter(())


_INFORMATION_SCHEMA: dict[str, tuple[tuple[Field, ...], Callable[[Catalog, Wanted], Iterable[Row]]]] = {
    "ins_databases": (_DATABASES_3, _ins_databases),
    "ins_stables": (
        _fields(
            "stable_name:192 db_name:64 create_time:TIMESTAMP columns:INT tags:INT last_update:TIMESTAMP "
            "table_comment:1024 watermark:64 max_delay:64 rollup:128"
        ),
        _ins_stables,
    ),
    "ins_tables": (
        _fields(
            "table_name:192 db_name:64 create_time:TIMESTAMP columns:INT stable_name:192 uid:BIGINT vgroup_id:INT "
            "ttl:INT table_comment:1024 type:21"
        ),
        _ins_tables,
    ),
    "ins_columns": (
        _fields(
            "table_name:192 db_name:64 table_type:21 col_name:64 col_type:32 col_length:INT col_precision:INT "
            "col_scale:INT col_nullable:INT"
        ),
        _ins_columns,
    ),
    "ins_tags": (
        _fields("table_name:192 db_name:64 stable_name:192 tag_name:64 tag_type:32 tag_value:16384"),
        _ins_tags,
    ),
    "ins_users": (
        _fields(
            "name:24 super:TINYINT enable:TINYINT sysinfo:TINYINT createdb:TINYINT create_time:TIMESTAMP "
            "allowed_host:49152"
        ),
        _ins_users,
    ),
    "ins_user_privileges": (
        _fields("user_name:24 privilege:10 db_name:65 table_name:193 condition:49152 notes:64"),
        _ins_user_privileges,
    ),
    "ins_grants": (
        _fields("version:32 expire_time:19 service_time:19 expired:5 state:9 timeseries:21 dnodes:10 cpu_cores:13"),
        _ins_grants,
    ),
    "ins_indexes": (
        _fields(
            "index_name:192 db_name:64 table_name:192 vgroup_id:INT create_time:TIMESTAMP column_name:192 "
            "index_type:10 index_extensions:256"
        ),
        _ins_indexes,
    ),
    "ins_streams": (_fields("stream_name:192 create_time:TIMESTAMP sql:2048 status:20"), _no_rows),
    "ins_topics": (_fields("topic_name:192 db_name:64 create_time:TIMESTAMP sql:49152"), _no_rows),
    "ins_functions": (_fields("name:64 comment:255 aggregate:INT output_type:31 create_time:TIMESTAMP"), _no_rows),
    "ins_views": (
        _fields(
            "view_name:192 db_name:64 effective_user:24 create_time:TIMESTAMP type:128 query_sql:2048 parameters:2048 "
            "default_values:2048 target_table:192"
        ),
        _no_rows,
    ),
}

# SHOW in 3.x: the view that it reads, and how many of its columns it shows.
_SHOW_3 = {
    "databases": ("ins_databases", 1),
    "stables": ("ins_stables", 1),
    "tables": ("ins_tables", 1),
    "users": ("ins_users", 7),
    "streams": ("ins_streams", 1),
    "functions": ("ins_functions", 1),
    "topics": ("ins_topics", 1),
    "views": ("ins_views", 9),
}

SHOWN_OF_A_DATABASE = frozenset({"stables", "tables", "views"})


def information_schema(catalog: Catalog, name: str, wanted: Wanted) -> View | None:
    """A table of information_schema.

    Parameters:
        catalog: what is there.
        name: such as "ins_tables".
        wanted: columns that have to have a certain value; rows with others may be left out.

    Returns:
        None if there is no such table.
    """
    if catalog.generation.number == 2 or name not in _INFORMATION_SCHEMA:
        return None
    fields, rows = _INFORMATION_SCHEMA[name]
    if catalog.accounts.find(catalog.user).sysinfo:
        return View(fields, rows(catalog, wanted))
    if name in _SYSTEM_INFORMATION:
        raise catalog.generation.errors("denied")
    if name == "ins_databases":
        return _only(View(fields, rows(catalog, wanted)), _SEEN_OF_DATABASES_3)
    return View(fields, rows(catalog, wanted))


def _only(view: View, names: Container[str]) -> View:
    """A view with only some of its columns."""
    shown = [i for i, field in enumerate(view.fields) if field.name in names]
    return View(tuple(view.fields[i] for i in shown), (tuple(row[i] for i in shown) for row in view.rows))


def show(catalog: Catalog, what: str, database: Database | None) -> View | None:
    """SHOW of a list.

    Parameters:
        catalog: what is there.
        what: such as "tables".
        database: whose.

    Returns:
        None if the generation has no such list.
    """
    if catalog.generation.number == 2:
        if what not in _SHOW_2:
            return None
        fields, rows = _SHOW_2[what]
        listed = View(fields, rows(catalog, database))
        is_limited = what == "databases" and not catalog.accounts.is_super(catalog.user)
        return _only(listed, _SEEN_OF_DATABASES_2) if is_limited else listed
    if what not in _SHOW_3:
        return None
    name, columns = _SHOW_3[what]
    view = information_schema(catalog, name, {"db_name": database.name} if database else {})
    assert view is not None
    return View(view.fields[:columns], (row[:columns] for row in view.rows))
