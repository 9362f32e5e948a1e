"""Rows and structure that change while a migration runs."""

from airflow_provider_tdengine.migration.following.follow import Follower, Round
from airflow_provider_tdengine.migration.following.lookout import Lookout
from airflow_provider_tdengine.migration.following.position import Position, Shard, follow_facts, shards
from airflow_provider_tdengine.migration.following.rounds import rounds

__all__ = [
    "Follower",
    "Lookout",
    "Position",
    "Round",
    "Shard",
    "follow_facts",
    "rounds",
    "shards",
]
