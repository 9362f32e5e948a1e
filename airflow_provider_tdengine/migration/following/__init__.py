"""Rows and structure that change while a migration runs."""

from airflow_provider_tdengine.migration.following.feed import Feed, Positions
from airflow_provider_tdengine.migration.following.follow import Follower, Round
from airflow_provider_tdengine.migration.following.lookout import Lookout
from airflow_provider_tdengine.migration.following.position import Position, Shard, follow_facts, shards
from airflow_provider_tdengine.migration.following.rounds import rounds
from airflow_provider_tdengine.migration.following.topic import Topic

__all__ = [
    "Feed",
    "Follower",
    "Lookout",
    "Position",
    "Positions",
    "Round",
    "Shard",
    "Topic",
    "follow_facts",
    "rounds",
    "shards",
]
