"""What demo and command line show: lines that stay, and a bar that moves where there is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from airflow_provider_tdengine.migration.headway import Headway


class Report(Protocol):
    """Says how far a stage is.

    Parameters:
        done: how many rows.
        earlier: how many of them were done before it began, which count for no rate.
    """

    def __call__(self, done: int, earlier: int | None = None) -> None: ...


_WIDE = 200
"""Characters of a line that goes into a file: what stands in a table is not cut there."""


class Screen:
    """Where they write to.

    Parameters:
        stderr: whether that is standard error, since a result goes to standard output.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(highlight=False, soft_wrap=True, stderr=stderr)
        if not self._console.is_terminal:
            self._console.width = _WIDE

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

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be looking on."""
        return self._console.is_terminal

    @contextmanager
    def bar(self, name: str, total: int | None = None, what: str = "") -> Iterator[Report]:
        """A stage that goes on; the function that it gives says how far it is.

        Parameters:
            name: the stage.
            total: when it is complete; None for a stage without a measure.
            what: what is going on, for a stage without a measure.
        """
        with self.headway(name, total or 0, what if not total else None) as headway:
            yield headway.at

    @contextmanager
    def headway(self, name: str, total: int = 0, what: str | None = None) -> Iterator[Headway]:
        """Something that goes on: a bar on a terminal, elsewhere a line every ten seconds.

        Parameters:
            name: the stage.
            total: when it is complete; 0 where that is not known.
            what: what is going on, for something that nobody measures; None for something that is measured.
        """
        headway = Headway(f"    {name}", total, tell=self.line)
        if not self._console.is_terminal:
            with headway if what is None else nullcontext():
                yield headway
            return
        columns: list[ProgressColumn] = [TextColumn(" "), SpinnerColumn(), TextColumn(f"{name:<12}")]
        if total:
            columns.append(_Seen(lambda: ProgressBar(total, headway.done, 30)))
            columns.append(_Seen(lambda: Text(f"{headway.percent} %".rjust(5))))
        columns.append(_Seen(lambda: Text(headway.amount if what is None else what)))
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(name, total=None)
            yield headway


class _Seen(ProgressColumn):
    """A column that shows what something is at each moment."""

    def __init__(self, seen: Callable[[], RenderableType]) -> None:
        super().__init__()
        self._seen = seen

    def render(self, task: Task) -> RenderableType:
        return self._seen()
