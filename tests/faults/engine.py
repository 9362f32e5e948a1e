"""The command line in a process of its own, which gives servers up soon; its last line says how much it held."""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
from dataclasses import replace

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.migration import retry

TIMEOUT, CONNECT_TIMEOUT = 3.0, 2.0
"""Seconds that an answer, and a connection, may take."""


def main() -> int:
    """Run `airflow-tdengine` with the arguments behind the file of the authority ("" for none)."""
    # A process that is told to end because it hangs says where.
    faulthandler.register(10)
    authority, *given = sys.argv[1:]
    retry.PAUSE, retry.PATIENCE, retry.FIRST_CONTACT = 0.1, 6.0, 6.0

    def client(url: str) -> Client:
        address = replace(Address.from_url(url), timeout=TIMEOUT, connect_timeout=CONNECT_TIMEOUT)
        return Client(replace(address, ca_file=authority or None))

    cli.client_of = client
    try:
        return cli.main(given)
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"peak_mb": peak}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
