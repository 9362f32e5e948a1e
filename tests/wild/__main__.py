"""Runs many seeds by hand; `python -m tests.wild --help`."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
import traceback
from collections import Counter, defaultdict
from contextlib import ExitStack
from types import FrameType

import httpx

from .driver import Driver, Outcome, alone, opened
from .generator import SIZES
from .server import Refused

_SECONDS = 900
"""A seed that takes longer is stuck."""

_BROKEN = "test broken"
_GIVES_UP = 3
"""So many seeds that cannot be run, one after the other, are the last ones."""


def main() -> int:
    arguments = _arguments()
    with ExitStack() as stack:
        source, target = (opened(url, stack) for url in (arguments.source, arguments.target))
        driver = Driver(
            source, target, SIZES[arguments.size], arguments.faults, arguments.options, arguments.keep, arguments.files
        )
        print(f"{source.version_text} to {target.version_text}, {len(arguments.seeds)} seeds", flush=True)
        outcomes = []
        signal.signal(signal.SIGALRM, _stuck)
        for seed in arguments.seeds:
            signal.alarm(_SECONDS)
            try:
                outcome = driver.run(seed)
            except (Refused, AssertionError, httpx.HTTPError, OSError, ValueError) as error:
                outcome = Outcome(seed, _BROKEN, f"{type(error).__name__}: {error}", traceback.format_exc())
            signal.alarm(0)
            outcomes.append(outcome)
            print(outcome, flush=True)
            if arguments.verbose and not outcome.is_good:
                print(outcome.report, flush=True)
            if [last.verdict for last in outcomes[-_GIVES_UP:]] == [_BROKEN] * _GIVES_UP:
                print("A server seems to be gone")
                break
    return _summary(outcomes, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.wild",
        description="Migrates random databases and compares what arrived; prints a line a seed, and a list of what "
        "failed with its cause at the end.",
        epilog="What follows -- is given to the command line of all seeds, such as -- --verify full",
    )
    box = "box:VERSION for a simulated server, such as box:2.4.0.18"
    parser.add_argument(
        "--source",
        required=True,
        help=f"URL such as ws://root:taosdata@localhost:6041 (http: the migration uses REST only), or {box}",
    )
    parser.add_argument("--target", required=True, help="the same, of 3.x")
    parser.add_argument("--seeds", type=_seeds, default=_seeds("0-9"), help="such as 7 or 0-99 or 3,8,20-29")
    parser.add_argument(
        "--faults", action="store_true", help="damage the target afterwards, and see it found and mended"
    )
    parser.add_argument("--size", choices=list(SIZES), default="full", help="of the databases (default: full)")
    parser.add_argument("--keep", action="store_true", help="leave the databases wild_SEED and wild_SEED_to there")
    parser.add_argument("--files", action="store_true", help="by an export and its import, in place of migrate")
    parser.add_argument("--verbose", action="store_true", help="show all that a failing seed said")
    ours, _, theirs = " ".join(map(shlex.quote, sys.argv[1:])).partition(" -- ")
    arguments = parser.parse_args(shlex.split(ours))
    arguments.options = shlex.split(theirs)
    return arguments


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _stuck(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"stuck for {_SECONDS} s")


def _summary(outcomes: list[Outcome], arguments: argparse.Namespace) -> int:
    """Failures by cause, and how to see one of each again."""
    bad: dict[tuple[str, str], list[int]] = defaultdict(list)
    for outcome in outcomes:
        if not outcome.is_good:
            bad[outcome.verdict, _alike(outcome.cause)].append(outcome.seed)
    good = sum(outcome.is_good for outcome in outcomes)
    refused = sum(outcome.verdict == "refused" for outcome in outcomes)
    print(f"\n{good} of {len(outcomes)} seeds hold, {refused} of them by rightly refusing")
    for (verdict, cause), seeds in sorted(bad.items(), key=lambda item: -len(item[1])):
        print(f"{len(seeds):4}  {verdict}: {cause}\n      seeds {','.join(map(str, seeds))}")
    dropped = sum((outcome.dropped for outcome in outcomes), Counter[str]())
    if dropped:
        print(f"\nStatements that the source refused, and that were left out: {sum(dropped.values())}")
        for reason, count in dropped.most_common(8):
            print(f"{count:6}  {reason}")
    if bad:
        first = next(iter(bad.values()))[0]
        given = (
            arguments.source,
            arguments.target,
            first,
            arguments.size,
            arguments.faults,
            arguments.options,
            arguments.files,
        )
        print(f"\nOne of them alone: {alone(*given)}")
    return 1 if bad else 0


def _alike(cause: str) -> str:
    """A cause without what is of one seed only."""
    cause = re.sub(r"(table=).*?( what=)", r"\1…\2", cause)
    return re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "N", cause))[:160]


if __name__ == "__main__":
    sys.exit(main())
