"""What changes what is stored: rows and subtables, structure, and written blocks."""

from airflow_provider_tdengine.testing.changes.structure import (
    alter_database,
    alter_table,
    alter_table_option,
    create_database,
    create_table,
    drop_database,
    drop_tables,
    set_tags,
)
from airflow_provider_tdengine.testing.changes.telling import child, children_created, deleted
from airflow_provider_tdengine.testing.changes.topics import create_topic, drop_group, drop_topic
from airflow_provider_tdengine.testing.changes.writes import create_children, insert, write_block

__all__ = [
    "alter_database",
    "alter_table",
    "alter_table_option",
    "child",
    "children_created",
    "create_children",
    "create_database",
    "create_table",
    "create_topic",
    "deleted",
    "drop_database",
    "drop_group",
    "drop_tables",
    "drop_topic",
    "insert",
    "set_tags",
    "write_block",
]
