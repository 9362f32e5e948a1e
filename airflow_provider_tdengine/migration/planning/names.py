"""Which databases of a server somebody means: names and globs, `*` for all but those that TDengine makes for itself."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import OWN_DATABASES, VIEWS, Patterns
from airflow_provider_tdengine.migration.findings import Finding, stop_on


def selected(names: Collection[str], patterns: str, option: str, place: str) -> list[str]:
    """The databases that are meant.

    SQL takes upper case without backticks for lower case, so a database has mostly been made in lower case, whatever
    somebody calls it; one with upper case in its name is another one. So names are taken as they are, and one that
    is not there is an error that says which may be meant.

    Parameters:
        names: all that there are.
        patterns: names and globs, separated by commas: `power, plant_*`. A glob means no database of TDengine's own,
            such as `log`; a name does.
        option: that says it.
        place: which server it is.

    Returns:
        By name.

    Raises:
        MigrationStopped: a name or glob means none, or nothing is said.
    """
    wanted, there = Patterns.of(patterns), sorted(set(names) - VIEWS)
    own = sorted(set(there) - OWN_DATABASES)
    missing = [name for name in wanted.names if name not in there]
    missing += [glob for glob in wanted.globs if not any(map(Patterns((glob,)).match, own))]
    subject = f"Option {option!r}"
    if not wanted:
        stop_on([Finding(subject, "it is empty", "Give names and patterns such as power, plant_*; or * for all")])
    stop_on(Finding(subject, f"{place} has no database {name!r}", _instead(name, own)) for name in sorted(missing))
    return [name for name in there if name in wanted.names or (name in own and wanted.match(name))]


def _instead(name: str, there: Collection[str]) -> str:
    """What may be meant by a name that is not there."""
    folded = {other.lower(): other for other in there}
    same = folded.get(name.lower())
    close = [same] if same else [folded[one] for one in get_close_matches(name.lower(), folded, n=3)]
    meant = f"Perhaps {' or '.join(map(repr, close))} is meant; it" if close else "It"
    return f"{meant} has {wording.enumerated(there)}"
