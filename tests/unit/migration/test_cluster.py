"""A cluster with several hosts: one that goes while rows are copied is replaced by another one."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_tdengine.client import Client
from tests.faults.proxy import Fault, Line

from .conftest import SOURCE, BoxPair, T


def test_a_host_that_goes_while_rows_are_copied(faulty: BoxPair) -> None:
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int)",
    )
    for table in range(4):
        rows = " ".join(f"({T + step}, {step})" for step in range(5_000))
        faulty.sql(f"insert into {SOURCE}.d{table} using {SOURCE}.m tags ({table}) values {rows}")
    with Line(faulty.source_box.port) as from_source, Line(faulty.target_box.port) as to_target:
        for line, direction in ((from_source, "down"), (to_target, "up")):
            line.faults.append(Fault("refuse", direction, 60_000, seconds=3600))
        for side, line in (("source", from_source), ("target", to_target)):
            client: Client = getattr(faulty, side)
            both = f"127.0.0.1:{line.port},127.0.0.1:{client.address.port}"
            setattr(faulty, side, Client(replace(client.address, host=both)))
        # Sessions begin at any host, so that it can take a few migrations until the line has broken.
        while not (from_source.happened and to_target.happened):
            faulty.target.execute("drop database if exists mig_dst")
            assert faulty.migrate().verdict.is_equal
        ours, theirs = faulty.both()
    assert ours == theirs
