"""The box on its own: `python -m airflow_provider_tdengine.testing --version 2.4.0.18 --port 16041`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_tdengine.testing.box import TDengineBox


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_tdengine.testing",
        description="TDengine in a box: REST and WebSocket of TDengine 2.x or 3.x, rows in memory.",
    )
    parser.add_argument("--version", default="3.3.3.0", help="version to be, such as 2.4.0.18 (default: 3.3.3.0)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=6041, help="port to listen on, 0 for any (default: 6041)")
    parser.add_argument("--password", default="taosdata", help="of the user root (default: taosdata)")
    parser.add_argument("--token", help="accepted as ?token= in addresses")
    parser.add_argument("--block-rows", type=int, default=4096, help="rows of a block, at most (default: 4096)")
    parser.add_argument("--certificate", type=Path, help="PEM file; with it the box speaks TLS only")
    parser.add_argument("--key", type=Path, help="PEM file of the certificate's key, if it is another one")
    parser.add_argument("--init", type=Path, help="file of statements to carry out first, one a line")
    return parser.parse_args(given)


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def _serve(box: TDengineBox) -> None:
    """Listen until somebody says stop."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await box.listen()
    print(f"TDengine {box.version} in a box listens on {box.url}", flush=True)
    await stopped.wait()
    await box.close()


def main(given: Sequence[str] | None = None) -> int:
    """Run a box until SIGINT or SIGTERM.

    Parameters:
        given: the command line, without the program; None for the process's own.

    Returns:
        The exit status: 0, or 1 where the box could not start.
    """
    arguments = _arguments(given)
    try:
        box = TDengineBox(
            version=arguments.version,
            host=arguments.host,
            port=arguments.port,
            password=arguments.password,
            token=arguments.token,
            block_rows=arguments.block_rows,
            ssl_context=_tls(arguments.certificate, arguments.key),
        )
        if arguments.init is not None:
            for statement in filter(None, map(str.strip, arguments.init.read_text(encoding="utf-8").splitlines())):
                box.execute(statement)
        asyncio.run(_serve(box))
    except (OSError, ValueError) as error:
        print(f"the box cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
