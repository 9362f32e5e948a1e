"""The topic of a migration: which it is, whether its log lasts long enough, made and dropped."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator

from airflow_provider_tdengine.client.errors import AlreadyExists
from airflow_provider_tdengine.migration.catalog import Catalog, own_topic
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, Severity
from airflow_provider_tdengine.migration.following.feed import Feed, Positions

log = logging.getLogger(__name__)

_FOREVER = -1


class Topic:
    """A topic over the source database, and the groups that read it.

    Parameters:
        source: the source database; 3.x only.
        owner: whose it is, such as the identity of a migration; another one has another topic.
        label: what people read in its name, such as the target database.
    """

    def __init__(self, source: Catalog, owner: str, label: str = "") -> None:
        self._source = source
        self.name = own_topic(label, hashlib.sha256(f"{source.name}/{owner}".encode()).hexdigest()[:16])
        self.group = self.name

    def findings(self, seconds: int) -> Iterator[Finding]:
        """What stands in the way of reading all changes of some time.

        Parameters:
            seconds: for which the topic may have to wait until it is read, as history does.
        """
        database = self._source.database()
        if database is None:
            return
        subject = f"Database {self._source.name!r} of the source"
        name = self._source.client.dialect.database(self._source.name)
        kept = int(database.options.get("wal_retention_period") or 0)
        if kept != _FOREVER and kept < seconds:
            yield Finding(
                subject,
                f"it keeps its log for {kept} s (WAL_RETENTION_PERIOD), "
                f"and changes of {seconds} s have to be read from it",
                f"Run ALTER DATABASE {name} WAL_RETENTION_PERIOD {seconds} there, or set follow_by to poll",
            )
        size = int(database.options.get("wal_retention_size") or 0)
        if size > 0:
            yield Finding(
                subject,
                f"it keeps at most {size} KiB of its log (WAL_RETENTION_SIZE), however young",
                f"Run ALTER DATABASE {name} WAL_RETENTION_SIZE 0 there if more is written while history is copied",
                Severity.WARNING,
            )

    @property
    def vgroups(self) -> int:
        """How many vgroups tell of changes.

        Raises:
            MigrationStopped: there is no such database.
        """
        database = self._source.database()
        if database is None:
            raise MigrationStopped([self._source.missing("source_database")])
        return int(database.options["vgroups"])

    def feed(self, stored: Positions | None, *, looks: bool = False) -> Feed:
        """What it tells from stored positions on, see `Feed`.

        Parameters:
            stored: positions.
            looks: whether it only looks if there is anything. Such a one is in a group of its own: a consumer that has
                left holds its place in its group for seconds, in which the one who follows could not read.
        """
        group = f"{self.group}_look" if looks else self.group
        return Feed(self._source.client, self.name, group, self.vgroups, stored)

    def create(self) -> None:
        """Make the topic, unless it is there.

        Raises:
            TDengineError: the account may not, or the database keeps no log.
        """
        try:
            self._source.execute(self._source.client.dialect.create_topic(self.name, self._source.name))
        except AlreadyExists:
            log.debug("Topic %s has come meanwhile", self.name)

    def drop(self) -> None:
        """Drop the topic, if it is there.

        Raises:
            ServerBusy: it has consumers; one that has ended counts for some seconds.
            TDengineError: the account may not.
        """
        self._source.execute(self._source.client.dialect.drop_topic(self.name))
