"""A few random databases on boxes, and some on real servers; `python -m tests.wild` runs as many as you like."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random

import pytest

from airflow_provider_tdengine.testing import TDengineBox

from .comparer import differences, read
from .driver import Driver, alone
from .faults import inject
from .generator import SIZES, fill
from .server import Server

VERSIONS = ["2.4.0.18", "3.0.5.2", "3.3.3.0"]
TARGET = "3.3.3.0"
SEEDS = (0, 1, 10)

OPTIONS = ("--verify", "full")
"""The default level does not see every fault (docs/verification.md)."""

# The box adds up what is beyond DOUBLE, as servers do.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in reduceat:RuntimeWarning")


@pytest.fixture(scope="module")
def box() -> Iterator[Callable[[str], Server]]:
    """Boxes by version and role, each started once."""
    boxes: dict[str, TDengineBox] = {}
    servers: dict[str, Server] = {}

    def server(role: str) -> Server:
        if role not in servers:
            boxes[role] = TDengineBox(version=role.partition(" ")[0], block_rows=400)
            boxes[role].start()
            servers[role] = Server(boxes[role].url.replace("http://", "ws://root:taosdata@"))
        return servers[role]

    yield server
    for each in servers.values():
        each.close()
    for running in boxes.values():
        running.stop()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_it_arrives_and_each_fault_is_found_and_mended(box: Callable[[str], Server], version: str, seed: int) -> None:
    driver = Driver(box(f"{version} source"), box(f"{TARGET} target"), SIZES["small"], options=OPTIONS)
    outcome = driver.run(seed)
    again = alone(f"box:{version}", f"box:{TARGET}", seed, "small", True, OPTIONS)
    assert outcome.is_good, f"{outcome}\n{outcome.report}\nAlone: {again}"


@pytest.mark.parametrize(("version", "seed"), [("2.4.0.18", 4), ("3.3.3.0", 3)])
def test_it_arrives_by_files(box: Callable[[str], Server], version: str, seed: int) -> None:
    servers = box(f"{version} source"), box(f"{TARGET} target")
    outcome = Driver(*servers, SIZES["small"], options=OPTIONS, by_files=True).run(seed)
    again = alone(f"box:{version}", f"box:{TARGET}", seed, "small", True, OPTIONS, by_files=True)
    assert outcome.is_good, f"{outcome}\n{outcome.report}\nAlone: {again}"


@pytest.mark.integration
@pytest.mark.parametrize("by_files", [False, True], ids=["directly", "by files"])
@pytest.mark.parametrize("seed", range(int(os.environ.get("WILD_SEEDS", "3"))))
def test_it_arrives_on_real_servers(seed: int, by_files: bool) -> None:
    source, target = (os.environ.get(f"TDENGINE_{role}_URL") for role in ("SOURCE", "TARGET"))
    if not source or not target:
        pytest.skip("needs real servers in TDENGINE_SOURCE_URL and TDENGINE_TARGET_URL")
    servers = Server(source), Server(target)
    outcome = Driver(*servers, SIZES["full"], options=OPTIONS, by_files=by_files).run(seed)
    for server in servers:
        server.close()
    again = alone(source, target, seed, "full", True, OPTIONS, by_files)
    assert outcome.is_good, f"{outcome}\n{outcome.report}\nAlone: {again}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_comparer_sees_what_was_done(box: Callable[[str], Server], seed: int) -> None:
    server = box(f"{TARGET} target")
    for database in ("wild_one", "wild_other"):
        server.run(f"drop database if exists {database}")
        fill(server, database, seed, SIZES["small"], server.version)
    one = read(server, "wild_one")
    assert one.rows
    assert differences(one, read(server, "wild_other")) == {}
    done = inject(server, "wild_other", one.tables, Random(seed), 20)
    found = differences(one, read(server, "wild_other")).keys()
    # Nothing is said of damage that was begun and refused.
    assert {table for table, what in done.items() if what} <= found <= done.keys()


def test_timestamps_of_any_year_are_read(box: Callable[[str], Server]) -> None:
    server = box(f"{TARGET} target")
    server.run("drop database if exists wild_one")
    server.run("create database wild_one precision 'us' keep 36500")
    server.run("create table wild_one.t (ts timestamp, t2 timestamp)")
    values = [-(2**63) + 1, -62_135_596_800_000_001, -1, 0, 951_782_400_000_000, 253_402_300_800_000_000, 2**63 - 1]
    for i, value in enumerate(values):
        server.run(f"insert into wild_one.t values ({i}, {value})")
    assert server.rows("select t2 from wild_one.t") == [(value,) for value in values]
