"""What changes on the way: names, constant tags, columns that stay behind, rows that are filtered out."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field, Type, field_from_sql
from airflow_provider_tdengine.migration.catalog import Patterns, Subtable, Table
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import NamesUnread, pinned_path, read_names

_T = TypeVar("_T")

_INTEGERS = frozenset(
    {Type.TINYINT, Type.SMALLINT, Type.INT, Type.BIGINT, Type.UTINYINT, Type.USMALLINT, Type.UINT, Type.UBIGINT}
)

_CONSTANT_BYTES = 64
"""The length of a constant text tag that is given without a type: other sites' values have room, too."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to rename.

    Parameters:
        pattern: a regular expression.
        replacement: what takes the place of what it matches, with `\\1` for groups.
    """

    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, slots=True)
class Renaming:
    """What names become.

    Parameters:
        names: new names by old ones; they come before the rules.
        rules: the first that matches a name gives it its new one.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Renaming:
        """Rules as an option says them, one a line: `old -> new`, `* -> site_*`, `/^old_/ -> new_` or `@file.csv`.

        Raises:
            ValueError: what is wrong, and with which rule.
        """
        names: dict[str, str] = {}
        rules = []
        for line in _lines(text):
            if line.startswith("@"):
                names |= _read_csv(line[1:])
                continue
            old, arrow, new = (part.strip() for part in line.partition("->"))
            if not arrow or not old or not (new or old.startswith("/")):
                raise ValueError(f"{line!r} is not a rule such as old -> new")
            if old.startswith("/"):
                rules.append(_regular(old, new))
            elif set("*?") & set(old):
                rules.append(_glob(old, new))
            else:
                names[old] = new
        return cls(names, tuple(rules))

    def __bool__(self) -> bool:
        return bool(self.names or self.rules)

    def __call__(self, name: str, owner: str | None = None) -> str:
        """The new name, or the old one where nothing matches.

        Parameters:
            name: the old name.
            owner: the table of a column; rules may name `table.column` as well.
        """
        spelt = (name,) if owner is None else (name, f"{owner}.{name}")
        for old in spelt:
            if old in self.names:
                return self.names[old]
        for rule in self.rules:
            for old in spelt:
                if rule.pattern.search(old):
                    return rule.pattern.sub(rule.replacement, old, count=1)
        return name

    @property
    def prefix(self) -> str | None:
        """What is put before all names, which keeps their order; None where names become anything else."""
        if not self:
            return ""
        if self.names or len(self.rules) > 1 or self.rules[0].pattern.pattern != _ANY:
            return None
        prefix = self.rules[0].replacement.removesuffix(_WHOLE)
        return None if "\\g" in prefix or prefix == self.rules[0].replacement else prefix.replace(r"\\", "\\")

    def of_range(self, first: str | None, before: str | None) -> tuple[str | None, str | None] | None:
        """The range of the new names of a range of names; None where they lie anywhere.

        Parameters:
            first: from which name on, None for the first one.
            before: before which name, None for no end.
        """
        prefix = self.prefix
        if not prefix:
            return None if prefix is None else (first, before)
        last = ord(prefix[-1]) + 1
        behind = prefix[:-1] + chr(last) if last not in (0xD800, 0x110000) else None
        return prefix + (first or ""), behind if before is None else prefix + before


_ANY, _WHOLE = r"\A(.*)\Z", r"\g<1>"
"""The pattern of `*`, and what stands for it in a new name."""


def pinned_renaming(options: MigrationOptions) -> MigrationOptions:
    """The same options, in which each file of new names is named with a digest of what it holds now."""
    return replace(
        options,
        rename_stables=_pinned(options.rename_stables),
        rename_tables=_pinned(options.rename_tables),
        rename_columns=_pinned(options.rename_columns),
    )


def _pinned(text: str) -> str:
    lines = list(_lines(text))
    if not any(line.startswith("@") for line in lines):
        return text
    return "\n".join(f"@{pinned_path(line[1:])}" if line.startswith("@") else line for line in lines)


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in re.split(r"[\n;]", text) if line.strip())


def _regular(old: str, new: str) -> Rule:
    if len(old) < 3 or not old.endswith("/"):
        raise ValueError(f"the regular expression {old!r} must stand between two slashes")
    try:
        pattern = re.compile(old[1:-1], re.DOTALL)
        _try_replacement(pattern, new)
    except (re.error, IndexError) as error:
        raise ValueError(f"{old!r} -> {new!r} is not a regular expression and its replacement: {error}") from None
    return Rule(pattern, new)


def _try_replacement(pattern: re.Pattern[str], new: str) -> None:
    """Raise what `new` would raise as soon as the pattern matches something."""
    known = {number: name for name, number in pattern.groupindex.items()}
    groups = (f"(?P<{known[i]}>)" if i in known else "()" for i in range(1, pattern.groups + 1))
    re.sub("".join(groups), new, "", count=1)


def _glob(old: str, new: str) -> Rule:
    """A rule of a pattern in which each `*` and `?` stands for what the next `*` or `?` of the new name is."""
    signs = re.findall(r"[*?]", old)
    if re.findall(r"[*?]", new) != signs:
        raise ValueError(f"{old!r} -> {new!r}: both sides need the same * and ?, in the same order")
    pattern = "".join({"*": "(.*)", "?": "(.)"}.get(sign, re.escape(sign)) for sign in old)
    numbers = iter(range(1, len(signs) + 1))
    replacement = re.sub(r"[*?]", lambda _: f"\\g<{next(numbers)}>", new.replace("\\", r"\\"))
    return Rule(re.compile(rf"\A{pattern}\Z", re.DOTALL), replacement)


def _read_csv(path: str) -> dict[str, str]:
    """Old and new names of a file with two columns."""
    text = read_names(path)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise ValueError(f"the file {path!r} cannot be read: {error}") from None
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not all(row):
            raise ValueError(f"row {number} of {path!r} is {row}, not an old and a new name")
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class ConstantTag:
    """A tag that the source does not have, with the same value in all subtables.

    Parameters:
        field: its name and type.
        value: its value.
    """

    field: Field
    value: Value

    @classmethod
    def parse(cls, text: str) -> ConstantTag:
        """A tag as an option says it: `site=beijing` or `line:INT=3`.

        Raises:
            ValueError: not such a text, or a type that takes no such value.
        """
        head, equals, value = (part.strip() for part in text.partition("="))
        name, _, kind = (part.strip() for part in head.partition(":"))
        if not equals or not name:
            raise ValueError(f"{text!r} is not a tag such as site=beijing or line:INT=3")
        own = field_from_sql(name, kind or f"VARCHAR({max(_CONSTANT_BYTES, len(value.encode()))})")
        return cls(own, _constant(own, value))


def _constant(own: Field, text: str) -> Value:
    if own.type in (Type.VARCHAR, Type.NCHAR):
        size = len(text.encode()) if own.type is Type.VARCHAR else len(text)
        if size > own.length:
            raise ValueError(f"{text!r} is too long for {own.sql_type}, the type of tag {own.name!r}")
        return text
    if own.type is Type.BOOL and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if own.type in _INTEGERS and re.fullmatch(r"[+-]?\d+", text):
        limits = np.iinfo(str(own.info.dtype))
        if limits.min <= int(text) <= limits.max:
            return int(text)
    if own.type in (Type.FLOAT, Type.DOUBLE) and own.info.dtype is not None:
        try:
            value = float(own.info.dtype.type(text))
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
    raise ValueError(f"{text!r} is not a value of {own.sql_type}, the type of tag {own.name!r}")


@dataclass(frozen=True)
class Transform:
    """What a migration changes on the way from source to target.

    Parameters:
        stables: new names of super tables.
        tables: new names of subtables and normal tables.
        columns: new names of columns and tags.
        tags: constant tags of all super tables.
        kept: names or patterns of the columns that are copied; empty for all.
        left_out: names or patterns of columns that are not.
        where: a condition that rows must meet, in the source's SQL; empty for all rows.
    """

    stables: Renaming = Renaming()
    tables: Renaming = Renaming()
    columns: Renaming = Renaming()
    tags: tuple[ConstantTag, ...] = ()
    kept: Patterns = field(default_factory=Patterns)
    left_out: Patterns = field(default_factory=Patterns)
    where: str = ""

    @classmethod
    def of(cls, options: MigrationOptions) -> Transform:
        """What options ask for.

        Raises:
            MigrationStopped: all that is wrong with them.
        """
        findings: list[Finding] = []

        def read(option: str, parse: Callable[[str], _T], action: str) -> list[_T]:
            try:
                return [parse(getattr(options, option))]
            except ValueError as error:
                todo = error.action if isinstance(error, NamesUnread) else action
                findings.append(Finding(f"Option {option!r}", str(error), todo))
                return []

        rule = "Give rules such as old -> new, * -> site_*, /^old_/ -> new_ or @names.csv, one a line"
        renamings = [
            read(option, Renaming.parse, rule) for option in ("rename_stables", "rename_tables", "rename_columns")
        ]
        tags = read("add_tags", _constants, "Give tags such as site=beijing or line:INT=3, one a line")
        where = read("where", _condition, "Give one condition such as voltage > 0 AND phase IS NOT NULL")
        if findings:
            raise MigrationStopped(findings)
        (stables,), (tables,), (columns,) = renamings
        kept, left_out = Patterns.of(options.columns), Patterns.of(options.exclude_columns)
        return cls(stables, tables, columns, tags[0], kept, left_out, where[0])

    def selected(self, table: Table) -> Table:
        """A source table as it is read: without the columns that stay behind."""
        columns = [column for column in table.columns if self._is_copied(table, column)]
        return replace(table, columns=tuple(columns), where=self.where, is_whole=len(columns) == len(table.columns))

    def _is_copied(self, table: Table, column: Field) -> bool:
        if column.name in (table.time_column, table.second_key):
            return True
        is_kept = not self.kept or self.kept.match(column.name, table.name)
        return is_kept and not self.left_out.match(column.name, table.name)

    def renamed(self, table: Table) -> Table:
        """A source table as the target has it: with its new names and constant tags."""
        rename = self.stables if table.is_super else self.tables

        def column(own: Field) -> Field:
            return replace(own, name=self.columns(own.name, table.name))

        tags = tuple(map(column, table.tags))
        return Table(
            name=rename(table.name),
            columns=tuple(map(column, table.columns)),
            tags=tags + tuple(constant.field for constant in self.tags) if table.is_super else (),
            second_key=table.second_key and self.columns(table.second_key, table.name),
            storage={self.columns(name, table.name): words for name, words in table.storage.items()},
        )

    def subtable(self, subtable: Subtable) -> Subtable:
        """A source subtable as the target has it."""
        return Subtable(self.tables(subtable.name), subtable.tags + tuple(constant.value for constant in self.tags))

    def findings(self, tables: Iterable[Table]) -> Iterator[Finding]:
        """What cannot be done with these source tables: names that fall together, columns that are not there."""
        tables = list(tables)
        yield from self._equal_names(tables)
        for option, patterns in (("columns", self.kept), ("exclude_columns", self.left_out)):
            columns = ((column.name, table.name) for table in tables for column in table.columns)
            for text in patterns.unmatched(columns) if tables else ():
                yield Finding(
                    f"Option {option!r}", f"no table in scope has a column {text!r}", "Give columns that are there"
                )

    def collisions(self, tables: Callable[[], Iterable[str]]) -> Iterator[Finding]:
        """Subtables and normal tables of the source that would have one name in the target.

        Parameters:
            tables: reads their names; a second time if hashes of 8 bytes, which many names can have, say so.
        """
        if not self.tables:
            return
        hashes = np.fromiter((hash(self.tables(name)) for name in tables()), np.int64)
        values, counts = np.unique(hashes, return_counts=True)
        several = values[counts > 1]
        # Of a rule that gives all tables one name, or pairs of them, not all are said.
        suspects = set(several[:_SHOWN].tolist())
        olds: dict[str, list[str]] = defaultdict(list)
        numbers: Counter[str] = Counter()
        for name in tables() if suspects else ():
            new = self.tables(name)
            if hash(new) in suspects:
                numbers[new] += 1
                if len(olds[new]) < _SHOWN:
                    olds[new].append(name)
        yield from (_same_name(new, names, numbers[new]) for new, names in olds.items() if len(names) > 1)
        if len(several) > _SHOWN:
            found = f"several tables would be called so in the target, as with the {_SHOWN} names above"
            yield Finding(f"{len(several) - _SHOWN:,} more names", found, _OTHER_NAMES)

    def _equal_names(self, tables: list[Table]) -> Iterator[Finding]:
        olds: dict[str, list[str]] = defaultdict(list)
        for table in tables:
            renamed = self.renamed(table)
            olds[renamed.name].append(table.name)
            fields = [field.name for field in renamed.columns + renamed.tags]
            for name in sorted({name for name in fields if fields.count(name) > 1}):
                yield Finding(
                    f"Table {table.name!r}",
                    f"it would have several columns or tags called {name!r} in the target",
                    "Give rename_columns or add_tags other names",
                )
        for new, names_of in olds.items():
            if len(names_of) > 1:
                yield _same_name(new, names_of, len(names_of))


_SHOWN = 10
"""Tables that a finding names at most, and names that are said."""

_OTHER_NAMES = "Give rename_stables or rename_tables rules with different results, or leave some out with exclude"


def _same_name(new: str, olds: Iterable[str], number: int) -> Finding:
    """What to say of several tables that would have one name in the target.

    Parameters:
        new: the name.
        olds: the tables, of many the first ones.
        number: how many there are.
    """
    names = sorted(olds)[:_SHOWN]
    more = f" and {number - len(names):,} more" if number > len(names) else ""
    found = f"all of them would be called {new!r} in the target"
    return Finding(f"Tables {', '.join(map(repr, names))}{more}", found, _OTHER_NAMES, kind="one name")


def _constants(text: str) -> tuple[ConstantTag, ...]:
    return tuple(ConstantTag.parse(line) for line in _lines(text))


_TOKEN = re.compile(
    r"""(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<word>\w+)|(?P<comment>--|/\*|\*/)|(?P<sign>.)""",
    re.DOTALL,
)
_CLAUSE = re.compile(
    "SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|UNION|INTO|USING|FROM|WHERE|GROUP|ORDER|PARTITION|INTERVAL|SLIDING|"
    "STATE_WINDOW|SESSION|FILL|HAVING|S?LIMIT|S?OFFSET",
    re.IGNORECASE,
)


def _condition(text: str) -> str:
    """A condition as SQL says it.

    Raises:
        ValueError: it is more, or less, than one condition.
    """
    depth = 0
    for token in _TOKEN.finditer(text):
        said = token[0]
        if token["comment"] or said in ";'\"`":
            raise ValueError(f"{text!r} has {said!r}, which no single condition has outside of quotes")
        if said.strip("`").lower() == "tbname":
            # 3.x answers `tbname IN` of one super table with rows of another one, see client.sql.own_names.
            raise ValueError(f"{text!r} asks for tbname; tables and exclude are there to name subtables")
        if token["word"] and _CLAUSE.fullmatch(said):
            raise ValueError(f"{text!r} says {said}, which no condition does; quote it if it is a name")
        depth += (said == "(") - (said == ")")
        if depth < 0:
            break
    if depth:
        raise ValueError(f"{text!r} has brackets that do not match")
    return text
