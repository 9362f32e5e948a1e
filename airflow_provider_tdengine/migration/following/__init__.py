"""Rows and structure that change while a migration runs."""

from airflow_provider_tdengine.migration.following.carrier import ChangesProposed
from airflow_provider_tdengine.migration.following.choice import (
    Choice,
    choose,
    follower_of,
    lookout_of,
    obstacle,
    topic_of,
)
from airflow_provider_tdengine.migration.following.feed import Feed, Positions
from airflow_provider_tdengine.migration.following.follow import Follower, Round
from airflow_provider_tdengine.migration.following.lookout import Lookout, TopicLookout
from airflow_provider_tdengine.migration.following.position import Position, Shard, follow_facts, shards, was_told
from airflow_provider_tdengine.migration.following.quiet import Quiet
from airflow_provider_tdengine.migration.following.rounds import lasting_rounds, rounds
from airflow_provider_tdengine.migration.following.subscriber import Subscriber, dropped
from airflow_provider_tdengine.migration.following.topic import Topic

__all__ = [
    "ChangesProposed",
    "Choice",
    "Feed",
    "Follower",
    "Lookout",
    "Position",
    "Positions",
    "Quiet",
    "Round",
    "Shard",
    "Subscriber",
    "Topic",
    "TopicLookout",
    "choose",
    "dropped",
    "follow_facts",
    "follower_of",
    "lasting_rounds",
    "lookout_of",
    "obstacle",
    "rounds",
    "shards",
    "topic_of",
    "was_told",
]
