"""Writes the table of docs/metrics.md: `python docs/make_metrics.py`; a test says when it is due."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_tdengine.operators.metrics import METRICS

FILE = Path(__file__).parent / "metrics.md"

_HEAD = "| metric | kind | unit | told by | meaning |\n|---|---|---|---|---|\n"


def render() -> str:
    """The page with the table of today."""
    rows = (
        f"| `tdengine.{name}` | {metric.kind}{', `map_index`' if metric.is_of_instance else ''} | {metric.unit} "
        f"| {metric.tasks} | {metric.meaning} |\n"
        for name, metric in METRICS.items()
    )
    before, _, rest = FILE.read_text(encoding="utf-8").partition(_HEAD)
    _, _, after = rest.partition("\n\n")
    return f"{before}{_HEAD}{''.join(rows)}\n{after}"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
