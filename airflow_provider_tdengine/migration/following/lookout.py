"""A source that is watched: whether rows have arrived, and whether its structure has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Scope, Table, each
from airflow_provider_tdengine.migration.comparing import TagComparison, compare_tags
from airflow_provider_tdengine.migration.copying import at_or_after
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.following.feed import Feed
from airflow_provider_tdengine.migration.following.known import counts
from airflow_provider_tdengine.migration.following.position import Known, Position, Shard
from airflow_provider_tdengine.migration.following.topic import Topic
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.rows import Transform
from airflow_provider_tdengine.migration.structure import Structure, TablePair, compare

_MOMENT = 0.2
"""Seconds for which a look waits until something is told."""

_LOOKING = 10
"""Looks at the structure, and for rows that are late, take at most one part in so many of the time."""


def digest(source: Catalog, scope: Scope) -> str:
    """What all tables, columns, tags and tag values in scope come to; another one when any of them changes."""
    tables = source.tables(scope)
    total = _sum((table.name, table.columns, table.tags) for table in tables)
    for table in tables:
        if table.is_super:
            total += _sum((table.name, subtable) for subtable in source.subtables(table, scope))
    return f"{total % 2**128:032x}"


def _sum(things: Iterable[object]) -> int:
    """Of hashes, since no server says in which order it lists subtables."""
    return sum(
        int.from_bytes(hashlib.blake2b(repr(thing).encode(), digest_size=16).digest(), "big") for thing in things
    )


def next_looks(began: float, ended: float, options: MigrationOptions) -> tuple[float, float]:
    """When the source is to be looked at again, after a look that began and ended at these POSIX seconds.

    Returns:
        When it is to be, and when it may be if there is a reason to.
    """
    soonest = began + _LOOKING * (ended - began)
    return max(began + options.schema_poll_interval, soonest), soonest


def changes(source: Catalog, target: Catalog, structure: Structure, options: MigrationOptions) -> Iterator[Finding]:
    """What the source has and the target does not: tables, columns, tags, subtables, and tag values.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure.
        options: with schema none, tag values are the target's own.
    """
    yield from compare(structure, creates=False, allow_lossy=options.allow_lossy_precision)
    action = "Bring it over, or set on_schema_change to evolve"
    for pair in structure.pairs:
        if pair.target is None or not pair.target.is_super:
            continue
        known = {tag.name for tag in pair.target.tags}
        if not all(tag.name in known for tag in pair.wanted.tags):
            # Found by `compare`.
            continue
        found = _compared(source, target, structure, pair)
        for difference in found.differences:
            if difference.what == "table":
                yield Finding(f"Table {difference.table!r}", "the target does not have this subtable", action)
            elif options.schema != "none":
                said = f"its {difference.what} is {difference.source} in the source, {difference.target} in the target"
                yield Finding(f"Table {difference.table!r}", said, action, kind="tags")


def _compared(source: Catalog, target: Catalog, structure: Structure, pair: TablePair) -> TagComparison:
    return compare_tags(
        structure.tags(pair),
        lambda: map(structure.transform.subtable, source.subtables(pair.source, structure.scope)),
        lambda: target.subtables(pair.wanted, EVERYTHING),
    )


def steps(seconds: float, precision: Precision) -> int:
    """POSIX seconds as a timestamp, rounded down to a millisecond."""
    return int(seconds * 1000) * precision.per_second // 1000


def last(options: MigrationOptions, precision: Precision) -> int | None:
    """Before which timestamp rows are followed, None for no end."""
    return at_or_after(options.follows_until, precision)


class TopicLookout:
    """What a follow by subscription waits for when it has caught up: that the source tells something.

    Parameters:
        source: the source database.
        topic: of the migration.
        options: of the migration.
        position: up to where the follow has come.
    """

    def __init__(self, source: Catalog, topic: Topic, options: MigrationOptions, position: Position) -> None:
        self._source = source
        self._topic = topic
        self._options = options
        self._positions = {int(vgroup): place for vgroup, place in (position.vgroups or {}).items()}
        self._feed: Feed | None = None
        self._closed = False

    def look(self) -> str:
        """What there is to do, in words; nothing if there is nothing.

        Raises:
            TDengineError: no answer; the next look may have one.
        """
        stop = self._options.follows_until
        with self._source:
            if stop is not None and self._source.clock() >= stop.timestamp():
                return "it is time to stop"
        try:
            if self._feed is None:
                self._feed = self._topic.feed(self._positions, looks=True)
            if self._closed:
                self._leave()
                return ""
            # What is taken is not lost: whoever follows begins at the position that is stored.
            told = self._feed.take(1, _MOMENT)
            is_stale = self._feed.is_stale
        except BaseException:
            self._leave()
            raise
        if told.messages or told.gaps:
            return "the source tells of changes"
        return "the position has to keep up with the source's log" if is_stale else ""

    def close(self) -> None:
        """Leave the topic to others; harmless when it has been left."""
        self._closed = True
        self._leave()

    def _leave(self) -> None:
        feed, self._feed = self._feed, None
        if feed:
            feed.close()


class Lookout:
    """What a follow that has caught up waits for: rows that its last round has not seen, or another structure.

    Parameters:
        source: the source database.
        target: the target database, which must answer, too.
        options: of the migration.
        shard: the tables that are followed.
        position: up to where the follow has come; None to wait for nothing but answers.
        clock: POSIX seconds; the source's, which has the rows, unless something else is given.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        shard: Shard,
        position: Position | None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._position = position
        self._clock = clock or source.clock
        self._scope = shard.of(Scope.of(options))
        self._next_look = position.next_look if position else 0.0
        """When it is to look at more than rows behind the watermark."""
        self._read: tuple[Precision, list[Table]] | None = None

    def close(self) -> None:
        """There is nothing to leave."""

    def look(self) -> str:
        """What there is to do, in words; nothing if there is nothing.

        Raises:
            MigrationStopped: the source has no such database.
            TDengineError: no answer; the next look may have one.
        """
        with self._source, self._target:
            found = self._found(self._position) if self._position else "both servers answer"
            if found:
                self._source.database()
                self._target.database()
            return found

    def _found(self, position: Position) -> str:
        precision, tables = self._tables()
        end = steps(self._clock() - self._options.delay, precision)
        if (stop := last(self._options, precision)) is not None and end >= stop:
            return "it is time to stop"
        period = position.since, max(end, position.watermark)
        rows = sum(one.rows for one in each(self._source, tables, self._scope, period))
        if rows != position.counted:
            return f"{wording.number(rows, 'row')}, {position.counted or 0:,} of them known"
        began = self._clock()
        if began < self._next_look:
            return ""
        seen = digest(self._source, self._scope)
        late = self._late(position.known, tables) if seen == position.structure else 0
        self._next_look, _ = next_looks(began, self._clock(), self._options)
        if seen != position.structure:
            return "another structure"
        return f"{late} rows more, or fewer, than were before the watermark" if late else ""

    def _late(self, known: Known | None, tables: list[Table]) -> int:
        """How many rows have come that are later than the lookback, or have gone."""
        if known is None:
            return 0
        now = counts(self._source, tables, self._scope, (known.since, known.until))
        return sum(abs(one - other) for one, other in zip(now, known.rows, strict=True))

    def _tables(self) -> tuple[Precision, list[Table]]:
        """The precision of the source, and what is followed there, as it was at the first look."""
        if self._read is None:
            database = self._source.database()
            if database is None:
                raise MigrationStopped([self._source.missing("source_database")])
            transform = Transform.of(self._options)
            self._read = database.precision, list(map(transform.selected, self._source.tables(self._scope)))
        return self._read
