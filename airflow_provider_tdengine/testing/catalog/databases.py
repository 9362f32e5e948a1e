"""What databases there are, and what would create them again."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing.catalog.views import Catalog, Row, View, fields_of
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.stored import Database, slot_of

DATABASES_2 = fields_of(
    "name:32 created_time:TIMESTAMP ntables:INT vgroups:INT replica:SMALLINT quorum:SMALLINT days:SMALLINT keep:24 "
    "cache(MB):INT blocks:INT minrows:INT maxrows:INT wallevel:TINYINT fsync:INT comp:TINYINT cachelast:TINYINT "
    "precision:3 update:TINYINT status:10"
)
_DATABASES_3 = (
    "name:64 create_time:TIMESTAMP vgroups:INT ntables:BIGINT replica:TINYINT strict:4 duration:10 keep:32 buffer:INT "
    "pagesize:INT pages:INT minrows:INT maxrows:INT comp:TINYINT precision:2 status:10 retentions:60 "
    "single_stable:BOOL cachemodel:11 cachesize:INT wal_level:TINYINT wal_fsync_period:INT wal_retention_period:INT "
    "wal_retention_size:BIGINT stt_trigger:SMALLINT table_prefix:SMALLINT table_suffix:SMALLINT tsdb_pagesize:INT "
    "keep_time_offset:INT {s3_chunk}:INT s3_keeplocal:10 s3_compact:TINYINT with_arbitrator:TINYINT "
    "encrypt_algorithm:16"
)
_COMPACT_335 = " compact_interval:12 compact_time_range:24 compact_time_offset:4"

_TIERS = 3
"""Of storage, each with a KEEP of its own."""

# Columns of SHOW DATABASES that are called otherwise in CREATE DATABASE.
_OPTION_OF = {"cache(MB)": "cache", "wallevel": "wal"}


def _is_335(generation: Generation) -> bool:
    return "s3_chunkpages" in generation.database_options


def fields_of_databases(generation: Generation) -> tuple[Field, ...]:
    """The columns of 3.x's ins_databases."""
    if _is_335(generation):
        return fields_of(_DATABASES_3.format(s3_chunk="s3_chunkpages") + _COMPACT_335)
    return fields_of(_DATABASES_3.format(s3_chunk="s3_chunksize"))


def listed_databases(catalog: Catalog) -> list[Database]:
    """The databases in the order of lists, but for those that 3.x makes itself."""
    newest_first = reversed(list(catalog.databases.values()))
    return sorted(newest_first, key=lambda database: slot_of("databases", database.name, catalog.generation))


def databases_2(catalog: Catalog) -> Iterator[Row]:
    """SHOW DATABASES of 2.x."""
    for database in listed_databases(catalog):
        yield tuple(_database_value(database, field) for field in DATABASES_2)


def databases_3(catalog: Catalog) -> Iterator[Row]:
    """What ins_databases lists."""
    fields = fields_of_databases(catalog.generation)
    for name, count in (("information_schema", 0), ("performance_schema", 0)):
        named: dict[str, Value] = {"name": name, "ntables": count, "status": "ready", "precision": "ms"}
        yield tuple(named.get(field.name) for field in fields)
    for database in listed_databases(catalog):
        yield tuple(_database_value(database, field) for field in fields)


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
        own["duration"] = _lengths(database, "duration")
        own["keep"] = _lengths(database, "keep", _TIERS)
        own["s3_keeplocal"] = f"{database.minutes('s3_keeplocal')[0]}m"
    if field.name in own:
        return own[field.name]
    text = database.options[_OPTION_OF.get(field.name, field.name)]
    if field.type is Type.BOOL:
        return text == "1"
    return text if field.type is Type.VARCHAR else int(text)


def _lengths(database: Database, option: str, count: int = 1) -> str:
    """An option's lengths of time as 3.x shows them; the last one counts for those that were not said."""
    minutes = database.minutes(option)
    minutes += minutes[-1:] * (count - len(minutes))
    return ",".join(_length(each, database.generation) for each in minutes)


def _length(minutes: int, generation: Generation) -> str:
    if generation.counts_hours and not minutes % 60:
        return f"{minutes // 60}h" if minutes % 1440 else f"{minutes // 1440}d"
    return f"{minutes}m"


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
    "KEEP_TIME_OFFSET {keep_time_offset} ENCRYPT_ALGORITHM '{encrypt_algorithm}' "
)
_CREATE_33 = "S3_CHUNKSIZE {s3_chunksize} S3_KEEPLOCAL {s3_keeplocal} S3_COMPACT {s3_compact}"
_CREATE_335 = (
    "S3_CHUNKPAGES {s3_chunkpages} S3_KEEPLOCAL {s3_keeplocal} S3_COMPACT {s3_compact} COMPACT_INTERVAL "
    "{compact_interval} COMPACT_TIME_RANGE {compact_time_range} COMPACT_TIME_OFFSET {compact_time_offset}"
)


def show_create_database(database: Database) -> View:
    """SHOW CREATE DATABASE."""
    if database.generation.number == 2:
        text = _CREATE_2.format(name=database.name, **database.options)
        return View(fields_of(f"Database:32 Create~Database:{len(text)}"), [(database.name, text)])
    options = database.options | {
        "duration": _lengths(database, "duration"),
        "keep": _lengths(database, "keep", _TIERS),
        "s3_keeplocal": f"{database.minutes('s3_keeplocal')[0]}m",
    }
    rest = _CREATE_335 if _is_335(database.generation) else _CREATE_33
    text = (_CREATE_3 + rest).format(name=database.name, **options)
    return View(fields_of("Database:63 Create~Database:65517"), [(database.name, text)])
