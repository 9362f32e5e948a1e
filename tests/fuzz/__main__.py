"""Takes hostile answers apart for as long as you like; `python -m tests.fuzz --help`."""

from __future__ import annotations

import argparse
import itertools
import logging
import resource
import sys
import time
import traceback
import tracemalloc
import warnings
from collections import Counter

from .targets import TARGETS, check


def main() -> int:
    arguments = _arguments()
    end = time.monotonic() + arguments.seconds
    inputs, most, failures = Counter[str](), Counter[str](), Counter[str]()
    warnings.simplefilter("error", RuntimeWarning)
    logging.disable(logging.WARNING)
    tracemalloc.start()
    for seed in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(arguments.first)):
        for name in arguments.targets:
            inputs[name] += 1
            try:
                most[name] = max(most[name], check(name, seed))
            except Exception as error:  # noqa: BLE001 - any of them is what is looked for
                frame = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{name}: {type(error).__name__} in {frame.filename}:{frame.lineno}"
                failures[kind] += 1
                if failures[kind] == 1:
                    print(f"{kind}, seed {seed}\n{traceback.format_exc()}", flush=True)
    for name in arguments.targets:
        print(f"{name}: {inputs[name]:,} inputs, at most {most[name] / 1e6:.1f} MB for one")
    for kind, times in failures.most_common():
        print(f"{times:,} times {kind}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{inputs.total():,} inputs, {len(failures)} kinds of failures, {peak} MB of memory in all")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Takes hostile answers apart; prints each kind of failure once."
    )
    parser.add_argument("--seconds", type=float, default=60, help="for how long (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1_000, help="the first seed (default: %(default)s)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(map(repr, sorted(unknown)))}")
    arguments.targets = arguments.targets or list(TARGETS)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
