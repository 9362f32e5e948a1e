"""CREATE TOPIC, DROP TOPIC and DROP CONSUMER GROUP of 3.x."""

from __future__ import annotations

from airflow_provider_tdengine.testing.language import CreateTopic, DropGroup, DropTopic
from airflow_provider_tdengine.testing.stored import LOOK, Access, Topic


def create_topic(access: Access, statement: CreateTopic) -> None:
    """CREATE TOPIC ... WITH META AS DATABASE."""
    errors = access.generation.errors
    if statement.database not in access.store.databases:
        raise errors("topic_database_missing")
    database = access.database(statement.database, LOOK)
    if statement.name in access.store.topics:
        if statement.if_not_exists:
            return
        raise errors("topic_exists")
    if database.options["wal_retention_period"] == "0":
        raise errors("topic_without_log")
    logs = access.store.logs(database)
    for log in logs:
        log.is_read = True
    access.store.topics[statement.name] = Topic(statement.name, database.name, statement.sql, logs)


def drop_group(access: Access, statement: DropGroup) -> None:
    """DROP CONSUMER GROUP."""
    topic = access.store.topics.get(statement.topic)
    group = topic.groups.get(statement.name) if topic else None
    if topic is None or group is None:
        if statement.if_exists:
            return
        raise access.generation.errors("topic_missing")
    if group.members:
        raise access.generation.errors("group_in_use")
    del topic.groups[statement.name]


def drop_topic(access: Access, statement: DropTopic) -> None:
    """DROP TOPIC."""
    topic = access.store.topics.get(statement.name)
    if topic is None:
        if statement.if_exists:
            return
        raise access.generation.errors("topic_missing")
    if any(group.members for group in topic.groups.values()):
        raise access.generation.errors("topic_in_use")
    del access.store.topics[statement.name]
