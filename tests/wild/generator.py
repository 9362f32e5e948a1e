"""Random databases: a seed, a version and a size make one, always the same.

What is made is only an attempt. A server refuses some of it (names, values, types that its version lacks): such statements
are left out one by one, and counted. What the source then holds is what should arrive.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from .server import INTEGERS, Refused, Server, as_float, name, quoted


@dataclass(frozen=True)
class Size:
    """How much there is, at most.

    Parameters:
        tables: subtables of a super table.
        crowd: subtables of a super table in the few databases that have a crowd; 0 for none.
        rows: of the table that has the most.
        columns: of a table.
        cells: values of the whole database.
        raw: text may have bytes that are no UTF-8; boxes know no such text.
    """

    tables: int
    crowd: int
    rows: int
    columns: int
    cells: int
    raw: bool


SMALL = Size(tables=25, crowd=0, rows=900, columns=14, cells=12_000, raw=False)
"""For servers in a box, whose blocks have 400 rows in tests."""

FULL = Size(tables=300, crowd=2_000, rows=9_000, columns=60, cells=300_000, raw=True)

_PLAIN_KINDS = ("BOOL", "FLOAT", "DOUBLE", "TIMESTAMP", "VARCHAR", "NCHAR", *INTEGERS)
_KEY_KINDS = ("INT", "BIGINT", "INT UNSIGNED", "BIGINT UNSIGNED", "VARCHAR")

_ODD = "aZ09_ -'\"\\%{}$#@!,;:()[]<>=?/|~^&+表é😀"
_WORDS = ("full", "select", "Value", "order by", "_c0", "NULL", "'", "--", "/*", "测试", "Group", "TAGS", "interval", "if")
_ALPHABET = "abcXYZ '\"\\\n\t\r%{}`.,;_\x01\x7f零é😀"

_STYLES: Sequence[Callable[[int], str]] = (
    "d{}".format,
    "d{}".format,
    "D{}".format,
    "dev-{}".format,
    "{}".format,
    "设备{}".format,
    "it's {}".format,
    '"{}"'.format,
    "100%_{}".format,
    "a\\{}".format,
    "😀{}".format,
    "{} B c".format,
    "{{{}}}".format,
    ("long_" * 36 + "{}").format,
)
"""Names of subtables, from a number; none is padded, so that their order is not that of the numbers."""

_EPOCHS = (-1_000_000_000, -7, 946_684_799, 1_609_459_200, 1_609_459_200, 1_700_000_000, 1_750_000_000)
"""Moments, in seconds, around which rows are; few, since servers have a file for each ten days. 1938 is the oldest."""

_JSON = (
    '{"site":"a b","n":3}',
    '{"x":1.5,"y":true,"z":null}',
    '{"q":"\\"中\\"","e":""}',
    '{"b":"\\\\","a":[1,2]}',
    '{"B":1,"a":-2.25,"A":false}',
    "{}",
    "",
)
"""Tags that servers bear: an adapter of 3.3.3.0 damages its heap when it reads long ones."""


@dataclass(frozen=True)
class Column:
    """A column or tag to be made.

    Parameters:
        name: its name.
        kind: its type.
        length: of text and binary values; digits of DECIMAL.
    """

    name: str
    kind: str
    length: int = 0

    @property
    def sql(self) -> str:
        kind = "BINARY" if self.kind == "VARCHAR" else self.kind
        size = f"({self.length}, {self.length // 2})" if kind == "DECIMAL" else f"({self.length})" if self.length else ""
        return f"{name(self.name)} {kind}{size}"

    @property
    def bytes(self) -> int:
        return {"NCHAR": 4 * self.length, "JSON": 4_096}.get(self.kind, max(self.length, 8)) + 2


@dataclass
class Made:
    """A super table or normal table.

    Parameters:
        name: its name.
        columns: the timestamp first.
        tags: none of a normal table.
        has_key: whether the second column is part of the primary key.
        tables: its subtables, or itself.
    """

    name: str
    columns: list[Column]
    tags: list[Column]
    has_key: bool
    tables: list[str] = field(default_factory=list)


@dataclass
class Filled:
    """What became of a seed.

    Parameters:
        precision: of the database.
        dropped: what the server refused, by its reason.
        is_barred: it has something that no target can hold: the migration should stop before it writes.
    """

    precision: str
    dropped: Counter[str]
    is_barred: bool = False


T = TypeVar("T")


def fill(server: Server, database: str, seed: int, size: Size, target: tuple[int, ...] = (99,)) -> Filled:
    """Make the database of a seed.

    Parameters:
        server: where; a database of this name is dropped.
        database: its name.
        seed: what decides about everything.
        size: how much there may be.
        target: the version of the server that it is for, which is to know all types.
    """
    filler = _Filler(server, database, Random(f"wild {seed}"), size, target)
    # Now and then there is something that the target cannot hold.
    return filler.run(barred=seed % 25 == 13)


class _Filler:
    def __init__(self, server: Server, database: str, rng: Random, size: Size, target: tuple[int, ...]) -> None:
        self._server = server
        self._database = database
        self._rng = rng
        self._size = size
        self._target = target
        self._taken: set[str] = set()
        self._cells = size.cells
        self._dropped: Counter[str] = Counter()
        self._steps = {"ms": 10**3, "us": 10**6, "ns": 10**9}
        self._precision = rng.choice(list(self._steps))
        self._second = self._steps[self._precision]
        self._epochs: Sequence[int] = _EPOCHS

    def run(self, *, barred: bool) -> Filled:
        rng, server = self._rng, self._server
        server.run(f"drop database if exists {self._database}")
        if server.generation == 2:
            update = rng.randrange(3)
            more = f"days 10 update {update} cachelast {rng.randrange(4)}"
            if update == 2:
                # 2.4.0.18 itself spoils timestamps before 1970 of rows that were changed so: -x is read as x - 2^62.
                self._epochs = tuple(epoch for epoch in _EPOCHS if epoch > 0)
        else:
            more = f"duration 10d vgroups {rng.randint(1, 4)} buffer 16"
        server.run(f"create database {self._database} precision '{self._precision}' keep 36500 {more}")
        is_barred = False
        made = [self._make(is_super=True) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 5]))]
        made += [self._make(is_super=False) for _ in range(rng.choice([0, 0, 1, 2, 5]))]
        if barred:
            made[-1].columns.append(Column("*", "INT"))
        made = [each for each in made if self._try(self._create(each))]
        if barred:
            is_barred = any(column.name == "*" for each in made for column in each.columns)
        self._subtables([each for each in made if each.tags])
        self._insert(made, fresh=True)
        self._alter(made)
        self._insert(made, fresh=False)
        return Filled(self._precision, self._dropped, is_barred)

    # --- Statements

    def _try(self, sql: str) -> bool:
        try:
            self._server.run(sql)
        except Refused as reason:
            self._dropped[str(reason)[:60]] += 1
            return False
        return True

    def _all(self, items: Sequence[T], statement: Callable[[Sequence[T]], str]) -> list[T]:
        """Do it for all of them at once, or for those that the server takes.

        Returns:
            Those.
        """
        if not items:
            return []
        if len(items) == 1:
            return list(items) if self._try(statement(items)) else []
        try:
            self._server.run(statement(items))
        except Refused:
            half = len(items) // 2
            return self._all(items[:half], statement) + self._all(items[half:], statement)
        return list(items)

    def _pieces(self, items: Sequence[T], length: Callable[[T], int]) -> Iterator[Sequence[T]]:
        """As many at once as a statement takes; those of 2.x have less than 64 KB."""
        limit, used, first = 50_000 if self._server.generation == 2 else 400_000, 0, 0
        for i, item in enumerate(items):
            used += length(item)
            if i > first and used > limit:
                yield items[first:i]
                first, used = i, length(item)
        yield items[first:]

    # --- Structure

    def _name(self, style: Callable[[], str]) -> str:
        """A name that nothing else has; another one may differ by case only."""
        while (found := style()) in self._taken or not _is_bearable(found):
            pass
        self._taken.add(found)
        return found

    def _odd(self) -> str:
        rng = self._rng
        if rng.random() < 0.3:
            return rng.choice(_WORDS)
        # A blank at an end is rare.
        text = "".join(rng.choice(_ODD) for _ in range(rng.randint(1, 12)))
        return text if rng.random() < 0.1 and text.strip() else text.strip() or "x"

    def _make(self, *, is_super: bool) -> Made:
        rng = self._rng
        odd = rng.random() < 0.4
        kinds = list(_PLAIN_KINDS)
        lowest = min(self._server.version, self._target)
        if lowest >= (3, 3):
            kinds += ["VARBINARY", "GEOMETRY"]
        if lowest >= (3, 3, 5):
            kinds += ["DECIMAL"]
        own = self._name(self._odd if odd or rng.random() < 0.3 else lambda: f"{rng.choice('stmSTM')}{rng.randint(1, 99)}")
        count = rng.choice([1, 2, 3, rng.randint(4, 10), rng.randint(1, self._size.columns)])
        columns = self._columns(count, kinds, odd, "c")
        has_key = lowest >= (3, 3) and rng.random() < 0.25
        if has_key:
            kind = rng.choice(_KEY_KINDS)
            columns[0] = Column(columns[0].name, kind, 16 if kind == "VARCHAR" else 0)
        columns.insert(0, Column("ts" if rng.random() < 0.7 else "Zeit 中", "TIMESTAMP"))
        tags = []
        if is_super and rng.random() < 0.15:
            tags = [Column("info", "JSON")]
        elif is_super:
            of_tags = [kind for kind in kinds if kind not in ("GEOMETRY", "DECIMAL")]
            tags = self._columns(rng.randint(1, 8), of_tags, rng.random() < 0.3, "t")
        return Made(own, columns, tags, has_key)

    def _columns(self, count: int, kinds: list[str], odd: bool, letter: str) -> list[Column]:
        rng, found, taken, left = self._rng, [], {"ts", "zeit 中", "info"}, 10_000
        for i in range(count):
            text = self._odd() if odd else f"{letter}{i}" if rng.random() < 0.9 else f"{letter.upper()}_{i}"
            text = f"{letter}{text}"[:60] if odd and rng.random() < 0.5 else text
            kind, length = rng.choice(kinds), 0
            if kind in ("VARCHAR", "NCHAR", "VARBINARY"):
                length = rng.choice([1, 2, 5, rng.randint(6, 40), rng.randint(6, 40), rng.randint(41, 300)])
            elif kind == "GEOMETRY":
                length = 200
            elif kind == "DECIMAL":
                length = rng.choice([4, 18, 20, 38])
            column = Column(text, kind, length)
            left -= column.bytes
            bad = text.lower() in taken or not _is_bearable(text) or left < 0
            column = replace(column, name=f"{letter}{i}", kind="INT", length=0) if bad else column
            taken.add(column.name.lower())
            found.append(column)
        return found

    def _create(self, made: Made) -> str:
        columns = [column.sql for column in made.columns]
        if made.has_key:
            columns[1] += " primary key"
        kind, tags = ("stable", f" tags ({', '.join(tag.sql for tag in made.tags)})") if made.tags else ("table", "")
        if not made.tags:
            made.tables = [made.name]
        return f"create {kind} {self._database}.{name(made.name)} ({', '.join(columns)}){tags}"

    def _subtables(self, stables: list[Made]) -> None:
        """Make them, all in disorder."""
        rng, wanted = self._rng, []
        for made in stables:
            count = rng.choice([0, 1, 2, rng.randint(3, 12), rng.randint(3, 12), rng.randint(3, self._size.tables)])
            if self._size.crowd and made is stables[0] and rng.random() < 0.05:
                count = self._size.crowd
            style, odd = rng.choice(_STYLES), rng.random() < 0.2
            first = rng.choice([0, 1, 1, 95])
            for number in range(first, first + count):
                text = self._name(self._odd if odd and rng.random() < 0.5 and count < 50 else _numbered(style, number))
                wanted.append((made, text))
        rng.shuffle(wanted)
        texts = {}
        for made, text in wanted:
            values = ", ".join(self._tag(tag) for tag in made.tags)
            texts[text] = f"{self._database}.{name(text)} using {self._database}.{name(made.name)} tags ({values})"
        owners = {text: made for made, text in wanted}
        for some in self._pieces(list(texts), lambda text: 2 * len(texts[text])):
            for text in self._all(some, lambda these: "create table " + " ".join(texts[text] for text in these)):
                owners[text].tables.append(text)

    def _alter(self, made: list[Made]) -> None:
        """What happens to tables that have rows: columns come and go, tags change."""
        rng = self._rng
        for each in made:
            kind = "stable" if each.tags else "table"
            spelt = f"alter {kind} {self._database}.{name(each.name)}"
            if rng.random() < 0.2:
                column = Column("added later", rng.choice(["INT", "DOUBLE", "BIGINT UNSIGNED"]))
                if self._try(f"{spelt} add column {column.sql}"):
                    each.columns.append(column)
            if rng.random() < 0.1 and len(each.columns) > 3:
                column = each.columns[rng.randrange(2, len(each.columns))]
                if self._try(f"{spelt} drop column {name(column.name)}"):
                    each.columns.remove(column)
            if each.tags and each.tables and each.tags[0].kind != "JSON" and rng.random() < 0.3:
                tag, table = rng.choice(each.tags), rng.choice(each.tables)
                self._try(
                    f"alter table {self._database}.{name(table)} set tag {name(tag.name)} = {self._tag(tag)}"
                )

    # --- Rows

    def _insert(self, made: list[Made], *, fresh: bool) -> None:
        """Rows in disorder; if they are not the first, late ones and others for old timestamps."""
        rng = self._rng
        entries: list[tuple[str, str]] = []
        biggest = rng.random() < 0.4
        for each in made:
            moods = [self._moods(column) for column in each.columns[1:]]
            for table in each.tables:
                count = self._count() if fresh else rng.choice([0, 0, 0, 1, 3])
                if fresh and biggest and self._cells > 0:
                    count, biggest = self._size.rows - rng.randrange(self._size.rows // 3), False
                count = max(0, min(count, self._cells // len(each.columns)))
                self._cells -= count * len(each.columns)
                own = [rng.choice(mood) for mood in moods]
                spelt = f"{self._database}.{name(table)}"
                for time in self._times(count, each.name):
                    columns = list(range(len(each.columns)))
                    if rng.random() < 0.1:
                        # Only some columns, so that the others keep what they have, or have nothing.
                        fixed = 2 if each.has_key else 1
                        columns = columns[:fixed] + [i for i in columns[fixed:] if rng.random() < 0.4]
                    head = spelt
                    if len(columns) < len(each.columns) or rng.random() < 0.1:
                        head += f" ({', '.join(name(each.columns[i].name) for i in columns)})"
                    values = [str(time)]
                    for i in columns[1:]:
                        mood = "key" if each.has_key and i == 1 else own[i - 1]
                        values.append(self._value(each.columns[i], mood))
                    entries.append((head, f"({','.join(values)})"))
        # Rows of a table stay together in parts: disorder, yet not a table's name a row.
        parts = [entries[i : i + 40] for i in range(0, len(entries), 40)]
        rng.shuffle(parts)
        entries = [entry for part in parts for entry in part]
        for some in self._pieces(entries, lambda entry: 2 * (len(entry[0]) + len(entry[1]))):
            self._all(some, _insert_statement)
        if fresh and self._server.generation == 3:
            self._odd_floats(made)

    def _count(self) -> int:
        rng = self._rng
        return rng.choice(
            [0, 1, 1, 2, rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 9), rng.randint(10, 120), rng.randint(50, 500)]
        )

    def _times(self, count: int, stable: str) -> list[int]:
        """Timestamps around one or two moments; several may be the same."""
        rng, found = self._rng, []
        first = Random(stable).choice(self._epochs)
        step = rng.choice([1, self._second // 1000, self._second, rng.randint(1, 60 * self._second)])
        time = rng.choice([first, rng.choice(self._epochs)]) * self._second + rng.choice([0, rng.randrange(self._second)])
        for _ in range(count):
            found.append(time)
            time += rng.choice([0, step, step, step, step, step * rng.randint(1, 20)])
        if rng.random() < 0.7:
            rng.shuffle(found)
        return found

    def _moods(self, column: Column) -> list[str]:
        """What a column's values are like, table by table."""
        rng = self._rng
        return rng.choice([["mixed"], ["mixed", "edge"], ["null"], ["zero"], ["zero", "null", "edge"], ["edge"], ["dense"]])

    def _value(self, column: Column, mood: str) -> str:
        rng = self._rng
        if mood == "null" or (mood in ("mixed", "edge") and rng.random() < 0.15):
            return "NULL"
        if mood == "zero":
            return {"BOOL": "false", "VARCHAR": "''", "NCHAR": "''", "VARBINARY": "''", "GEOMETRY": "NULL"}.get(
                column.kind, "0"
            )
        return self._literal(column, edge=mood == "edge" or rng.random() < 0.05, is_key=mood == "key")

    def _tag(self, tag: Column) -> str:
        rng = self._rng
        if rng.random() < 0.2:
            return "NULL"
        return quoted(rng.choice(_JSON)) if tag.kind == "JSON" else self._literal(tag, edge=rng.random() < 0.3)

    def _literal(self, column: Column, *, edge: bool, is_key: bool = False) -> str:
        rng, kind, length = self._rng, column.kind, column.length
        if kind in INTEGERS:
            low, high = INTEGERS[kind]
            if self._server.generation == 2:
                # One number of each type is the NULL of 2.x.
                low, high = (low, high - 1) if low == 0 else (low + 1, high)
            if is_key:
                return str(rng.choice([low, high, rng.randint(0, 5), rng.randint(0, 99)]))
            return str(rng.choice([low, high, high, 0, 1]) if edge else rng.randint(max(low, -1000), min(high, 1000)))
        if kind == "BOOL":
            return rng.choice(["true", "false"])
        if kind in ("FLOAT", "DOUBLE"):
            return repr(_float(rng, kind == "FLOAT", edge, tiny=self._server.version < (3, 3)))
        if kind == "TIMESTAMP":
            if edge:
                return str(rng.choice([0, -1, 2**63 - 1, 1 - 2**63, 10**15]))
            return str(rng.choice(_EPOCHS) * self._second + rng.randrange(self._second))
        if kind in ("VARCHAR", "NCHAR"):
            return quoted(_text(rng, length, wide=kind == "VARCHAR", full=edge, raw=self._size.raw))
        if kind == "VARBINARY":
            return f"'\\x{rng.randbytes(length if edge else rng.randint(0, length)).hex()}'"
        if kind == "GEOMETRY":
            x, y = rng.randint(-180, 180), rng.uniform(-90, 90)
            return rng.choice([f"'POINT({x} {y})'", f"'LINESTRING({x} {y},0 1)'", "'POLYGON((0 0,1 0,1 1,0 0))'"])
        digits, scale = length - length // 2, length // 2
        return f"{rng.choice('- ')}{rng.randrange(10 ** (digits - edge))}.{rng.randrange(10**scale):0{scale}}".strip()

    def _odd_floats(self, made: list[Made]) -> None:
        """What INSERT of 3.x has no words for: infinity, no number, and numbers below the smallest normal one."""
        rng = self._rng
        for each in made:
            floats = [column for column in each.columns if column.kind in ("FLOAT", "DOUBLE")]
            texts = [column for column in each.columns[1 + each.has_key :] if column.kind == "VARCHAR" and column.length > 8]
            if not floats or not texts or not each.tables or rng.random() < 0.5:
                continue
            target, text = rng.choice(floats), rng.choice(texts)
            keys = [name(column.name) for column in each.columns[: 1 + each.has_key]]
            for table in rng.sample(each.tables, min(len(each.tables), 3)):
                spelt, time = f"{self._database}.{name(table)}", 1_500_000_000 * self._second + rng.randrange(1000)
                word = rng.choice(["inf", "-inf", "nan", "5e-324", "1e-310"])
                key = ", 7" if each.has_key else ""
                self._try(f"insert into {spelt} ({', '.join(keys)}, {name(text.name)}) values ({time}{key}, '{word}')")
                cast = f"cast({name(text.name)} as {target.kind})"
                self._try(
                    f"insert into {spelt} ({', '.join(keys)}, {name(target.name)}) "
                    f"select {', '.join(keys)}, {cast} from {spelt} where {keys[0]} = {time}"
                )


def _is_bearable(text: str) -> bool:
    """Whether 3.x can hold a name: after a backslash at its end it takes quoted for unquoted."""
    return "`" not in text and not text.endswith("\\") and text not in ("*", "tbname")


def _numbered(style: Callable[[int], str], number: int) -> Callable[[], str]:
    """A name with a number, or with others where that is taken."""
    tried = iter(range(number, number + 10**6, 1000))
    return lambda: style(next(tried))


def _insert_statement(entries: Sequence[tuple[str, str]]) -> str:
    parts, last = ["insert into"], ""
    for head, values in entries:
        parts += [values] if head == last else [head, "values", values]
        last = head
    return " ".join(parts)


def _float(rng: Random, narrow: bool, edge: bool, *, tiny: bool) -> float:
    """A number.

    Parameters:
        rng: what decides.
        narrow: it is a FLOAT.
        edge: it is one of those at which something may go wrong.
        tiny: it may be below the smallest normal number, which INSERT of 3.3 refuses.
    """
    biggest = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0] if narrow else 1.7976931348623157e308
    smallest = 2.0**-126 if narrow else 2.0**-1022
    if edge:
        return rng.choice([biggest, -biggest, biggest, smallest, -0.0, 0.0, smallest / (8 if tiny else 1), 0.1])
    found = rng.choice([rng.gauss(0, 100), rng.random(), float(rng.randint(-5, 5)), math.ldexp(rng.random(), rng.randint(-90, 90))])
    return as_float(found) if narrow else found


def _text(rng: Random, length: int, *, wide: bool, full: bool, raw: bool) -> str:
    """Text of so many characters, or bytes, at most.

    Parameters:
        rng: what decides.
        length: of the column.
        wide: it is counted in bytes.
        full: it is exactly so long.
        raw: it may have bytes that are no UTF-8.
    """
    if not full and rng.random() < 0.1:
        return rng.choice(["", "", "NULL", "null", "nan", "'"])[:length]
    if wide and raw and rng.random() < 0.02:
        return bytes(rng.randint(128, 255) for _ in range(length)).decode("utf-8", "surrogateescape")
    wanted = length if full else rng.randint(0, min(length, 30))
    found, used = [], 0
    while used < wanted:
        letter = rng.choice(_ALPHABET)
        size = len(letter.encode()) if wide else 1
        if used + size > wanted:
            letter, size = "x", 1
        found.append(letter)
        used += size
    return "".join(found)
