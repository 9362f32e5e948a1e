"""Runs a DAG file once: `python -m airflow_provider_tdengine.demo.run_dag FILE CONF`, when its input ends."""

from __future__ import annotations

import json
import runpy
import sys
from contextlib import suppress

import httpx
from airflow.sdk import DAG


def main() -> int:
    """Run it; the exit status says whether the run was green."""
    file, conf = sys.argv[1:]
    dag: DAG = runpy.run_path(file)["dag"]
    _warm_up()
    sys.stdin.read()
    run = dag.test(run_conf=json.loads(conf))
    return 0 if run.state == "success" else 1


def _warm_up() -> None:
    """Have the API made that the tasks will talk to: it takes seconds, and the demo is still filling its server."""
    with suppress(ImportError, AttributeError):
        from airflow.sdk.execution_time.supervisor import in_process_api_server  # noqa: PLC0415

        with httpx.Client(transport=in_process_api_server().transport, base_url="http://in-process") as api:
            api.get("/health")


if __name__ == "__main__":
    raise SystemExit(main())
