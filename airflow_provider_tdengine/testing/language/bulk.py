"""The two statements that may be megabytes long: INSERT, and CREATE TABLE ... USING for many tables.

One regular expression cuts the whole statement into words; rows are then columns of that list of words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_tdengine.testing.generations import BoxError, Generation
from airflow_provider_tdengine.testing.language.parser import QUOTED, STRING, unquote
from airflow_provider_tdengine.testing.language.syntax import TableName
from airflow_provider_tdengine.testing.language.values import BadValueError

_WORD = re.compile(rf"""{STRING}|[(),;]|(?:{QUOTED}|[^\s(),;'"`])+|['"`]""", re.DOTALL)
_PLAIN = rf"{QUOTED}|[A-Za-z_][A-Za-z0-9_]*"
_NAME = re.compile(rf"(?:({_PLAIN})\.)?({_PLAIN})")
_INSERT = re.compile(r"\s*(?:insert|import)\s+into\s", re.IGNORECASE)
_CREATE = re.compile(
    rf"\s*create\s+table\s+(?:if\s+not\s+exists\s+)?(?:(?:{_PLAIN})\.)?(?:{_PLAIN})\s*using[\s`]", re.IGNORECASE
)
_CHILD_OPTIONS = ("ttl", "comment")

# What an error of 3.x shows of a statement.
_SHOWN = 63


@dataclass
class NewChild:
    """A subtable to create.

    Parameters:
        table: its name.
        stable: its super table.
        tag_names: which tags have values, None for all.
        tags: the values as written.
        first: the number of the first value's word.
        if_not_exists: be content if it is there.
        options: TTL and COMMENT.
    """

    table: TableName
    stable: TableName
    tag_names: list[str] | None
    tags: list[str]
    first: int
    if_not_exists: bool
    options: dict[str, str]


@dataclass
class NewRows:
    """Rows for one table.

    Parameters:
        table: its name.
        child: how to create it if it is not there.
        columns: which columns have values, None for all.
        values: the values as written, by column.
        words: the number of each value's word, row by row.
    """

    table: TableName
    child: NewChild | None
    columns: list[str] | None
    values: list[list[str]]
    words: range | list[int]

    @property
    def rows(self) -> int:
        return len(self.values[0])

    def word(self, column: int, row: int) -> int:
        return (
            self.words[row * len(self.values) + column]
            if isinstance(self.words, list)
            else (self.words[row] + 1 + 2 * column)
        )


def is_insert(sql: str) -> bool:
    """True for INSERT INTO, and IMPORT INTO of 2.x."""
    return _INSERT.match(sql) is not None


def is_create_children(sql: str) -> bool:
    """True for CREATE TABLE ... USING."""
    return _CREATE.match(sql) is not None


class BulkStatement:
    """A long statement as words.

    Parameters:
        sql: the statement.
        generation: whose rules.
    """

    def __init__(self, sql: str, generation: Generation) -> None:
        self.sql = sql
        self.generation = generation
        self.words: list[str] = _WORD.findall(sql)
        while self.words and self.words[-1] == ";":
            self.words.pop()
        self.at = 0
        # There alone, two backticks in a name stand for one (measured 3.0.5.2, 3.3.3.0).
        self._halves_backticks = is_insert(sql)

    # --- Errors

    def rest(self, index: int) -> str:
        """The statement from a word on."""
        for number, match in enumerate(_WORD.finditer(self.sql)):
            if number == index:
                return self.sql[match.start() :].rstrip()
        return ""

    def syntax_error(self, skipped: int = 0) -> BoxError:
        """A syntax error at the next word, or so many characters into it."""
        return self.generation.errors("syntax", near=self.rest(self.at)[skipped:][:300])

    def value_error(self, error: BadValueError, index: int, column: str) -> BoxError:
        """The server's words for a value that its column cannot take."""
        word = self.words[index]
        value = unquote(word) if word[0] in "'\"" else word
        near = value if word[0] in "'\"" else self.rest(index)[:_SHOWN]
        name = "too_long" if error.too_long else "bad_value"
        return self.generation.errors(name, value=value, near=near, why=error.why, column=column)

    # --- Moving over words

    def peek(self, offset: int = 0) -> str:
        """The next word in lower case, or nothing at the end."""
        index = self.at + offset
        return self.words[index].lower() if index < len(self.words) else ""

    def take(self, *words: str) -> bool:
        if any(self.peek(offset) != word for offset, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise self.syntax_error()

    def table_name(self) -> TableName:
        match = _NAME.fullmatch(self.words[self.at]) if self.at < len(self.words) else None
        if match is None:
            raise self.syntax_error()
        database, name = match.groups()
        if name.lower() in self.generation.nameless:
            raise self.generation.errors("bad_table_name")
        bare_database = None if database is None else self.bare(database)
        bare_name = self.bare(name, match.start(2))
        self.at += 1
        return TableName(bare_database, bare_name, (database or "").startswith("`"))

    def bare(self, word: str, start: int = 0) -> str:
        """A name without its backticks, in lower case if it had none; `start` is where it stands in the next word."""
        if word.startswith("`"):
            if self.generation.number == 2 and "`" in word[1:-1]:
                raise self.syntax_error(start)
            return word[1:-1].replace("``", "`") if self._halves_backticks else word[1:-1]
        if word.lower() in self.generation.reserved:
            raise self.syntax_error(start)
        return word.lower()

    def bracketed(self) -> list[str]:
        """The words between brackets and commas; a value such as `now() - 1d` is put together."""
        self.expect("(")
        items = [""]
        depth = 1
        while depth:
            if self.at >= len(self.words):
                raise self.syntax_error()
            word = self.words[self.at]
            self.at += 1
            depth += (word == "(") - (word == ")")
            if word == "," and depth == 1:
                items.append("")
            elif depth:
                items[-1] += word
        if "" in items:
            self.at -= 1
            raise self.syntax_error()
        return items

    def names(self) -> list[str]:
        return [self.bare(word) for word in self.bracketed()]

    # --- The statements

    def children(self) -> list[NewChild]:
        """What CREATE TABLE ... USING wants created."""
        self.expect("create", "table")
        children: list[NewChild] = []
        while self.at < len(self.words):
            if_not_exists = self.take("if", "not", "exists")
            children.append(self.child(self.table_name(), if_not_exists))
        return children

    def child(self, table: TableName, if_not_exists: bool) -> NewChild:
        self.expect("using")
        stable = self.table_name()
        tag_names = self.names() if self.peek() == "(" else None
        self.expect("tags")
        first = self.at + 1
        tags = self.bracketed()
        options: dict[str, str] = {}
        while self.peek() in _CHILD_OPTIONS and self.generation.number > 2:
            option, value = self.words[self.at : self.at + 2]
            options[option.lower()] = value[1:-1] if value[0] in "'\"" else value
            self.at += 2
        return NewChild(table, stable, tag_names, tags, first, if_not_exists, options)

    def insertions(self) -> list[NewRows]:
        """What INSERT wants written."""
        self.at = 2
        insertions: list[NewRows] = []
        while self.at < len(self.words):
            table = self.table_name()
            columns = self.names() if self.peek() == "(" else None
            child = self.child(table, True) if self.peek() == "using" else None
            if self.peek() == "(":
                columns = self.names()
            self.expect("values")
            insertions.append(self.rows(table, child, columns))
        if not insertions:
            raise self.syntax_error()
        return insertions

    def rows(self, table: TableName, child: NewChild | None, columns: list[str] | None) -> NewRows:
        """The rows that follow: at one stroke where they all look alike, else one by one."""
        words, start = self.words, self.at
        if self.peek() != "(":
            raise self.syntax_error()
        try:
            width = words.index(")", start) - start
        except ValueError as error:
            raise self.syntax_error() from error
        stride = width + 1 + (words[start + width + 1 : start + width + 3] == [",", "("])
        end = start
        while end < len(words) and words[end] == "(":
            end += stride
        if stride > width + 1:
            end -= 1
        region = words[start:end]
        count = -(-len(region) // stride)
        values = [region[column::stride] for column in range(1, width, 2)]
        alike = (
            width % 2 == 0
            and end <= len(words)
            and region[width::stride] == [")"] * count
            and all(region[comma::stride] == [","] * count for comma in range(2, width, 2))
            and not any(mark in column for column in values for mark in ("(", ")", ","))
            and words[end : end + 2] != [",", "("]
        )
        if alike:
            self.at = end
            return NewRows(table, child, columns, values, range(start, end, stride))
        return self.rows_one_by_one(table, child, columns)

    def rows_one_by_one(self, table: TableName, child: NewChild | None, columns: list[str] | None) -> NewRows:
        rows: list[list[str]] = []
        positions: list[int] = []
        while self.peek() == "(" or (rows and self.take(",")):
            start = self.at
            row = self.bracketed()
            if rows and len(row) != len(rows[0]):
                raise self.generation.errors("value_count", near=self.rest(start)[:_SHOWN])
            rows.append(row)
            positions += [start + 1 + 2 * column for column in range(len(row))]
        return NewRows(table, child, columns, [list(column) for column in zip(*rows, strict=True)], positions)
