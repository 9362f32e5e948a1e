"""What TDengine 2.x and 3.x do differently: one object a generation, read by everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_tdengine.client.types import DECIMALS, Type
from airflow_provider_tdengine.testing.generations.errors import ERRORS_2, ERRORS_3, ERRORS_30, ERRORS_335, ErrorTable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are names only between backticks. 3.x: TDengine's documentation, "Keywords", without those
# that its grammar takes as names all the same (%fallback ID in sql.y).
_RESERVED_3 = _words(
    """
    account accounts add aggregate alive all alter analyze and apps as asc at_once balance between bigint binary bnode
    bnodes bool buffer bufsize by cache cachemodel cachesize case cast client_version cluster column comment comp
    composite connection connections conns consumer consumers contains count_window create current_user database
    databases dbs delete delete_mark desc describe distinct distributed dnode dnodes double drop duration enable
    encryptions event_window every exists expired explain fill fill_history float flush from full function functions
    geometry grant grants group having host if ignore in index indexes inner insert int integer interval into iptoken is
    join json keep keys language last last_row leader leading left licences like limit linear local logs match max_delay
    maxrows merge meta minrows minus mnode mnodes modify nchar next nmatch none not now null null_f nulls offset on or
    order outer outputtype pages pagesize partition pass port position ppss precision prev primary privileges qnode
    qnodes qtime queries query range ratio read rebalance redistribute rename replace replica reset restore retentions
    revoke rollup schemaless select server_status server_version session set show single_stable sliding slimit sma
    smallint snode snodes soffset split stable stables start state state_window storage stream streams strict
    subscriptions substring subtable sysinfo system table table_prefix table_suffix tables tag tags tbname timestamp
    timezone tinyint to today topic topics trailing transaction transactions trigger trim true tsdb_pagesize ttl union
    unsafe unsigned untreated update_keep use user users using value values varbinary varchar variables verbose vgroup
    vgroups views vnode vnodes wal_fsync_period wal_level wal_retention_period wal_retention_size watermark where
    window_close with write
    """
)

_RESERVED_2 = _words(
    """
    add alter and as asc between bigint binary bool by create database delete desc describe distinct double drop exists
    float from group having if import in insert int interval into is join json like limit modify nchar not now null
    offset or order select set show slimit smallint soffset stable table tag tags tbname timestamp tinyint union
    unsigned use using values where
    """
)

_DATABASE_OPTIONS_2: Mapping[str, str] = {
    "replica": "1",
    "quorum": "1",
    "days": "10",
    "keep": "3650",
    "cache": "16",
    "blocks": "6",
    "minrows": "100",
    "maxrows": "4096",
    "wal": "1",
    "fsync": "3000",
    "comp": "2",
    "cachelast": "0",
    "precision": "ms",
    "update": "0",
}

_DATABASE_OPTIONS_3: dict[str, str] = {
    "buffer": "256",
    "cachesize": "1",
    "cachemodel": "none",
    "comp": "2",
    "duration": "10d",
    "wal_fsync_period": "3000",
    "maxrows": "4096",
    "minrows": "100",
    "stt_trigger": "1",
    "keep": "3650",
    "pages": "256",
    "pagesize": "4",
    "precision": "ms",
    "replica": "1",
    "wal_level": "1",
    "vgroups": "2",
    "single_stable": "0",
    "table_prefix": "0",
    "table_suffix": "0",
    "tsdb_pagesize": "4",
    "wal_retention_period": "3600",
    "wal_retention_size": "0",
    "wal_roll_period": "0",
    "wal_segment_size": "0",
    "keep_time_offset": "0",
    "encrypt_algorithm": "none",
    "s3_chunksize": "262144",
    "s3_keeplocal": "3650d",
    "s3_compact": "0",
    "retentions": "",
    "strict": "on",
}

# Measured 3.3.5.2.
_DATABASE_OPTIONS_335 = {name: value for name, value in _DATABASE_OPTIONS_3.items() if name != "s3_chunksize"} | {
    "stt_trigger": "2",
    "s3_chunkpages": "131072",
    "s3_keeplocal": "365d",
    "s3_compact": "1",
    "compact_interval": "0d",
    "compact_time_range": "0d,0d",
    "compact_time_offset": "0h",
}

_COMPRESSION_335: Mapping[Type, str] = {
    **dict.fromkeys((Type.BOOL, Type.VARCHAR, Type.NCHAR, Type.VARBINARY, *DECIMALS), "zstd"),
    **dict.fromkeys((Type.TINYINT, Type.SMALLINT, Type.UTINYINT, Type.USMALLINT), "zlib"),
}

_SINCE: Mapping[Type, tuple[int, ...]] = {
    Type.GEOMETRY: (3,),
    Type.VARBINARY: (3, 3),
    **dict.fromkeys(DECIMALS, (3, 3, 5)),
    Type.BLOB: (3, 3, 7),
}
"""Types that were not there from the beginning: measured, but for BLOB."""


@dataclass(frozen=True)
class Generation:
    """The facts of a generation.

    Parameters:
        number: 2 or 3.
        errors: how it words what went wrong.
        reserved: words that are no names without backticks.
        database_options: the options of CREATE DATABASE and their defaults.
        lacks: types that it does not have.
        text_type: what it calls VARCHAR.
        tbname_length: the length of the pseudo column `tbname`.
        json_length: the length of a JSON tag in descriptions.
        json_wire: bytes that a JSON value may take in a block.
        null_minimum: the lowest integer, and the highest unsigned one, mean NULL.
        future_is_limited: a timestamp later than now and the database's DAYS is refused.
        upsert: a later row of a timestamp replaces an earlier one, whatever the database says.
        quoted_databases: a database's name may stand between backticks.
        dots_in_tables: a table's name may hold a dot.
        nested_functions: aggregates take expressions.
        group_appends_key: GROUP BY tbname appends the table's name to the result.
        interval_prepends_start: INTERVAL puts the window's start before the result.
        counts_nothing: a count over nothing is a row with 0, rather than no row.
        tags_a_table: tags and tbname without columns give one row a subtable.
        normalizes_json: a JSON tag is read, and written again with its keys in order.
        denormal_floats: INSERT takes numbers below the smallest normal one.
        websocket_paths: where it serves WebSockets.
        binary_messages: it knows the WebSocket's binary messages, and answers what it does not know.
        max_message: bytes of a WebSocket message, beyond which the socket is closed; 0 for any number.
        unauthorized_status: HTTP status where nobody is named.
        slots: how large the hash tables are whose order lists have, by what is listed (measured, all versions).
        hashed_name: how a name is written where it is hashed for them; `{}` is a database, or database and table.
        reads_by_tag: it reads super tables in the order of their first tag (measured 2.4.0.18, 2.6.0.66), rather than
            vgroup by vgroup.
        groups_by_name: GROUP BY tbname answers by name, short ones first (measured 2.4.0.18, 2.6.0.27); else in the
            order of reading, backwards.
        nameless: words that its grammar takes for names, and that name no table all the same (measured 2.4.0.18).
        edge_keeps_name: FIRST and LAST of a column, alone beside a GROUP BY, are called as the column (measured
            2.4.0.18, 2.6.0.27; not FIRST of the timestamp beside COUNT).
        nothing_is_left_out: a group in which no aggregate found a value is not in the answer, nor is one whose only
            COUNT is 0 (measured 2.4.0.18, 2.6.0.27).
        maximum_skips_zero: MAX of unsigned numbers that are all 0 finds no value (measured 2.4.0.18, 2.6.0.27).
        infinity: what JSON has where a number is none: "cut", it ends there (measured 2.4.0.18, 2.6.0.27, 3.0.5.2);
            "nothing", there is no answer (measured 3.3.3.0, 3.3.5.2); "null" since 3.3.8, by its documents.
        last_begins_at_0: LAST of the timestamps of a super table is 0 where all are before 1970 (measured 3.0.5.2,
            where a vgroup has none of its rows; not 3.3.3.0, 3.3.5.2).
        sums_infinity: a sum beyond DOUBLE is infinite (2.x), rather than NULL (measured 3.0.5.2, 3.3.3.0, 3.3.5.2).
        first_slips: FIRST of the timestamp beside SUM, MIN or MAX in a GROUP BY tbname may be a step too low
            (measured 2.4.0.18, not 2.6.0.27).
        names_geometry: information_schema has a name for GEOMETRY; 3.0 says "(null)" (measured 3.0.5.2).
        selects_tags: it knows SELECT TAGS (measured 3.3.3.0; not 3.0.5.2).
        distinct_json: DISTINCT takes JSON tags (measured 3.0.5.2; not 3.3.3.0).
        counts_empty_tables: a count by tbname has a row with 0 for a table without rows (measured 3.3.3.0; not
            3.0.5.2).
        strays_in_lists: `tbname IN` finds tables of other super tables, and reads them as if they were of this one
            (measured 3.0.5.2, 3.3.3.0).
        counts_hours: it lists lengths of time in days or hours where they are whole (measured 3.3.5.2), rather than
            always in minutes (measured 3.3.3.0).
        compression: of columns by type, where it is not lz4.
        timezone_length: the length of `timezone()`.
        closes_json: a block with JSON has the closing byte of others (measured 3.3.5.2; not 3.3.3.0).
        answers_any_poll: a poll before a topic is subscribed is answered (not by the adapter of 3.3.5.2).
        forgets_tagged: groups are told nothing more of a subtable whose tag is set (measured 3.3.5.2; not 3.3.3.0).
        tells_known_tables: an INSERT with USING and TAGS tells its table, too, where that is there already (measured
            3.3.3.0; not 3.3.5.2).
        describes_decimals: answers over WebSocket say digits and scales of columns (measured 3.3.5.2).
        counts_next: positions of subscriptions are the next version to be read (measured 3.3.3.0), rather than the last
            one that was (measured 3.0.5.2).
        alters_to_the_same: ALTER DATABASE may change nothing (measured 3.3.3.0, 3.3.5.2; not 3.0.5.2).
        takes_stt_triggers: STT_TRIGGER may be something else than 1 (not in 3.3.3.0, measured; 3.3.5.2 has 2).
        takes_all_nchar: raw blocks may have NCHAR with numbers that are no characters (measured 3.3.3.0, 3.3.5.2); not
            since 3.4, by its documents, which do not say how it refuses them.
        tells_empty_text: subscriptions tell an empty text from NULL (measured 3.3.3.0; not 3.0.5.2).
    """

    number: int
    errors: ErrorTable
    reserved: frozenset[str]
    database_options: Mapping[str, str]
    lacks: frozenset[Type]
    text_type: str
    tbname_length: int
    json_length: int
    json_wire: int
    null_minimum: bool
    future_is_limited: bool
    upsert: bool
    quoted_databases: bool
    dots_in_tables: bool
    nested_functions: bool
    group_appends_key: bool
    interval_prepends_start: bool
    counts_nothing: bool
    tags_a_table: bool
    normalizes_json: bool
    denormal_floats: bool
    websocket_paths: tuple[str, ...]
    binary_messages: bool
    max_message: int
    unauthorized_status: int
    slots: Mapping[str, int]
    hashed_name: str
    reads_by_tag: bool
    groups_by_name: bool
    nameless: frozenset[str]
    edge_keeps_name: bool
    nothing_is_left_out: bool
    maximum_skips_zero: bool
    infinity: str
    sums_infinity: bool
    last_begins_at_0: bool
    first_slips: bool
    names_geometry: bool
    selects_tags: bool
    distinct_json: bool
    counts_empty_tables: bool
    strays_in_lists: bool
    counts_hours: bool
    compression: Mapping[Type, str]
    timezone_length: int
    closes_json: bool
    answers_any_poll: bool
    forgets_tagged: bool
    tells_known_tables: bool
    describes_decimals: bool
    counts_next: bool
    tells_empty_text: bool
    alters_to_the_same: bool
    takes_stt_triggers: bool
    takes_all_nchar: bool

    def type_name(self, kind: Type) -> str:
        """What DESCRIBE and REST call a type."""
        return self.text_type if kind is Type.VARCHAR else kind_name(kind)


def kind_name(kind: Type) -> str:
    """A type's name without length."""
    return {
        Type.UTINYINT: "TINYINT UNSIGNED",
        Type.USMALLINT: "SMALLINT UNSIGNED",
        Type.UINT: "INT UNSIGNED",
        Type.UBIGINT: "BIGINT UNSIGNED",
        Type.DECIMAL64: "DECIMAL",
    }.get(kind, kind.name)


GENERATION_2 = Generation(
    number=2,
    errors=ERRORS_2,
    reserved=_RESERVED_2,
    database_options=_DATABASE_OPTIONS_2,
    lacks=frozenset(_SINCE),
    text_type="BINARY",
    tbname_length=193,
    json_length=4096,
    json_wire=16387,
    null_minimum=True,
    future_is_limited=True,
    upsert=False,
    quoted_databases=False,
    dots_in_tables=True,
    nested_functions=False,
    group_appends_key=True,
    interval_prepends_start=True,
    counts_nothing=False,
    tags_a_table=True,
    normalizes_json=False,
    denormal_floats=True,
    websocket_paths=("/rest/ws",),
    binary_messages=False,
    max_message=512,
    unauthorized_status=200,
    slots={"databases": 128, "stables": 128, "tables": 32768},
    hashed_name="0.{}",
    reads_by_tag=True,
    groups_by_name=True,
    nameless=_words("none"),
    edge_keeps_name=True,
    nothing_is_left_out=True,
    maximum_skips_zero=True,
    infinity="cut",
    sums_infinity=True,
    last_begins_at_0=False,
    first_slips=True,
    names_geometry=False,
    selects_tags=False,
    distinct_json=True,
    counts_empty_tables=False,
    strays_in_lists=False,
    counts_hours=False,
    compression={},
    timezone_length=94,
    closes_json=False,
    answers_any_poll=True,
    forgets_tagged=False,
    tells_known_tables=True,
    describes_decimals=False,
    counts_next=False,
    tells_empty_text=False,
    alters_to_the_same=True,
    takes_stt_triggers=True,
    takes_all_nchar=True,
)

GENERATION_3 = Generation(
    number=3,
    errors=ERRORS_3,
    reserved=_RESERVED_3,
    database_options=_DATABASE_OPTIONS_3,
    lacks=frozenset(),
    text_type="VARCHAR",
    tbname_length=270,
    json_length=4095,
    json_wire=16384,
    null_minimum=False,
    future_is_limited=False,
    upsert=True,
    quoted_databases=True,
    dots_in_tables=False,
    nested_functions=True,
    group_appends_key=False,
    interval_prepends_start=False,
    counts_nothing=True,
    tags_a_table=False,
    normalizes_json=True,
    denormal_floats=False,
    websocket_paths=("/ws", "/rest/ws"),
    binary_messages=True,
    max_message=0,
    unauthorized_status=401,
    slots={"databases": 64, "stables": 64, "indexes": 64},
    hashed_name="1.{}\0",
    reads_by_tag=False,
    groups_by_name=False,
    nameless=frozenset(),
    edge_keeps_name=False,
    nothing_is_left_out=False,
    maximum_skips_zero=False,
    infinity="nothing",
    sums_infinity=False,
    last_begins_at_0=False,
    first_slips=False,
    names_geometry=True,
    selects_tags=True,
    distinct_json=False,
    counts_empty_tables=True,
    strays_in_lists=True,
    counts_hours=False,
    compression={},
    timezone_length=94,
    closes_json=False,
    answers_any_poll=True,
    forgets_tagged=False,
    tells_known_tables=True,
    describes_decimals=False,
    counts_next=True,
    tells_empty_text=True,
    alters_to_the_same=True,
    takes_stt_triggers=True,
    takes_all_nchar=True,
)


def generation_of(version: str) -> Generation:
    """The generation that a version such as "2.4.0.18" or "3.3.3.0" belongs to, as it was in that version.

    What changed within a generation was seen in 2.4.0.18 and 2.6.0.27, in 3.0.5.2, 3.3.3.0 and 3.3.5.2.

    Raises:
        ValueError: neither 2.x nor 3.x.
    """
    numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
    if numbers[:1] == (2,):
        return replace(GENERATION_2, first_slips=numbers < (2, 6))
    if numbers[:1] != (3,):
        raise ValueError(f"the box speaks TDengine 2.x and 3.x, not {version!r}")
    is_current, is_newest = numbers >= (3, 3), numbers >= (3, 3, 5)
    return replace(
        GENERATION_3,
        infinity="null" if numbers >= (3, 3, 8) else "nothing" if is_current else "cut",
        names_geometry=is_current,
        selects_tags=is_current,
        distinct_json=not is_current,
        counts_empty_tables=is_current,
        last_begins_at_0=not is_current,
        strays_in_lists=numbers < (3, 3, 5),
        # 3.0 keeps no log for subscriptions unless it is told to (measured 3.0.5.2, 3.3.3.0).
        database_options=_DATABASE_OPTIONS_335
        if is_newest
        else _DATABASE_OPTIONS_3 | {"wal_retention_period": "3600" if is_current else "0"},
        lacks=frozenset(kind for kind, since in _SINCE.items() if numbers < since),
        counts_hours=is_newest,
        counts_next=is_current,
        tells_empty_text=is_current,
        alters_to_the_same=is_current,
        takes_stt_triggers=is_newest or not is_current,
        takes_all_nchar=numbers < (3, 4),
        errors=ERRORS_335 if is_newest else ERRORS_3 if is_current else ERRORS_30,
        compression=_COMPRESSION_335 if is_newest else {},
        timezone_length=16 if is_newest else 94,
        json_wire=16382 if is_newest else GENERATION_3.json_wire,
        closes_json=is_newest,
        answers_any_poll=not is_newest,
        forgets_tagged=is_newest,
        tells_known_tables=not is_newest,
        describes_decimals=is_newest,
    )
