"""Takes hostile answers apart for as long as you like; `python -m tests.fuzz --help`."""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from .targets import TARGETS, check

_A_ROUND = 500


def main() -> int:
    arguments = _arguments()
    end = time.monotonic() + arguments.seconds
    inputs, most, failures = Counter[str](), Counter[str](), dict[str, str]()
    warnings.simplefilter("error", RuntimeWarning)
    logging.disable(logging.WARNING)
    tracemalloc.start()
    while time.monotonic() < end:
        for name in arguments.targets:
            try:
                _round(name, inputs, most, end)
            except Exception as error:  # noqa: BLE001 - the one place where any of them is what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{name}: {type(error).__name__} in {place.filename}:{place.lineno}"
                if kind not in failures:
                    failures[kind] = traceback.format_exc()
                    print(f"{kind}\n{failures[kind]}", flush=True)
    for name in arguments.targets:
        print(f"{name}: {inputs[name]:,} inputs, at most {most[name]:,} bytes of memory a byte beyond the allowance")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{inputs.total():,} inputs, {len(failures)} kinds of failures, {peak} MB of memory at most")
    return 1 if failures else 0


def _round(name: str, inputs: Counter[str], most: Counter[str], end: float) -> None:
    @settings(
        max_examples=_A_ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(TARGETS[name].inputs)
    def hold(hostile: Any) -> None:
        if time.monotonic() > end:
            return
        inputs[name] += 1
        most[name] = max(most[name], round(check(TARGETS[name], hostile)))

    hold()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Takes hostile answers apart; prints each kind of failure once with an input that shows it.",
    )
    parser.add_argument("--seconds", type=float, default=60, help="for how long (default: %(default)s)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(map(repr, sorted(unknown)))}")
    arguments.targets = arguments.targets or list(TARGETS)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
