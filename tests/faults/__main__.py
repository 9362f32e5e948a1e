"""Runs many trials by hand; `python -m tests.faults --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from ..unit.client.conftest import make_certificate
from ..wild.driver import opened
from ..wild.generator import SIZES, fill
from .proxy import KINDS
from .trial import SOURCE, TARGET, Outcome, Trials


def main() -> int:
    arguments = _arguments()
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        source, target = (opened(url, stack) for url in (arguments.source, arguments.target))
        source.run(f"drop database if exists {SOURCE}")
        fill(source, SOURCE, arguments.data, SIZES["small"], target.version)
        certificate = None
        if arguments.tls:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            certificate = make_certificate(folder, "localhost")
        trials = stack.enter_context(Trials(source, target, certificate))
        print(f"{source.version_text} to {target.version_text}{' over TLS' if certificate else ''}", flush=True)
        until = time.monotonic() + arguments.seconds
        for seed in range(arguments.first, arguments.first + arguments.trials):
            if time.monotonic() > until:
                break
            outcome = trials.run(seed, arguments.kinds)
            outcomes.append(outcome)
            print(outcome, flush=True)
            if not outcome.is_good:
                print(outcome.runs[-1].said, flush=True)
        for server, database in ((source, SOURCE), (target, TARGET)):
            server.run(f"drop database if exists {database}")
    return _summary(outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Migrates a random database over lines that break, and once more over whole ones; prints a line a "
        "trial, and a table of faults and outcomes.",
    )
    box = "or box:VERSION for a simulated server"
    parser.add_argument(
        "--source", default="box:2.4.0.18", help=f"URL such as ws://root:taosdata@localhost:6041, {box}"
    )
    parser.add_argument("--target", default="box:3.3.3.0", help="the same, of 3.x")
    parser.add_argument("--tls", action="store_true", help="with TLS between engine and servers")
    parser.add_argument("--trials", type=int, default=90, help="how many (default: 90)")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed (default: 0)")
    parser.add_argument("--data", type=int, default=1, help="the database's seed (default: 1)")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no trial after so many")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of faults (default: all)")
    return parser.parse_args()


def _summary(outcomes: list[Outcome]) -> int:
    """Faults by kind and outcome."""
    found = Counter((outcome.kind, outcome.what) for outcome in outcomes)
    columns = sorted({what for _, what in found})
    print(f"\n{'fault':<12}{''.join(f'{what:>20}' for what in columns)}")
    for kind in sorted({kind for kind, _ in found}):
        print(f"{kind:<12}{''.join(f'{found[kind, what]:>20}' for what in columns)}")
    runs = [run for outcome in outcomes for run in outcome.runs]
    slowest, peak = max(run.seconds for run in runs), max(run.peak for run in runs)
    print(f"\n{len(outcomes)} trials, {len(runs)} runs; the longest {slowest:.0f} s, the largest {peak} MB")
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
