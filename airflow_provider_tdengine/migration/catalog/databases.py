"""Which databases of a server are meant: names, patterns, and what somebody may have meant by a name that is none."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.result import all_rows, as_name
from airflow_provider_tdengine.migration.catalog.scope import Patterns
from airflow_provider_tdengine.migration.findings import Finding

SYSTEM = frozenset({"information_schema", "performance_schema", "log"})
"""Databases that servers make themselves, and those of their monitoring; no pattern means them."""


def database_names(client: Client) -> list[str]:
    """The names of a server's databases, in order, without those of `SYSTEM`.

    Raises:
        TDengineError: of the kind of failure.
    """
    with client.session() as session:
        result = session.query("SHOW DATABASES")
        place = [field.name for field in result.fields].index("name")
        return sorted({as_name(row[place]) for row in all_rows(result)} - SYSTEM)


def matched(text: str, names: Collection[str]) -> list[str]:
    """The names, in order, that names and patterns mean.

    Parameters:
        text: as of the option `source_database`.
        names: of databases.
    """
    patterns = Patterns.of(text)
    return sorted(name for name in names if patterns.match(name))


def unmatched(text: str, names: Collection[str]) -> list[str]:
    """Names and patterns that mean none of some databases."""
    return Patterns.of(text).unmatched((name, None) for name in names)


def near(name: str, names: Collection[str]) -> list[str]:
    """Names that somebody may have meant: TDengine makes small letters of capitals that stand without quotes."""
    folded = {other.casefold(): other for other in names}
    if same := folded.get(name.casefold()):
        return [same]
    return [folded[other] for other in get_close_matches(name.casefold(), folded, n=3, cutoff=0.75)]


def no_database(client: Client, name: str, option: str, names: Collection[str]) -> Finding:
    """What to say of a name, or a pattern, that means none of a server's databases.

    Parameters:
        client: the server.
        name: that was given.
        option: which gave it.
        names: of its databases.
    """
    meant = " or ".join(map(repr, near(name, names)))
    return Finding(
        f"Option {option!r}",
        f"{client.address} has no database {name!r}",
        f"{f'Did you mean {meant}? ' if meant else ''}It has {enumerated(names)}",
    )


def enumerated(names: Iterable[str], most: int = 10) -> str:
    """The first of some names, by name, and how many more there are; of any number, in little memory."""
    first: list[str] = []
    more = 0
    for name in names:
        first = sorted([*first, name])
        more += len(first) > most
        first = first[:most]
    return (", ".join(first) + (f" and {more} more" if more else "")) or "none"
