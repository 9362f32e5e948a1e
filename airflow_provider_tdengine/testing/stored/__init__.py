"""What the server keeps: databases, tables, rows and users, and what a session may reach of them."""

from airflow_provider_tdengine.testing.stored.access import CHANGE, DELETE, LOOK, QUERY, Access, Session, Store
from airflow_provider_tdengine.testing.stored.accounts import Accounts, Right
from airflow_provider_tdengine.testing.stored.log import Consumer, Entry, Group, Log, Named, Start, Told, Topic, Written
from airflow_provider_tdengine.testing.stored.order import murmur, slot_of
from airflow_provider_tdengine.testing.stored.storage import (
    Database,
    Part,
    Rows,
    Schema,
    SuperTable,
    Table,
    characters,
    concatenate,
    null_column,
    split,
)

__all__ = [
    "CHANGE",
    "DELETE",
    "LOOK",
    "QUERY",
    "Access",
    "Accounts",
    "Consumer",
    "Database",
    "Entry",
    "Group",
    "Log",
    "Named",
    "Part",
    "Right",
    "Rows",
    "Schema",
    "Session",
    "Start",
    "Store",
    "SuperTable",
    "Table",
    "Told",
    "Topic",
    "Written",
    "characters",
    "concatenate",
    "murmur",
    "null_column",
    "slot_of",
    "split",
]
