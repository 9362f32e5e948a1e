"""What the demo's old server holds: meters, transformers and tariffs of a power company, and two of its plants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.testing import TDengineBox

Array: TypeAlias = npt.NDArray[np.generic]

DATABASE = "power"
FLEET = "power, plant_*"
"""What the demo migrates."""
PLANTS = ("plant_north", "plant_south")
ROWS = 500_000
SUBTABLES = 320

_SHARE, _PUMPS = 25, 10
"""Each plant has one of so many rows, in so many subtables."""

_METERS, _TRANSFORMERS = 200, 100
_START = 1_614_556_800_000  # 2021-03-01 UTC, in ms
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000

_STRUCTURE = (
    "CREATE DATABASE power KEEP 36500",
    "CREATE STABLE power.meters (ts TIMESTAMP, current FLOAT, voltage SMALLINT, phase DOUBLE, energy BIGINT, "
    "pulses INT, quality TINYINT, online BOOL, firmware BINARY(16), note NCHAR(32), read_at TIMESTAMP, "
    "restarts TINYINT UNSIGNED, errors SMALLINT UNSIGNED, uptime INT UNSIGNED, counter BIGINT UNSIGNED) "
    "TAGS (location NCHAR(32), model BINARY(16), line INT, indoors BOOL, rated DOUBLE)",
    "CREATE STABLE power.`Transformers` (ts TIMESTAMP, oil DOUBLE, `load` FLOAT, tap TINYINT, alarm NCHAR(40)) "
    "TAGS (station NCHAR(32), kva INT, commissioned TIMESTAMP)",
    "CREATE TABLE power.tariffs (ts TIMESTAMP, cents DOUBLE, zone BINARY(8), remark NCHAR(32))",
)

_PLACES = ("'北京 朝阳'", "'上海 浦东'", "'深圳 南山'", "'München'", r"'O\'Fallon'", "'Québec'")
_NOTES = np.array(["'正常'", "'电压偏低'", "'检修后恢复'", "'replaced fuse'", r"'it\'s hot, 41 °C'", "NULL"])
_ALARMS = np.array(["NULL", "NULL", "NULL", "'油温过高'", "'oil level low'"])
_ZONES = np.array(["'peak'", "'valley'", "'flat'", "NULL"])


def fill(box: TDengineBox, rows: int, report: Callable[[int], None]) -> None:
    """Fill a box of 2.4, each time with the same rows.

    Parameters:
        box: an empty one.
        rows: how many rows in all.
        report: called with the number of rows that are in.
    """
    for statement in _STRUCTURE:
        box.execute(statement)
    random = np.random.default_rng(2021)
    done = sum(_fill_plant(box, plant, random, rows // _SHARE) for plant in PLANTS)
    _fill_power(box, rows - done, random, lambda more: report(done + more))


def _fill_plant(box: TDengineBox, plant: str, random: np.random.Generator, rows: int) -> int:
    """A database of pumps."""
    box.execute(f"CREATE DATABASE {plant} KEEP 36500")
    box.execute(f"CREATE STABLE {plant}.pumps (ts TIMESTAMP, bar DOUBLE, running BOOL) TAGS (hall INT)")
    each = rows // _PUMPS
    for number in range(_PUMPS):
        box.execute(f"CREATE TABLE {plant}.p{number} USING {plant}.pumps TAGS ({number // 4})")
        pressure = _with_nulls(random, random.normal(6, 0.5, each).round(2), 0.02)
        _insert(box, plant, f"p{number}", [_START + np.arange(each) * _MINUTE, pressure, random.random(each) < 0.9])
    return each * _PUMPS


def _fill_power(box: TDengineBox, rows: int, random: np.random.Generator, report: Callable[[int], None]) -> None:
    """The database of meters, transformers and tariffs."""
    a_meter, a_transformer = rows * 44 // 10_000, rows * 8 // 10_000
    done = 0
    for number in range(_METERS):
        # Those that came later have Chinese names.
        name = f"d{1001 + number}" if number < 180 else f"电表{number:03}"
        tags = f"{_PLACES[number % 6]}, 'DDZ-{number % 3}', {number // 10}, {number % 2 == 0}, {10 + number % 7 * 2.5}"
        box.execute(f"CREATE TABLE power.`{name}` USING power.meters TAGS ({tags})")
        done += _insert(box, DATABASE, name, _meter(random, a_meter, number))
        report(done)
    for number in range(_TRANSFORMERS):
        name = f"T{number:02}"
        tags = f"'变电站 {number // 4 + 1}', {400 if number % 3 else 'NULL'}, {_START - number * _DAY}"
        box.execute(f"CREATE TABLE power.`{name}` USING power.`Transformers` TAGS ({tags})")
        if number < _TRANSFORMERS - 1:  # The last one was never switched on: an empty subtable.
            done += _insert(box, DATABASE, name, _transformer(random, a_transformer))
            report(done)
    _insert(box, DATABASE, "tariffs", _tariffs(random, rows - done))
    report(rows)


def _insert(box: TDengineBox, database: str, table: str, columns: list[Array]) -> int:
    rows = list(zip(*(column.astype("U").tolist() for column in columns), strict=True))
    for first in range(0, len(rows), 4000):
        values = " ".join(f"({','.join(row)})" for row in rows[first : first + 4000])
        box.execute(f"INSERT INTO {database}.`{table}` VALUES {values}")
    return len(rows)


def _with_nulls(random: np.random.Generator, values: Array, share: float) -> Array:
    """Values as SQL, a share of them NULL."""
    return np.where(random.random(len(values)) < share, "NULL", values.astype("U"))


def _meter(random: np.random.Generator, rows: int, number: int) -> list[Array]:
    row = np.arange(rows)
    times = _START + row * 15 * _MINUTE
    day = np.sin(row * (2 * np.pi / 96) - 1.5)
    return [
        times,
        _with_nulls(random, (8 + 5 * day + random.normal(0, 0.4, rows)).round(3), 0.01),
        _with_nulls(random, (221 - 3 * day + random.normal(0, 1, rows)).astype(np.int64), 0.02),
        _with_nulls(random, random.normal(0.31, 0.05, rows), 0.02),
        10**12 * (number + 1) + np.cumsum(random.integers(100, 900, rows)),
        random.integers(-(2**31) + 1, 2**31, rows),
        _with_nulls(random, random.integers(-100, 101, rows), 0.3),
        np.where(random.random(rows) < 0.98, "true", "false"),
        np.where(row < rows // 2, "'v2.4.1'", "'v2.5.0-rc1'"),
        random.choice(_NOTES, rows, p=[0.8, 0.02, 0.01, 0.01, 0.01, 0.15]),
        _with_nulls(random, times + random.integers(0, 900, rows), 0.05),
        random.integers(0, 255, rows),
        _with_nulls(random, random.integers(0, 65_535, rows), 0.1),
        row * 900,
        2**63 + random.integers(0, 2**62, rows).astype(np.uint64),
    ]


def _transformer(random: np.random.Generator, rows: int) -> list[Array]:
    return [
        _START + np.arange(rows) * _HOUR,
        _with_nulls(random, random.normal(61, 4, rows), 0.02),
        random.random(rows).round(4),
        random.integers(-8, 9, rows),
        random.choice(_ALARMS, rows),
    ]


def _tariffs(random: np.random.Generator, rows: int) -> list[Array]:
    row = np.arange(rows)
    return [
        _START + row * _HOUR,
        _with_nulls(random, (28 + 9 * np.sin(row / 24)).round(2), 0.01),
        random.choice(_ZONES, rows),
        np.where(row % 24, "NULL", "'新的一天'"),
    ]
