"""How a source is followed: by a subscription, which tells every change, or by asking for rows by their timestamps."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.catalog import Catalog, patiently
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.following.follow import Follower
from airflow_provider_tdengine.migration.following.lookout import Lookout, TopicLookout
from airflow_provider_tdengine.migration.following.position import Position, Shard
from airflow_provider_tdengine.migration.following.subscriber import Subscriber
from airflow_provider_tdengine.migration.following.topic import Topic
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import history_seconds

LEAST_RETENTION = 3600
"""Seconds for which the source's log has to last: a worker that is away, or a queue, takes that long."""

_MARGIN = 2
"""How many times as long as it is estimated history may take: nothing is known of how fast the target writes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a source is followed.

    Parameters:
        topic: what is subscribed to; None where rows are asked for.
        why: a sentence that says so.
    """

    topic: Topic | None
    why: str

    @property
    def by(self) -> str:
        """The value of `follow_by` that says the same."""
        return "poll" if self.topic is None else "subscription"


def choose(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    *,
    is_copied: bool = False,
    is_begun: bool = False,
) -> Choice:
    """Whether the source is followed by subscription; its topic is made then, and reading begins where it is now.

    Parameters:
        source: the source database.
        target: the target database, which need not exist.
        options: of the migration, with the end of history.
        is_copied: whether history is complete.
        is_begun: whether a subscription has told something already, behind which reading goes on.

    Raises:
        MigrationStopped: `follow_by` is subscription, and something stands in the way.
        TDengineError: what no retry cured.
    """
    if options.follow_by == "poll":
        return Choice(None, "Rows are asked for by their timestamps, as follow_by says")
    found = obstacle(source, target, options, is_copied=is_copied)
    topic = None
    if found is None:
        topic = topic_of(source, target, options)
        try:
            patiently(source, target, lambda: _begin(topic, is_first=not is_begun))
        except TDengineError as error:
            if error.retryable:
                raise
            action = f"Let an account that may run {source.client.dialect.create_topic(topic.name, source.name)}"
            found = Finding(f"Database {source.name!r} of the source", f"no topic can be made of it ({error})", action)
    if found is None:
        assert topic is not None
        end = f"It stays until it is dropped: by finish, at the end, or by hand: DROP TOPIC {topic.name}"
        return Choice(topic, f"The source tells of each change by the topic {topic.name}. {end}")
    if options.follow_by == "subscription":
        raise MigrationStopped([found])
    return Choice(None, f"Rows are asked for by their timestamps. {found.object}: {found.found}. {found.action}")


def topic_of(source: Catalog, target: Catalog, options: MigrationOptions) -> Topic:
    """The topic of a migration, whether it is there or not."""
    sides = f"{target.client.address}/{target.name}"
    means = (options.stables, options.tables, options.exclude, options.start, options.window_end)
    return Topic(source, f"{sides}/{means}", target.name)


def follower_of(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    shard: Shard,
    *,
    save: Callable[[Position], None],
    letters: Path | None,
    approved: Container[str] = (),
) -> Follower:
    """Who copies what is new in a source, in the way that was chosen.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration, with `follow_by` as it was chosen.
        shard: the tables that are followed.
        save: see `Follower`.
        letters: see `Follower`.
        approved: see `Follower`.

    Raises:
        MigrationStopped: it is by subscription, and something stands in the way.
        TDengineError: what no retry cured.
    """
    if options.follow_by == "subscription":
        if found := obstacle(source, target, options, is_copied=True):
            raise MigrationStopped([found])
        topic = topic_of(source, target, options)
        return Subscriber(source, target, options, topic, save=save, letters=letters, approved=approved)
    return Follower(source, target, options, shard, save=save, letters=letters, approved=approved)


def lookout_of(
    source: Catalog, target: Catalog, options: MigrationOptions, shard: Shard, reached: Position | None
) -> Lookout | TopicLookout:
    """What tells whether there is something to do for a follow that has caught up.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        shard: the tables that are followed.
        reached: up to where the follow has come; None to wait for nothing but answers.
    """
    if reached and reached.vgroups is not None and options.follow_by != "poll":
        return TopicLookout(source, topic_of(source, target, options), options, reached)
    return Lookout(source, target, options, shard, reached)


def obstacle(source: Catalog, target: Catalog, options: MigrationOptions, *, is_copied: bool = False) -> Finding | None:
    """What stands in the way of a subscription, as far as it can be known without making the topic.

    Parameters:
        source: the source database.
        target: the target database, which need not exist.
        options: of the migration.
        is_copied: whether history is complete; otherwise the source has to keep its log for as long as that takes.

    Raises:
        MigrationStopped: the source has no such table.
        TDengineError: what no retry cured.
    """
    if found := patiently(source, target, lambda: _without_subscriptions(source)):
        return Finding("Option 'follow_by'", found, "Set it to auto or poll")
    if options.follow_shards > 1:
        found = f"follow_shards is {options.follow_shards}, and one task reads a subscription"
        return Finding("Option 'follow_by'", found, "Set follow_shards to 1, or follow_by to poll")
    history = 0.0 if is_copied else history_seconds(source, target, options)
    seconds = LEAST_RETENTION * max(1, math.ceil(_MARGIN * history / LEAST_RETENTION))
    findings = patiently(source, target, lambda: list(Topic(source, "", "").findings(seconds)))
    return next(filter(lambda finding: finding.is_blocker, findings), None)


def _without_subscriptions(source: Catalog) -> str:
    """Which server it is, if it serves no subscriptions."""
    server = source.client.server
    if source.client.generation == 2 or server.websocket_path is None:
        return f"TDengine {server.version_text} at {source.client.address} serves no subscriptions"
    return ""


def _begin(topic: Topic, *, is_first: bool) -> None:
    """Make the topic, and keep in it where reading begins; where it was kept before, it stays."""
    topic.create()
    if is_first:
        topic.feed(None).close()
