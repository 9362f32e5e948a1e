"""Which migrations a list shows, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_tdengine.page.migrations import Migration


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which migrations are shown, and in which order.

    Parameters:
        state: only this one; empty for all.
        mode: only this one; empty for all.
        name: only names with this in it, in upper case or lower case.
        database: only source or target databases with this in it.
        sort: the column, as in `SORTS`.
        is_reversed: whether the last one comes first.
        page: which page of `PAGE` migrations, from 1 on.
    """

    state: str = ""
    mode: str = ""
    name: str = ""
    database: str = ""
    sort: str = "created"
    is_reversed: bool = True
    page: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether all are wanted, the newest first."""
        return (self.state, self.mode, self.name, self.database, self.sort) == ("", "", "", "", "created") and (
            self.is_reversed
        )

    def of(self, migrations: Sequence[Migration], now: datetime) -> list[Migration]:
        """Those that are wanted, of all pages, in order."""
        found = [one for one in migrations if self._has(one)]
        found.sort(key=lambda one: _sort_key(one, self.sort, now), reverse=self.is_reversed)
        return found

    def _has(self, one: Migration) -> bool:
        databases = f"{one.source}\n{one.target}".casefold()
        return (
            self.state in ("", one.state.value)
            and self.mode in ("", one.mode)
            and self.name.casefold() in one.name.casefold()
            and self.database.casefold() in databases
        )


PAGE = 25
SORTS = ("name", "source", "mode", "state", "rows", "verdict", "created", "duration", "user")


def _sort_key(one: Migration, column: str, now: datetime) -> tuple[float, str]:
    if column == "created":
        return one.run.created.timestamp(), one.key
    if column == "duration":
        return one.duration(now) or 0.0, one.key
    if column == "rows":
        return float(one.planned.get("rows", 0)), one.key
    texts = {
        "name": one.name.casefold(),
        "source": f"{one.source}\n{one.target}".casefold(),
        "mode": one.mode,
        "state": one.state.value,
        "verdict": one.words,
        "user": one.run.user or "",
    }
    return 0.0, texts[column]
