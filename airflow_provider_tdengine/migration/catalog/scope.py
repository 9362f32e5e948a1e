"""Which tables of a database a migration means: names, globs, files of them, and what a server can be asked of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from airflow_provider_tdengine.client.sql import name_list, name_range, own_names, string
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import NamesUnread, pinned_path, read_names

_WILDCARD = re.compile(r"[*?]")

# What a statement says at most: characters of names in a list, globs in a row.
_CHARACTERS, _GLOBS = 200_000, 100

# LIKE takes upper and lower case for the same in all versions; 2.x and 3.0 find no escaped sign after a %, and 2.x
# takes no more than 100 bytes by default (measured). So a wider pattern is asked, of characters up to 4 bytes.
_NOT_LITERAL = re.compile(r"[*?%_\\]+")
_LIKE = 24

# A glob that means all names with a prefix. Only of a sign of ASCII is it plain which one comes after it.
_PREFIX = re.compile(r"([^*?]*[ -)+->@-}])\*", re.DOTALL)


@dataclass(frozen=True)
class Patterns:
    """Names and globs: `*` stands for any characters, `?` for one, all else for itself.

    One with a dot is compared with a name and with `owner.name`, all others with the name alone. A subtable's owner is
    its super table, a column's its table.

    Parameters:
        texts: the names and globs.
    """

    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Patterns:
        """What an option lists."""
        return cls(tuple(_entries(text)))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(text for text in self.texts if not _WILDCARD.search(text))

    @cached_property
    def globs(self) -> tuple[str, ...]:
        return tuple(text for text in self.texts if _WILDCARD.search(text))

    @cached_property
    def _bare(self) -> re.Pattern[str]:
        return _expression(self.globs)

    @cached_property
    def _dotted(self) -> re.Pattern[str]:
        return _expression(glob for glob in self.globs if "." in glob)

    def __bool__(self) -> bool:
        return bool(self.texts)

    def match(self, name: str, owner: str | None = None) -> bool:
        """Whether a name is meant.

        Parameters:
            name: the name.
            owner: what it belongs to, None for super tables and normal tables.
        """
        if name in self.names or self._bare.fullmatch(name):
            return True
        if owner is None:
            return False
        full = f"{owner}.{name}"
        return full in self.names or self._dotted.fullmatch(full) is not None

    def unmatched(self, names: Iterable[tuple[str, str | None]]) -> list[str]:
        """Those that mean none of some names, each with its owner; reads no more of them than it must."""
        left, globs = set(self.names), [Patterns((glob,)) for glob in self.globs]
        for name, owner in names:
            left -= {name, f"{owner}.{name}"}
            globs = [glob for glob in globs if not glob.match(name, owner)]
            if not left and not globs:
                break
        left = left.union(*(glob.texts for glob in globs))
        return [text for text in self.texts if text in left]

    def bare_names(self) -> list[str]:
        """Names among which all tables of 3.x are that are meant; none where no list can say it."""
        if self.globs or sum(map(len, self.names)) > _CHARACTERS:
            return []
        # A name of 3.x has no dot.
        return sorted({name.rpartition(".")[2] for name in self.names})

    def below(self, stable: str) -> Patterns | None:
        """Patterns of bare names that mean at least these subtables of a super table; None where there are none."""
        prefix = f"{stable}."
        texts = list(self.texts)
        for text in self.texts:
            if text.startswith(prefix):
                texts.append(text[len(prefix) :])
            elif "." in text and prefix.startswith(_WILDCARD.split(text)[0]):
                # A glob that may end anywhere in `super table.subtable`.
                return None
        return Patterns(tuple(texts))


def _expression(globs: Iterable[str]) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    texts = ["".join(signs.get(sign, re.escape(sign)) for sign in glob) for glob in globs]
    return re.compile("|".join(texts) or r"(?!)", re.DOTALL)


@dataclass(frozen=True)
class Scope:
    """Which tables of a database are meant.

    Parameters:
        stables: super tables; empty for all, and all normal tables.
        tables: subtables and normal tables; empty for all.
        exclude: super tables, subtables and normal tables that are left out.
        first: only subtables and normal tables from this name on, by UTF-8 bytes; None for the first one.
        before: only those before this name; None for no end.
    """

    stables: Patterns = Patterns()
    tables: Patterns = Patterns()
    exclude: Patterns = Patterns()
    first: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, options: MigrationOptions) -> Scope:
        """The scope of a migration, its files read.

        Raises:
            MigrationStopped: a file cannot be read, has changed, or names nothing.
        """
        texts = {"stables": options.stables, "tables": options.tables, "exclude": options.exclude}
        patterns, findings = {}, []
        for option, text in texts.items():
            try:
                patterns[option] = Patterns(tuple(_read(option, text)))
            except MigrationStopped as stopped:
                findings += stopped.findings
        stop_on(findings)
        return cls(patterns["stables"], patterns["tables"], patterns["exclude"])

    @property
    def is_partial(self) -> bool:
        """Whether subtables of super tables in scope are left out."""
        return bool(self.tables or self.exclude)

    def is_exact(self, stable: str) -> bool:
        """Whether `conditions` says just which subtables of a super table are meant."""
        if self.exclude:
            return False
        wanted = self.tables.below(stable) if self.tables else Patterns()
        return wanted is not None and not wanted.globs and bool(_any_of(wanted) or not self.tables)

    def between(self, first: str | None, before: str | None) -> Scope:
        """Those from a name on, and before a name, by UTF-8 bytes; None for no such end."""
        lows = [name for name in (self.first, first) if name is not None]
        highs = [name for name in (self.before, before) if name is not None]
        return replace(self, first=max(lows, default=None), before=min(highs, default=None))

    def has_stable(self, name: str) -> bool:
        return (not self.stables or self.stables.match(name)) and not self.exclude.match(name)

    def has_subtable(self, name: str, stable: str) -> bool:
        """Whether a subtable of a super table in scope is meant."""
        meant = (not self.tables or self.tables.match(name, stable)) and not self.exclude.match(name, stable)
        return meant and self._in_range(name)

    def has_normal_table(self, name: str) -> bool:
        meant = self.tables.match(name) if self.tables else not self.stables
        return meant and not self.exclude.match(name) and self._in_range(name)

    def _in_range(self, name: str) -> bool:
        return (self.first is None or name.encode() >= self.first.encode()) and (
            self.before is None or name.encode() < self.before.encode()
        )

    def conditions(self, stable: str, column: str = "tbname") -> list[str]:
        """SQL conditions on names that every subtable in scope meets; where SQL cannot say it, others do, too.

        What is excluded is not among them: 2.4.0.18 takes twice as long with each `<>` and hangs on 20 (measured).

        Parameters:
            stable: the super table.
            column: what holds the name: `tbname`, or `table_name` of a view that lists tables.
        """
        wanted = self.tables.below(stable) if self.tables else None
        names = [f"{column} < {string(self.before)}"] if self.before is not None else []
        return name_range(self.first, None, column) + names + (_any_of(wanted, column) if wanted else [])


def pinned(options: MigrationOptions) -> MigrationOptions:
    """The same options, in which each file of tables is named with a digest of what it holds now.

    A run that is resolved means these tables, and stops if a file has changed when it is read again.

    Raises:
        MigrationStopped: a file cannot be read or names nothing.
    """
    Scope.of(options)
    return replace(
        options,
        stables=_pinned(options.stables),
        tables=_pinned(options.tables),
        exclude=_pinned(options.exclude),
    )


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _pinned(text: str) -> str:
    return ", ".join(f"@{pinned_path(entry[1:])}" if entry.startswith("@") else entry for entry in _entries(text))


def _read(option: str, text: str) -> list[str]:
    """What an option names, its files read.

    Raises:
        MigrationStopped: a file cannot be read, has changed, or names nothing.
    """
    patterns: list[str] = []
    for entry in _entries(text):
        patterns += _lines(option, entry[1:]) if entry.startswith("@") else [entry]
    if text and not patterns and option != "exclude":
        raise _stopped(option, f"{text!r} names nothing", "Leave it empty to mean all")
    return patterns


def _lines(option: str, path: str) -> list[str]:
    """The names and globs in a file."""
    try:
        lines = read_names(path).splitlines()
    except NamesUnread as error:
        raise _stopped(option, str(error), error.action) from error
    return [name for line in lines if (name := line.strip()) and not name.startswith("#")]


def _stopped(option: str, found: str, action: str) -> MigrationStopped:
    return MigrationStopped([Finding(f"Option {option!r}", found, action)])


def _any_of(patterns: Patterns, column: str = "tbname") -> list[str]:
    """Conditions that a name meets which one of some patterns means; none where they would be too long."""
    names, globs = sorted(patterns.names), [_glob_condition(glob, column) for glob in patterns.globs]
    if "" in globs or len(globs) > _GLOBS or sum(map(len, names)) > _CHARACTERS or not (names or globs):
        return []
    if not globs:
        return [name_list(names, column)]
    return [f"({' OR '.join(([own_names(names, column)] if names else []) + globs)})"]


def _glob_condition(glob: str, column: str) -> str:
    """A condition that all names of a glob meet; empty where that is all names."""
    if match := _PREFIX.fullmatch(glob):
        prefix = match[1]
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return f"({column} >= {string(prefix)} AND {column} < {string(after)})"
    like = _NOT_LITERAL.sub("%", glob)
    return "" if like == "%" else f"{column} LIKE {string(f'{like[:_LIKE]}%')}"


EVERYTHING = Scope()
"""All tables of a database."""
