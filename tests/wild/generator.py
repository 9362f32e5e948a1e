"""Random databases: a seed, a version and a size make one, always the same.

What is made is only an attempt. A server refuses some of it (names, values, types that its version lacks): such
statements are left out one by one, and counted. What the source then holds is what should arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from .server import INTEGERS, Refused, Server, name
from .values import EPOCHS, Values


@dataclass(frozen=True)
class Size:
    """How much there is, at most.

    Parameters:
        tables: subtables of a super table.
        crowd: subtables of a super table in the few databases that have a crowd; 0 for none.
        rows: of the table that has the most.
        columns: of a table.
        cells: values of the whole database.
        real: also what boxes do not know: text that is no UTF-8, text as second key, INSERT with SELECT.
    """

    tables: int
    crowd: int
    rows: int
    columns: int
    cells: int
    real: bool


SIZES = {
    # For servers in a box, whose blocks have 400 rows in tests.
    "small": Size(tables=25, crowd=0, rows=900, columns=14, cells=12_000, real=False),
    "full": Size(tables=300, crowd=2_000, rows=9_000, columns=60, cells=100_000, real=True),
}

_PLAIN_KINDS = ("BOOL", "FLOAT", "DOUBLE", "TIMESTAMP", "VARCHAR", "NCHAR", *INTEGERS)
_KEY_KINDS = ("INT", "BIGINT", "INT UNSIGNED", "BIGINT UNSIGNED", "VARCHAR")

_ODD = "aZ09_ -'\"\\%{}$#@!,;:()[]<>=?/|~^&+表é😀"
_WORDS = ("full", "select", "Value", "order by", "_c0", "NULL", "'", "--", "/*", "测试", "Group", "TAGS", "if")

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

_STATEMENT = {2: 25_000, 3: 200_000}
"""Characters of a statement, at most: those of 2.x have less than 64 KB."""


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
        scale = f", {self.length // 2}" if kind == "DECIMAL" else ""
        return f"{name(self.name)} {kind}" + (f"({self.length}{scale})" if self.length else "")

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
        keys: how many columns make the primary key.
        tables: its subtables, or itself.
    """

    name: str
    columns: list[Column]
    tags: list[Column]
    keys: int
    tables: list[str] = field(default_factory=list)


@dataclass
class Filled:
    """What became of a seed.

    Parameters:
        precision: of the database.
        second: steps of a second.
        dropped: statements that the server refused, by its reason.
        is_barred: it has something that no target can hold: the migration should stop before it writes.
    """

    precision: str
    second: int
    dropped: Counter[str]
    is_barred: bool


T = TypeVar("T")


def fill(server: Server, database: str, seed: int, size: Size, target: tuple[int, ...]) -> Filled:
    """Make the database of a seed.

    Parameters:
        server: where.
        database: its name; there is none of this name.
        seed: what decides about everything.
        size: how much there may be.
        target: the version of the server that it is for, which is to know all types.
    """
    # Now and then there is something that the target cannot hold.
    return _Filler(server, database, Random(f"wild {seed}"), size, target).run(barred=seed % 25 == 13)


class _Filler:
    def __init__(self, server: Server, database: str, rng: Random, size: Size, target: tuple[int, ...]) -> None:
        self._server = server
        self._database = database
        self._rng = rng
        self._size = size
        self._lowest = min(server.version, target)
        self._taken: set[str] = set()
        self._cells = size.cells
        self._dropped: Counter[str] = Counter()
        self._epochs: Sequence[int] = EPOCHS
        self._precision, self._second = rng.choice([("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
        self._values = Values(rng, server.version, self._second, real=size.real)

    def run(self, *, barred: bool) -> Filled:
        rng = self._rng
        if self._server.generation == 2:
            update = rng.randrange(3)
            more = f"days 10 update {update} cachelast {rng.randrange(4)}"
            if update == 2:
                # 2.4.0.18 itself spoils timestamps before 1970 of rows that were changed so: -x is read as x - 2^62.
                self._epochs = [epoch for epoch in EPOCHS if epoch > 0]
        else:
            more = f"duration 10d vgroups {rng.randint(1, 4)} buffer 16"
        self._server.run(f"create database {self._database} precision '{self._precision}' keep 36500 {more}")
        made = [self._make(is_super=True) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 5]))]
        made += [self._make(is_super=False) for _ in range(rng.choice([0, 0, 1, 2, 5]))]
        if barred:
            made[-1].columns.append(Column("*", "INT"))
        made = [each for each in made if self._try(self._create(each))]
        is_barred = any(column.name == "*" for each in made for column in each.columns)
        self._subtables([each for each in made if each.tags])
        self._insert(made, self._first_count)
        if self._server.version >= (3, 3) and self._size.real:
            self._odd_floats(made)
        self._alter(made)
        self._insert(made, lambda: rng.choice([0, 0, 0, 1, 3]))
        return Filled(self._precision, self._second, self._dropped, is_barred)

    # --- Statements

    def _spelt(self, table: str) -> str:
        return f"{self._database}.{name(table)}"

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
        if len(items) <= 1:
            return [item for item in items if self._try(statement([item]))]
        try:
            self._server.run(statement(items))
        except Refused:
            half = len(items) // 2
            return self._all(items[:half], statement) + self._all(items[half:], statement)
        return list(items)

    def _pieces(self, items: Sequence[T], length: Callable[[T], int]) -> Iterator[Sequence[T]]:
        """As many at once as a statement takes."""
        limit, used, first = _STATEMENT[self._server.generation], 0, 0
        for i, item in enumerate(items):
            used += length(item)
            if i > first and used > limit:
                yield items[first:i]
                first, used = i, length(item)
        yield items[first:]

    # --- Structure

    def _make(self, *, is_super: bool) -> Made:
        rng, lowest = self._rng, self._lowest
        odd = rng.random() < 0.4
        kinds = [*_PLAIN_KINDS, *["VARBINARY", "GEOMETRY"] * (lowest >= (3, 3)), *["DECIMAL"] * (lowest >= (3, 3, 5))]
        plain = not odd and rng.random() < 0.7
        own = self._name((lambda: f"{rng.choice('stmSTM')}{rng.randint(1, 99)}") if plain else self._odd)
        count = rng.choice([1, 2, 3, rng.randint(4, 10), rng.randint(1, self._size.columns)])
        columns = self._columns(count, kinds, odd, "c")
        keys = 2 if lowest >= (3, 3) and rng.random() < 0.25 else 1
        if keys == 2:
            kind = rng.choice(_KEY_KINDS if self._size.real else _KEY_KINDS[:-1])
            columns[0] = Column(columns[0].name, kind, 16 if kind == "VARCHAR" else 0)
        columns.insert(0, Column("ts" if rng.random() < 0.7 else "Zeit 中", "TIMESTAMP"))
        tags = []
        if is_super and rng.random() < 0.15:
            tags = [Column("info", "JSON")]
        elif is_super:
            of_tags = [kind for kind in kinds if kind not in ("GEOMETRY", "DECIMAL")]
            tags = self._columns(rng.randint(1, 8), of_tags, rng.random() < 0.3, "t")
        return Made(own, columns, tags, keys)

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
        text = "".join(rng.choice(_ODD) for _ in range(rng.randint(1, 12)))
        # A blank at an end is rare.
        return text if rng.random() < 0.1 and text.strip() else text.strip() or "x"

    def _columns(self, count: int, kinds: list[str], odd: bool, letter: str) -> list[Column]:
        rng, found, taken, left = self._rng, [], {"ts", "zeit 中", "info"}, 10_000
        for i in range(count):
            text = self._odd() if odd else f"{letter}{i}" if rng.random() < 0.9 else f"{letter.upper()}_{i}"
            text = f"{letter}{text}" if odd and rng.random() < 0.5 else text
            kind, length = rng.choice(kinds), 0
            if kind in ("VARCHAR", "NCHAR", "VARBINARY"):
                length = rng.choice([1, 2, 5, rng.randint(6, 40), rng.randint(6, 40), rng.randint(41, 300)])
            elif kind == "GEOMETRY":
                length = 200
            elif kind == "DECIMAL":
                length = rng.choice([4, 18, 20, 38])
            column = Column(text, kind, length)
            left -= column.bytes
            if text.lower() in taken or not _is_bearable(text) or left < 0:
                column = Column(f"{letter}{i}", "INT")
            taken.add(column.name.lower())
            found.append(column)
        return found

    def _create(self, made: Made) -> str:
        columns = [column.sql for column in made.columns]
        if made.keys == 2:
            columns[1] += " primary key"
        kind, tags = ("stable", f" tags ({', '.join(tag.sql for tag in made.tags)})") if made.tags else ("table", "")
        if not made.tags:
            made.tables = [made.name]
        return f"create {kind} {self._spelt(made.name)} ({', '.join(columns)}){tags}"

    def _subtables(self, stables: list[Made]) -> None:
        """Make them, those of all super tables in disorder."""
        rng, owners, texts = self._rng, {}, {}
        for made in stables:
            few, most = rng.randint(3, 12), self._size.tables
            count = rng.choice([rng.randint(0, 2), few, few, rng.randint(3, most // 4), rng.randint(9, most)])
            if self._size.crowd and made is stables[0] and rng.random() < 0.03:
                count = self._size.crowd
            style, odd = rng.choice(_STYLES), rng.random() < 0.2
            first = rng.choice([0, 1, 1, 95])
            for number in range(first, first + count):
                is_odd = odd and rng.random() < 0.5 and count < 50
                owners[self._name(self._odd if is_odd else _numbered(style, number))] = made
        wanted = list(owners)
        rng.shuffle(wanted)
        for text in wanted:
            values = ", ".join(self._values.tag(tag.kind, tag.length) for tag in owners[text].tags)
            texts[text] = f"{self._spelt(text)} using {self._spelt(owners[text].name)} tags ({values})"
        for some in self._pieces(wanted, lambda text: len(texts[text])):
            for text in self._all(some, lambda these: "create table " + " ".join(texts[text] for text in these)):
                owners[text].tables.append(text)

    def _alter(self, made: list[Made]) -> None:
        """What happens to tables that have rows: columns come and go, tags change."""
        rng = self._rng
        for each in made:
            spelt = f"alter {'stable' if each.tags else 'table'} {self._spelt(each.name)}"
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
                value = self._values.tag(tag.kind, tag.length)
                self._try(f"alter table {self._spelt(table)} set tag {name(tag.name)} = {value}")

    # --- Rows

    def _first_count(self) -> int:
        """How many rows a table has: none, few or more, and one table in some databases has far more."""
        rng = self._rng
        few = rng.randint(2, 9)
        count = rng.choice([0, 1, 1, 2, few, few, few, rng.randint(10, 120), rng.randint(50, 500)])
        return count if rng.random() < 0.98 else self._size.rows - rng.randrange(self._size.rows // 3)

    def _insert(self, made: list[Made], count: Callable[[], int]) -> None:
        """Rows in disorder; some for timestamps that have a row already, some of a few columns only."""
        rng, entries = self._rng, list[tuple[str, str]]()
        for each in made:
            moods = [self._values.moods() for _ in each.columns]
            epochs = rng.sample(self._epochs, 2)
            for table in each.tables:
                rows = min(count(), self._cells // len(each.columns))
                self._cells -= rows * len(each.columns)
                own = [rng.choice(mood) for mood in moods]
                entries += [self._row(each, table, own, time) for time in self._values.times(rows, epochs)]
        # Rows of a table stay together in parts, so that not each has the table's name before it.
        parts = [entries[i : i + 40] for i in range(0, len(entries), 40)]
        rng.shuffle(parts)
        entries = [entry for part in parts for entry in part]
        for some in self._pieces(entries, lambda entry: len(entry[0]) + len(entry[1])):
            self._all(some, _insert_statement)

    def _row(self, made: Made, table: str, moods: list[str], time: int) -> tuple[str, str]:
        """A row: what stands before VALUES, and what behind it."""
        rng = self._rng
        places, head = list(range(len(made.columns))), self._spelt(table)
        if rng.random() < 0.1:
            # The other columns keep what they have, or have nothing.
            places = places[: made.keys] + [i for i in places[made.keys :] if rng.random() < 0.4]
            head += f" ({', '.join(name(made.columns[i].name) for i in places)})"
        values = [str(time)]
        for i in places[1:]:
            column = made.columns[i]
            is_key = i < made.keys
            values.append(
                self._values.key(column.kind, column.length)
                if is_key
                else self._values.value(column.kind, column.length, moods[i])
            )
        return head, f"({','.join(values)})"

    def _odd_floats(self, made: list[Made]) -> None:
        """What INSERT of 3.x has no words for: infinity, no number, and numbers below the smallest normal one."""
        rng = self._rng
        for each in made:
            others = each.columns[each.keys :]
            floats = [column for column in others if column.kind in ("FLOAT", "DOUBLE")]
            texts = [column for column in others if column.kind == "VARCHAR" and column.length > 8]
            if not floats or not texts or rng.random() < 0.5:
                continue
            into, text = rng.choice(floats), rng.choice(texts)
            keys = [name(column.name) for column in each.columns[: each.keys]]
            for table in rng.sample(each.tables, min(len(each.tables), 3)):
                spelt, time = self._spelt(table), 1_500_000_000 * self._second + rng.randrange(1000)
                word = rng.choice(["inf", "-inf", "nan", "5e-324", "1e-310"])
                key = ", '7'" if each.keys == 2 else ""
                self._try(f"insert into {spelt} ({', '.join(keys)}, {name(text.name)}) values ({time}{key}, '{word}')")
                self._try(
                    f"insert into {spelt} ({', '.join(keys)}, {name(into.name)}) select {', '.join(keys)}, "
                    f"cast({name(text.name)} as {into.kind}) from {spelt} where {keys[0]} = {time}"
                )


def _is_bearable(text: str) -> bool:
    """Whether 3.x can hold a name: after a backslash at its end it takes quoted for unquoted."""
    return "`" not in text and not text.endswith("\\") and text not in ("*", "tbname")


def _numbered(style: Callable[[int], str], number: int) -> Callable[[], str]:
    """A name with a number, or with others where that is taken."""
    numbers = iter(range(number, number + 10**6, 1000))
    return lambda: style(next(numbers))


def _insert_statement(entries: Sequence[tuple[str, str]]) -> str:
    parts, last = ["insert into"], ""
    for head, values in entries:
        parts += [values] if head == last else [head, "values", values]
        last = head
    return " ".join(parts)
