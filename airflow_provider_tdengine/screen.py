"""What demo and command line show: lines that stay, and a bar that moves where there is a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

_PLAIN_STEPS = 5
"""Without a terminal, a stage says this often how far it is."""

_PLAIN_SECONDS = 60.0
"""The same for a stage without an end: seconds between two lines."""


class Report(Protocol):
    """Says how far a stage is.

    Parameters:
        done: how many rows.
        earlier: how many of them were done before it began, which count for no rate.
    """

    def __call__(self, done: int, earlier: int = 0) -> None: ...


class Screen:
    """Where they write to.

    Parameters:
        stderr: whether that is standard error, since a result goes to standard output.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(highlight=False, soft_wrap=True, stderr=stderr)

    def line(self, text: str = "") -> None:
        self._console.print(text, markup=False)

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="bold", markup=False)

    def failure(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="bold red", markup=False)

    def stage(self, name: str, seconds: float, text: str, *, good: bool = True) -> None:
        """A stage that has ended."""
        mark, style = ("✓", "green") if good else ("✗", "red")
        self._console.print(f"  [{style}]{mark}[/] ", end="")
        self._console.print(f"{name:<12} {seconds:5.1f} s   {text}", markup=False)

    def table(self, columns: list[tuple[str, bool]], rows: list[list[str]]) -> None:
        """Rows under headings.

        Parameters:
            columns: headings, each with whether it is a number.
            rows: as many texts as columns.
        """
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for name, is_number in columns:
            table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        grid = Table.grid(padding=(0, 0, 0, 2))
        grid.add_row(table)
        self._console.print(grid)

    @contextmanager
    def live(self, name: str) -> Iterator[Callable[[str], None]]:
        """A stage without an end; the function that it gives says how far it is.

        Without a terminal it says so once a minute.

        Parameters:
            name: the stage.
        """
        if not self._console.is_terminal:
            yield self._now_and_then(name)
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[text]}")]
        with Progress(TextColumn(" "), *columns, console=self._console, transient=True) as progress:
            task = progress.add_task(f"{name:<12}", total=None, text="")
            yield lambda text: progress.update(task, text=text)

    def _now_and_then(self, name: str) -> Callable[[str], None]:
        said: float | None = None

        def say(text: str) -> None:
            nonlocal said
            if said is None or time.monotonic() - said >= _PLAIN_SECONDS:
                said = time.monotonic()
                self.line(f"    {name:<12} {text}")

        return say

    @contextmanager
    def bar(self, name: str, total: int | None = None, what: str = "") -> Iterator[Report]:
        """A stage that goes on; the function that it gives says how far it is.

        Parameters:
            name: the stage.
            total: when it is complete; None for a stage without a measure.
            what: what is going on, for a stage without a measure.
        """
        started = time.monotonic()

        def text(done: int, earlier: int = 0) -> str:
            if not total:
                return what
            rate = (done - earlier) / max(time.monotonic() - started, 0.001)
            return f"{done:,} of {total:,} rows, {rate:,.0f} rows/s"

        if not self._console.is_terminal:
            yield self._plain(name, text, total)
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}")]
        if total:
            columns += [BarColumn(30), TextColumn("{task.fields[share]}")]
        columns.append(TextColumn("{task.fields[text]}"))
        with Progress(TextColumn(" "), *columns, console=self._console, transient=True) as progress:
            task = progress.add_task(f"{name:<12}", total=total, text=text(0), share="")

            def say(done: int, earlier: int = 0) -> None:
                # Never rounded up.
                share = f"{min(100, 100 * done // total)} %" if total else ""
                progress.update(task, completed=done, text=text(done, earlier), share=f"{share:>5}")

            yield say

    def _plain(self, name: str, text: Callable[[int, int], str], total: int | None) -> Report:
        said = 0

        def say(done: int, earlier: int = 0) -> None:
            nonlocal said
            if total and done < total and (step := done * _PLAIN_STEPS // total) > said:
                said = step
                self.line(f"    {name:<12} {100 * done // total:3} %     {text(done, earlier)}")

        return say
