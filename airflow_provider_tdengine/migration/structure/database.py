"""The target database: how it is made from the source's options, which of them it does not have, and what it keeps.

Limits are those of 3.0.5.2, 3.3.3.0 and 3.3.5.2, measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import Self

from airflow_provider_tdengine.client.dialect import Dialect
from airflow_provider_tdengine.client.sql import is_speakable, string, timestamp
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Database, TimeScale
from airflow_provider_tdengine.migration.database_options import DAY, KEEP_LOCAL, DatabaseOptions, minutes
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.structure.not_migrated import Leftover

_DEFAULT_KEEP = 3650 * DAY
_DEFAULT_DURATION = 10 * DAY

# KEEP goes from a day to 365000 days; timestamps in nanoseconds do not reach back that far.
_SHORTEST_KEEP = DAY
_LONGEST_KEEP = {Precision.MS: 365_000 * DAY, Precision.US: 365_000 * DAY, Precision.NS: 106_580 * DAY}

# 3.3 keeps the rows of a file as long as three files last, 3.0 as long as one. Both take what 3.3 takes.
_FILES_KEPT = 3


@dataclass(frozen=True, slots=True)
class NewDatabase:
    """A target database that is to be created.

    Parameters:
        name: its name.
        precision: of its timestamps.
        keep: minutes for which it keeps rows, one value a storage tier.
        duration: minutes that one data file spans.
        local: minutes for which rows are not in shared storage, of which a file spans a third at most.
        words: further options, in upper case, with their values: what the user says, before what the source has.
    """

    name: str
    precision: Precision
    keep: tuple[int, ...]
    duration: int
    local: int
    words: Mapping[str, str]

    @classmethod
    def like(cls, source: Database, name: str, options: str, dialect: Dialect, known: Collection[str] = ()) -> Self:
        """A database that keeps rows as precisely and as long as the source.

        DURATION becomes shorter where the KEEP of the source, or the S3_KEEPLOCAL of the target, would not last for
        three files.

        Parameters:
            source: whose precision, KEEP and DURATION (DAYS in 2.x) it gets; with `AS SOURCE`, all other options, too.
            name: of the new one.
            options: what the user says of it, see `migration.database_options`.
            dialect: of the target.
            known: options that its server has, in lower case; others of the source it does not get.
        """
        wanted = DatabaseOptions.parse(options)
        words = dict(wanted.words)
        if wanted.as_source:
            for _, its, value in _options_of(source):
                if (option := _called(its, known)) in known:
                    words.setdefault(option.upper(), string(value) if option in _TEXTS else value)
        keep = wanted.keep or source.keep or (_DEFAULT_KEEP,)
        kept = [minutes(words[word]) for word in KEEP_LOCAL & words.keys()]
        local = min(kept, default=dialect.days_kept_local * DAY)
        duration = min(source.duration or _DEFAULT_DURATION, keep[0] // _FILES_KEPT, local // _FILES_KEPT)
        return cls(name, wanted.precision or source.precision, keep, wanted.duration or duration, local, words)

    def findings(self, source: Database, *, allow_lossy: bool = False) -> Iterator[Finding]:
        """What of it would lose digits, unless that is allowed, or be refused."""
        if TimeScale.between(source.precision, self.precision).cuts and not allow_lossy:
            yield coarser(source, Database(self.name, self.precision))
        what = f"Database {self.name!r}"
        if not is_speakable(self.name):
            yield Finding(what, "its name has a single backtick, which SQL cannot say", "Give another target_database")
        longest = _LONGEST_KEEP[self.precision]
        if not all(_SHORTEST_KEEP <= keep <= longest for keep in self.keep):
            yield Finding(
                what,
                f"KEEP would be {_lengths(self.keep)}, and TDengine 3 takes 1d to {_length(longest)} "
                f"with precision {self.precision.value}",
                "Give a KEEP in database_options",
            )
        elif self.keep[0] < _FILES_KEPT * self.duration:
            yield Finding(
                what,
                f"KEEP would be {_lengths(self.keep)} and DURATION {_length(self.duration)}, and KEEP must be "
                f"{_FILES_KEPT} times DURATION",
                "Give another KEEP or DURATION in database_options",
            )
        elif self.local < _FILES_KEPT * self.duration:
            yield Finding(
                what,
                f"DURATION would be {_length(self.duration)}, and this TDengine takes a third of S3_KEEPLOCAL at most, "
                f"which would be {_length(self.local)}",
                "Give a shorter DURATION or a longer S3_KEEPLOCAL in database_options",
            )

    def statement(self, dialect: Dialect) -> str:
        """CREATE DATABASE; what is not said is the server's default.

        Parameters:
            dialect: of the target.
        """
        given = {
            "PRECISION": string(self.precision.value),
            "KEEP": ",".join(f"{keep}m" for keep in self.keep),
            "DURATION": f"{self.duration}m",
        }
        parts = [f"{word} {value}" for word, value in {**given, **self.words}.items()]
        return " ".join([f"CREATE DATABASE IF NOT EXISTS {dialect.database(self.name)}", *parts])


def coarser(source: Database, target: Database) -> Finding:
    """What to say of a target whose timestamps have fewer digits."""
    return Finding(
        f"Database {target.name!r}",
        f"the target counts {target.precision.value}, the source {source.precision.value}, "
        "so digits of timestamps would be lost",
        "Give a target database of the same or a finer precision, or set allow_lossy_precision",
    )


def oldest(database: Database, now: datetime, precision: Precision) -> int | None:
    """The oldest timestamp that a database takes and shows; older rows are refused, and invisible.

    All four versions do so to the minute, in memory and on disk (measured).

    Parameters:
        database: whose KEEP counts.
        now: the present moment.
        precision: of the timestamp that is returned.

    Returns:
        None where the account may not see KEEP, and where nothing expires.
    """
    if database.is_stored or not database.keep:
        return None
    return timestamp(now, precision) - max(database.keep) * 60 * precision.per_second


# --- What the target does not get

_DEFAULTS_2 = {
    "replica": "1",
    "quorum": "1",
    "cache(mb)": "16",
    "blocks": "6",
    "minrows": "100",
    "maxrows": "4096",
    "wallevel": "1",
    "fsync": "3000",
    "comp": "2",
    "cachelast": "0",
}

_CACHE_MODELS = {"0": "none", "1": "last_row", "2": "last_value", "3": "both"}

# Measured in all four versions.
_UPDATE = {
    "0": "the source kept the first row of a timestamp; in 3.x a later one replaces the columns that it names",
    "1": "the source replaced the whole row of a timestamp; 3.x leaves columns that a later row does not name",
    "2": "the source kept a value where a later row had NULL; in 3.x a NULL that is written replaces it",
}

_QUORUM = "3.x has none: most of the replicas must have confirmed a row"

# Options of 3.x that decide how a database works, not what is in it.
_OPTIONS_3 = (
    "replica",
    "buffer",
    "cachemodel",
    "cachesize",
    "comp",
    "minrows",
    "maxrows",
    "pages",
    "pagesize",
    "retentions",
    "single_stable",
    "table_prefix",
    "table_suffix",
    "tsdb_pagesize",
    "vgroups",
    "wal_fsync_period",
    "wal_level",
)

# Options that need no word where they have one of these values, which are defaults of one version or another.
_SILENT_3 = {
    # Which community editions take nothing else for: 3.3.3.0 refuses the 2 that 3.3.5.2 has.
    "stt_trigger": ("1", "2"),
    "wal_retention_period": ("0", "3600"),
    "wal_retention_size": ("0",),
    "wal_roll_period": ("0",),
    "wal_segment_size": ("0",),
    "keep_time_offset": ("0",),
    "compact_interval": ("0d",),
    "compact_time_range": ("0d,0d",),
    "compact_time_offset": ("0h",),
    "encrypt_algorithm": ("none",),
    "s3_keeplocal": ("5256000m", "3650d", "525600m", "365d"),
    "s3_chunkpages": ("131072",),
    "s3_compact": ("0", "1"),
}

_SHARED = ("keeplocal", "chunkpages", "compact")
"""Options of shared storage: `s3_…`, and `ss_…` since 3.3.7 (by its documentation)."""

_SILENT_3 |= {f"ss_{name}": _SILENT_3[f"s3_{name}"] for name in _SHARED}
_RENAMED = {f"{mine}_{name}": f"{theirs}_{name}" for name in _SHARED for mine, theirs in (("s3", "ss"), ("ss", "s3"))}

_TEXTS = frozenset({"cachemodel", "encrypt_algorithm"})


def options_not_taken(source: Database, target: Database) -> Iterator[Leftover]:
    """Options of the source that the target has otherwise, or not at all.

    Options of 2.x count where they are not 2.x's default.

    Parameters:
        source: the source database.
        target: the target database, as it is now.
    """
    if not (source.keep and target.keep):
        return  # An account of 3.x that may not see KEEP sees none of the others either.
    kept = [_length(max(database.keep)) for database in (source, target)]
    if kept[0] != kept[1]:
        yield Leftover("database option", f"KEEP {kept[0]}", f"the target keeps rows for {kept[1]}")
    for ours, name, value in _options_of(source):
        called = _called(name, target.options)
        theirs = target.options.get(called)
        if theirs is not None and theirs != value:
            yield Leftover("database option", ours, _instead(called, value, theirs))
        elif theirs is None and name in _SILENT_3 and "vgroups" in target.options:
            yield Leftover("database option", ours, "the target's version has no such option")
    if _is_of_2x(source):
        quorum = source.options.get("quorum", _DEFAULTS_2["quorum"])
        if quorum != _DEFAULTS_2["quorum"]:
            yield Leftover("database option", f"QUORUM {quorum}", _QUORUM)
        update = source.options["update"]
        yield Leftover("database option", f"UPDATE {update}", _UPDATE[update])


def _called(name: str, known: Collection[str]) -> str:
    """What another version calls an option."""
    return _RENAMED.get(name, name) if name not in known else name


def _is_of_2x(source: Database) -> bool:
    return "update" in source.options


def _options_of(source: Database) -> Iterator[tuple[str, str, str]]:
    """Options as the source says them, and their names and values in 3.x."""
    return _translated(source.options) if _is_of_2x(source) else _same(source.options)


def _same(options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Options of 3.x: as the source says them, and their names and values."""
    for name in _OPTIONS_3:
        if options.get(name):
            yield _said(name, options[name]), name, options[name]
    for name, silent in _SILENT_3.items():
        if options.get(name) and options[name] not in silent:
            yield _said(name, options[name]), name, options[name]


def _translated(options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Options of 2.x: as the source says them, and their names and values in 3.x; only root sees all of them."""
    changed = {name: options[name] for name, default in _DEFAULTS_2.items() if options.get(name, default) != default}
    for name, value in changed.items():
        if name in ("replica", "minrows", "maxrows", "comp"):
            yield _said(name, value), name, value
    if "wallevel" in changed:
        yield f"WAL {changed['wallevel']}", "wal_level", changed["wallevel"]
    if "fsync" in changed:
        yield f"FSYNC {changed['fsync']}", "wal_fsync_period", changed["fsync"]
    if "cachelast" in changed:
        yield f"CACHELAST {changed['cachelast']}", "cachemodel", _CACHE_MODELS[changed["cachelast"]]
    if "cache(mb)" in changed or "blocks" in changed:
        cache, blocks = options["cache(mb)"], options["blocks"]
        yield f"CACHE {cache} BLOCKS {blocks}", "buffer", str(int(cache) * int(blocks))


def _said(name: str, value: str) -> str:
    if not value:
        return f"no {name.upper()}"
    return f"{name.upper()} {string(value) if name in _TEXTS else value}"


def _instead(name: str, value: str, theirs: str) -> str:
    return f"the target has {_said(name, theirs)}; {_said(name, value)} in database_options gives a new one the same"


def _lengths(minutes: tuple[int, ...]) -> str:
    """KEEP as people say it: one value where all storage tiers have the same."""
    return ",".join(map(_length, dict.fromkeys(minutes)))


def _length(minutes: int) -> str:
    return f"{minutes}m" if minutes % DAY else f"{minutes // DAY}d"
