"""Writes docs/grafana/tdengine-migrations.json: `python docs/make_dashboard.py`; a test says when it is due."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_tdengine.operators.metrics import METRICS

FILE = Path(__file__).parent / "grafana" / "tdengine-migrations.json"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = '{dag_id=~"$dag_id", run=~"$run"}'
_WIDTH = 24

_TDENGINE = {"type": "tdengine-datasource", "uid": "${tdengine}"}
_DRIFT = (
    "SELECT _wstart AS ts, LAST(missing_rows) + LAST(changed_rows) + LAST(extra_rows) AS differing, super_table "
    "FROM $results.verification WHERE ts >= $from AND ts < $to PARTITION BY migration, super_table INTERVAL(1d)"
)
"""What docs/verification.md explains."""

# Title, unit, kind of panel, width, and expressions by their legends, in which [rows] stands for the series of rows.
_PANELS: list[tuple[str, str, str, int, Mapping[str, str]]] = [
    ("Copied", "percent", "gauge", 4, {"copied": "sum([percent]) / sum([batches])"}),
    ("Rows", "short", "stat", 4, {"copied": "sum([rows])", "planned": "sum([planned_rows])"}),
    ("Rows a second, now", "short", "stat", 4, {"rows/s": "sum([rate])"}),
    ("Read concurrency", "short", "stat", 4, {"sessions": "sum([sessions])"}),
    (
        "Execution time",
        "s",
        "stat",
        4,
        {"since it was started or cleared last": "max([duration])", "in all": "max([total_duration])"},
    ),
    ("Tables that differ", "short", "stat", 4, {"tables": "sum([different_tables])"}),
    (
        "Rows a second",
        "short",
        "timeseries",
        12,
        {"{{run}}": "sum by (run) (rate([rows][$__rate_interval]))"},
    ),
    (
        "Copied, of all rows",
        "percent",
        "timeseries",
        12,
        {"{{run}}": "sum by (run) ([percent]) / sum by (run) ([batches])"},
    ),
    ("Lag", "s", "timeseries", 12, {"{{run}}, shard {{map_index}}": "max by (run, map_index) ([lag])"}),
    (
        "Written",
        "Bps",
        "timeseries",
        12,
        {"{{run}}": "sum by (run) (rate([bytes][$__rate_interval]))"},
    ),
    (
        "Errors that were retried, and rows that were refused",
        "short",
        "timeseries",
        12,
        {
            "errors": "sum(increase([retries][$__rate_interval]))",
            "rows": "sum(increase([refused_rows][$__rate_interval]))",
        },
    ),
    ("Sessions that read", "short", "timeseries", 12, {"{{run}}": "sum by (run) ([sessions])"}),
    (
        "Totals over all tries",
        "short",
        "stat",
        24,
        {
            "super tables": "sum([super_tables])",
            "tables": "sum([tables])",
            "finished tables": "sum([finished_tables])",
            "created super tables": "sum([created_super_tables])",
            "created tables": "sum([created_tables])",
            "updated tags": "sum([updated_tags])",
            "batches": "sum([batches])",
            "rows": "sum([rows])",
            "refused rows": "sum([refused_rows])",
            "points": "sum([points])",
            "blocks": "sum([blocks])",
            "retries": "sum([retries])",
        },
    ),
    (
        "By try",
        "short",
        "stat",
        24,
        {
            f"{name.replace('_', ' ')}, try {{{{try_number}}}}": f"sum by (try_number) ([{name}])"
            for name in ("finished_tables", "rows", "points", "blocks", "bytes", "seconds")
        },
    ),
]


def series(name: str) -> str:
    """What Prometheus calls a metric."""
    return f"airflow_tdengine_{name}" + ("_total" if METRICS[name].is_counter else "")


def _expression(text: str) -> str:
    return re.sub(r"\[(\w+)\]", lambda found: series(found[1]) + _CHOSEN, text)


def _panels() -> Iterator[dict[str, Any]]:
    x = y = 0
    for number, (title, unit, kind, width, expressions) in enumerate(_PANELS, 1):
        height = 8 if kind == "timeseries" else 4
        targets = [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": _expression(text),
                "legendFormat": legend,
                **({} if kind == "timeseries" else {"instant": True}),
            }
            for place, (legend, text) in enumerate(expressions.items())
        ]
        limits = {"min": 0, "max": 100} if unit == "percent" else {"min": 0}
        yield {
            "id": number,
            "type": kind,
            "title": title,
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": {"unit": unit, **limits}, "overrides": []},
            "options": {} if kind == "timeseries" else {"reduceOptions": {"calcs": ["lastNotNull"]}},
            "targets": targets,
        }
        x += width
        if x >= _WIDTH:
            x, y = 0, y + height


def _drift() -> dict[str, Any]:
    """Of the results of comparisons, which are in TDengine."""
    target = {"refId": "A", "datasource": _TDENGINE, "queryType": "SQL", "sql": _DRIFT, "alias": "{{super_table}}"}
    return {
        "id": len(_PANELS) + 1,
        "type": "timeseries",
        "title": "Rows that differ, by night (option results_database)",
        "datasource": _TDENGINE,
        "gridPos": {"x": 0, "y": 100, "w": _WIDTH, "h": 8},
        "fieldConfig": {"defaults": {"unit": "short", "min": 0}, "overrides": []},
        "timeFrom": "90d",
        "options": {},
        "targets": [target],
    }


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of label values; all, at first."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    data = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    tdengine = {"name": "tdengine", "label": "TDengine", "type": "datasource", "query": "tdengine-datasource"}
    results = {"name": "results", "label": "Results database", "type": "textbox", "query": "migrations"}
    known = series("total_duration")
    return {
        "uid": "tdengine-migrations",
        "title": "TDengine migrations",
        "tags": ["airflow", "tdengine"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                data,
                tdengine,
                results,
                _variable("dag_id", "DAG", f"label_values({known}, dag_id)"),
                _variable("run", "Run", f'label_values({known}{{dag_id=~"$dag_id"}}, run)'),
            ]
        },
        "panels": [*_panels(), _drift()],
    }


def render() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
