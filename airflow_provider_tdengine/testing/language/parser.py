"""From the text of a statement to its meaning: a tokenizer and a recursive descent.

INSERT and CREATE TABLE ... USING, which may be megabytes long, have their own way: `bulk.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from airflow_provider_tdengine.client.types import Field, Type, field_from_sql
from airflow_provider_tdengine.testing.generations import BoxError, Generation
from airflow_provider_tdengine.testing.language.syntax import (
    AlterDatabase,
    AlterTable,
    AlterTableOption,
    AlterUser,
    Binary,
    Call,
    Cast,
    Column,
    CreateDatabase,
    CreateTable,
    CreateTopic,
    CreateUser,
    Delete,
    Describe,
    DropDatabase,
    DropGroup,
    DropTables,
    DropTopic,
    DropUser,
    Duration,
    Expression,
    FlushDatabase,
    Grant,
    In,
    IsNull,
    Like,
    Literal,
    Name,
    Order,
    ResetCache,
    Select,
    SelectItem,
    SetTags,
    Show,
    ShowCreate,
    Star,
    Statement,
    TableName,
    Unary,
    Union,
    UseDatabase,
)

Item = TypeVar("Item")

STRING = r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*\""""

QUOTED = "`[^`]*(?:``[^`]*)*`"
"""A name in backticks; two of them are a part of it."""

_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<string>{STRING})
    |(?P<quoted>{QUOTED})
    |(?P<duration>\d+[bunasmhdwy](?![A-Za-z0-9_]))
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<symbol><=|>=|<>|!=|[-+*/%(),.;=<>&|])
    |(?P<end>$)
    |(?P<bad>.)
    )""",
    re.VERBOSE | re.DOTALL,
)

_ESCAPES = re.compile(r"\\(.)|''|\"\"", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "x": "\\x", "%": "\\%", "_": "\\_"}

_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})

# What ends an expression without AS, so that it is not taken for an alias.
_CLAUSES = frozenset(
    {
        "from",
        "where",
        "group",
        "partition",
        "interval",
        "order",
        "limit",
        "offset",
        "slimit",
        "soffset",
        "having",
        "union",
        "fill",
        "sliding",
        "and",
        "or",
        "as",
    }
)

_TABLE_OPTIONS = frozenset({"comment", "ttl", "watermark", "max_delay", "rollup", "sma", "delete_mark", "keep"})

_COLUMN_OPTIONS = frozenset({"encode", "compress", "level", "comment"})


class Token(NamedTuple):
    """A word of a statement and where it stands."""

    kind: str
    text: str
    start: int
    end: int


def unquote(text: str) -> str:
    """The value of a text literal, given with its quotes."""
    quote, body = text[0], text[1:-1]
    if "\\" not in body and quote * 2 not in body:
        return body

    def replace(match: re.Match[str]) -> str:
        escaped = match[1]
        if escaped is not None:
            return _ESCAPED.get(escaped, escaped)
        return quote if match[0] == quote * 2 else match[0]

    return _ESCAPES.sub(replace, body)


def parse(sql: str, generation: Generation) -> Statement:
    """What a statement means.

    Raises:
        BoxError: the statement is wrong, or not known to the box.
    """
    return _Parser(sql, generation).statement()


class _Parser:
    def __init__(self, sql: str, generation: Generation) -> None:
        self.sql = sql
        self.generation = generation
        self.tokens = [
            Token(match.lastgroup or "", match[match.lastgroup or 0], match.start(match.lastgroup or 0), match.end())
            for match in _TOKEN.finditer(sql)
        ]
        self.at = 0

    # --- Moving over tokens

    @property
    def token(self) -> Token:
        return self.tokens[min(self.at, len(self.tokens) - 1)]

    @property
    def word(self) -> str:
        """The token in lower case if it is a word or a symbol, else nothing."""
        token = self.token
        return token.text.lower() if token.kind in ("name", "symbol") else ""

    def next(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def take(self, *words: str) -> bool:
        """Move over these words if they are what follows."""
        for offset, word in enumerate(words):
            index = self.at + offset
            token = self.tokens[index] if index < len(self.tokens) else self.tokens[-1]
            if token.kind not in ("name", "symbol") or token.text.lower() != word:
                return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.take(word):
                raise self.error()

    def one_of(self, *words: str) -> str:
        word = self.word
        if word not in words:
            raise self.error()
        self.at += 1
        return word

    def error(self, token: Token | None = None) -> BoxError:
        start = (token or self.token).start
        return self.generation.errors("syntax", near=self.sql[start:].rstrip())

    def unknown(self) -> BoxError:
        return self.generation.errors("unknown", what=self.sql[:300])

    def end(self) -> None:
        self.take(";")
        if self.token.kind != "end":
            raise self.error()

    def identifier(self) -> str:
        token = self.token
        if token.kind == "quoted":
            if self.generation.number == 2 and "`" in token.text[1:-1]:
                raise self.error()
            self.at += 1
            return token.text[1:-1]
        if token.kind != "name" or token.text.lower() in self.generation.reserved:
            raise self.error()
        self.at += 1
        return token.text.lower()

    def integer(self) -> int:
        token = self.next()
        if token.kind != "number" or not token.text.isdigit():
            raise self.error(token)
        return int(token.text)

    def text(self) -> str:
        token = self.next()
        if token.kind != "string":
            raise self.error(token)
        return unquote(token.text)

    def table_name(self) -> TableName:
        quoted = self.token.kind == "quoted"
        database, word, name = None, self.token.text, self.identifier()
        if self.take("."):
            database, word, name = name, self.token.text, self.identifier()
        if word.lower() in self.generation.nameless:
            raise self.generation.errors("bad_table_name")
        return TableName(database, name, quoted and database is not None)

    def listed(self, item: Callable[[], Item]) -> tuple[Item, ...]:
        """What stands between commas."""
        items = [item()]
        while self.take(","):
            items.append(item())
        return tuple(items)

    # --- Statements

    def statement(self) -> Statement:
        statements: dict[str, Callable[[], Statement]] = {
            "select": self.union,
            "create": self.create,
            "drop": self.drop,
            "alter": self.alter,
            "show": self.show,
            "describe": self.describe,
            "desc": self.describe,
            "reset": self.reset,
            "flush": self.flush,
            "use": self.use,
            "delete": self.delete,
            "grant": self.grant,
            "revoke": self.grant,
        }
        parse = statements.get(self.word)
        if parse is None:
            raise self.error()
        if self.word in ("delete", "flush", "grant", "revoke") and self.generation.number == 2:
            raise self.error()
        statement = parse()
        self.end()
        return statement

    def create(self) -> Statement:
        self.expect("create")
        if self.take("database"):
            if_not_exists = self.take("if", "not", "exists")
            quoted = self.token.kind == "quoted"
            return CreateDatabase(self.identifier(), quoted, if_not_exists, self.database_options())
        if self.take("user"):
            return self.create_user()
        if self.generation.number > 2 and self.take("topic"):
            if_not_exists = self.take("if", "not", "exists")
            name = self.identifier()
            if not self.take("with", "meta", "as", "database"):
                raise self.unknown()
            return CreateTopic(name, if_not_exists, self.identifier(), self.sql)
        if self.word in ("table", "stable"):
            return self.create_table(self.next().text.lower() == "stable")
        raise self.unknown()

    def create_user(self) -> CreateUser:
        name = self.identifier()
        self.expect("pass")
        password = self.text()
        options = {"createdb": 0, "sysinfo": 1, "enable": 1}
        while self.generation.number > 2 and self.word in options:
            option = self.next().text.lower()
            options[option] = self.integer()
        return CreateUser(name, password, options["createdb"] == 1, options["sysinfo"] == 1)

    def database_options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        while self.token.kind == "name":
            option = self.word
            if option not in self.generation.database_options:
                raise self.error()
            self.next()
            options[option] = ",".join(self.listed(self.option_value))
        return options

    def option_value(self) -> str:
        token = self.next()
        if token.kind == "string":
            return unquote(token.text)
        if token.kind not in ("number", "duration"):
            raise self.error(token)
        return token.text

    def create_table(self, stable: bool) -> CreateTable:
        if_not_exists = self.take("if", "not", "exists")
        name = self.table_name()
        columns = self.columns()
        tags: tuple[Column, ...] = ()
        if self.take("tags"):
            tags = self.columns()
        elif stable:
            raise self.error()
        options: dict[str, str] = {}
        while self.word in _TABLE_OPTIONS and self.generation.number > 2:
            option = self.next().text.lower()
            options[option] = self.bracketed() if self.word == "(" else self.table_option(option)
        return CreateTable(name, if_not_exists, columns, tags, options)

    def table_option(self, option: str) -> str:
        """A value; 3.x keeps comments as they stand between their quotes, escapes and all (measured)."""
        return self.next().text[1:-1] if option == "comment" and self.token.kind == "string" else self.option_value()

    def bracketed(self) -> str:
        start = self.token.start
        while not self.take(")"):
            if self.next().kind == "end":
                raise self.error()
        return self.sql[start : self.tokens[self.at - 1].end]

    def columns(self) -> tuple[Column, ...]:
        self.expect("(")
        columns = self.listed(self.column)
        self.expect(")")
        return columns

    def column(self) -> Column:
        field = self.field(self.identifier())
        primary_key = False
        if self.generation.number > 2:
            primary_key = self.take("primary", "key") or self.take("composite", "key")
        options: list[tuple[str, str]] = []
        while self.word in _COLUMN_OPTIONS and self.generation.number > 2:
            options.append((self.next().text.lower(), self.text()))
        return Column(field, primary_key, tuple(options))

    def field(self, name: str) -> Field:
        first = self.next()
        end = first.end
        if self.take("unsigned"):
            end = self.tokens[self.at - 1].end
        elif self.take("("):
            self.listed(self.integer)
            self.expect(")")
            end = self.tokens[self.at - 1].end
        sql_type = self.sql[first.start : end]
        if sql_type.lower() == "integer":
            sql_type = "int"
        try:
            field = field_from_sql(name, sql_type)
        except ValueError as error:
            raise self.error(first) from error
        if field.info.sized and not field.length:
            raise self.error(first)
        if field.type in self.generation.lacks:
            raise self.error(first)
        return Field(name, Type.JSON, self.generation.json_length) if field.type is Type.JSON else field

    def drop(self) -> Statement:
        self.expect("drop")
        if self.take("database"):
            if_exists = self.take("if", "exists")
            quoted = self.token.kind == "quoted"
            return DropDatabase(self.identifier(), quoted, if_exists)
        if self.take("user"):
            return DropUser(self.identifier())
        if self.generation.number > 2 and self.take("consumer", "group"):
            if_exists = self.take("if", "exists")
            group = self.identifier()
            self.expect("on")
            return DropGroup(group, self.identifier(), if_exists)
        if self.generation.number > 2 and self.take("topic"):
            if_exists = self.take("if", "exists")
            return DropTopic(self.identifier(), if_exists)
        if self.word not in ("table", "stable"):
            raise self.unknown()
        stable = self.next().text.lower() == "stable"
        return DropTables(self.listed(self.dropped_table), stable)

    def dropped_table(self) -> tuple[TableName, bool]:
        if_exists = self.take("if", "exists")
        return self.table_name(), if_exists

    def alter(self) -> Statement:
        self.expect("alter")
        if self.take("database"):
            name = self.identifier()
            return AlterDatabase(name, self.database_options())
        if self.take("user"):
            return self.alter_user()
        if self.word not in ("table", "stable"):
            raise self.unknown()
        self.next()
        name_of_table = self.table_name()
        if self.take("set", "tag"):
            return SetTags(name_of_table, self.listed(self.set_tag))
        if self.word in ("ttl", "comment") and self.generation.number > 2:
            option = self.next().text.lower()
            return AlterTableOption(name_of_table, option, self.table_option(option))
        action = self.one_of("add", "drop", "modify", "rename", "change")
        what = self.one_of("column", "tag")
        column = self.identifier()
        if action in ("add", "modify"):
            return AlterTable(name_of_table, action, what == "tag", column, self.field(column))
        new_name = self.identifier() if action in ("rename", "change") else ""
        return AlterTable(
            name_of_table, "drop" if action == "drop" else "rename", what == "tag", column, None, new_name
        )

    def alter_user(self) -> AlterUser:
        name = self.identifier()
        if self.take("pass"):
            return AlterUser(name, password=self.text())
        if self.generation.number == 2:
            self.expect("privilege")
            privileges = {"read": "readable", "write": "writable"}
            return AlterUser(name, privilege=privileges[self.one_of("read", "write")])
        option = self.one_of("createdb", "sysinfo", "enable")
        value = self.integer() == 1
        return AlterUser(
            name,
            create_databases=value if option == "createdb" else None,
            sysinfo=value if option == "sysinfo" else None,
        )

    def set_tag(self) -> tuple[str, str]:
        tag = self.identifier()
        self.expect("=")
        start = self.token.start
        while self.word != "," and self.token.kind != "end" and self.word != ";":
            self.next()
        return tag, self.sql[start : self.tokens[self.at - 1].end]

    def describe(self) -> Describe:
        self.next()
        self.take("table")
        return Describe(self.table_name())

    def use(self) -> UseDatabase:
        self.expect("use")
        return UseDatabase(self.identifier())

    def reset(self) -> ResetCache:
        self.expect("reset", "query", "cache")
        return ResetCache()

    def flush(self) -> FlushDatabase:
        self.expect("flush", "database")
        return FlushDatabase(self.identifier())

    def delete(self) -> Delete:
        self.expect("delete", "from")
        name = self.table_name()
        return Delete(name, self.expression() if self.take("where") else None)

    def grant(self) -> Grant:
        revoke = self.next().text.lower() == "revoke"
        rights = self.listed(lambda: self.one_of("read", "write", "all", "alter", "subscribe"))
        self.expect("on")
        database = "*" if self.take("*") else self.identifier()
        table = "*"
        if self.take(".") and not self.take("*"):
            table = self.identifier()
        condition = ""
        if self.take("with"):
            start = self.token.start
            self.expression()
            condition = self.sql[start : self.tokens[self.at - 1].end]
        self.expect("from" if revoke else "to")
        return Grant(rights, database, table, condition, self.identifier(), revoke)

    def show(self) -> Statement:
        self.expect("show")
        if self.take("create"):
            kind = self.one_of("database", "table", "stable")
            name = TableName(None, self.identifier()) if kind == "database" else self.table_name()
            return ShowCreate(kind, name)
        if self.generation.number > 2 and self.take("table", "tags", "from"):
            return Show("table tags", table=self.table_name())
        database = None
        if self.tokens[min(self.at + 1, len(self.tokens) - 1)].text == ".":
            database = self.identifier()
            self.expect(".")
        if self.token.kind != "name":
            raise self.error()
        what = self.next().text.lower()
        like = self.text() if self.take("like") else None
        return Show(what, database, like)

    # --- SELECT

    def union(self) -> Select | Union:
        selects = [self.select()]
        while self.take("union", "all"):
            selects.append(self.select())
        return Union(tuple(selects)) if len(selects) > 1 else selects[0]

    def select(self) -> Select:
        self.expect("select")
        distinct = self.take("distinct")
        tags = self.generation.selects_tags and self.take("tags")
        items = self.listed(self.select_item)
        source: TableName | Select | None = None
        if self.take("from"):
            source = self.source()
        where = self.expression() if self.take("where") else None
        group: tuple[Expression, ...] = ()
        partition: tuple[Expression, ...] = ()
        interval: Duration | None = None
        while self.word in ("group", "partition", "interval"):
            if self.take("group", "by"):
                group = self.listed(self.expression)
            elif self.generation.number > 2 and self.take("partition", "by"):
                partition = self.listed(self.expression)
            elif self.take("interval", "("):
                interval = self.duration()
                self.expect(")")
            else:
                raise self.error()
        order = self.order()
        limit, offset = self.limit()
        return Select(
            items,
            source,
            where,
            group,
            partition,
            interval,
            order,
            limit,
            offset,
            distinct,
            tags,
        )

    def select_item(self) -> SelectItem:
        start = self.token
        if self.take("*"):
            return SelectItem(Star(), "*")
        expression = self.expression()
        heading = self.sql[start.start : self.tokens[self.at - 1].end]
        if isinstance(expression, Name):
            heading = expression.name
        if self.take("as") or self.token.kind == "quoted" or (self.token.kind == "name" and self.word not in _CLAUSES):
            heading = self.alias()
        return SelectItem(expression, heading)

    def alias(self) -> str:
        if self.token.kind == "string":
            return self.text()
        return self.identifier()

    def source(self) -> TableName | Select:
        if not self.take("("):
            name = self.table_name()
            if self.word == ",":
                raise self.unknown()
            return name
        inner = self.select()
        self.expect(")")
        if self.token.kind == "quoted" or (self.token.kind == "name" and self.word not in _CLAUSES):
            self.identifier()
        return inner

    def duration(self) -> Duration:
        token = self.next()
        if token.kind != "duration":
            raise self.error(token)
        return Duration(int(token.text[:-1]), token.text[-1])

    def order(self) -> tuple[Order, ...]:
        return self.listed(self.order_key) if self.take("order", "by") else ()

    def order_key(self) -> Order:
        expression = self.expression()
        descending = self.take("desc")
        if not descending:
            self.take("asc")
        return Order(expression, descending)

    def limit(self) -> tuple[int | None, int]:
        if not self.take("limit"):
            return None, 0
        first = self.integer()
        if self.take(","):
            return self.integer(), first
        return first, self.integer() if self.take("offset") else 0

    # --- Expressions, from what binds least to what binds most

    def expression(self) -> Expression:
        left = self.conjunction()
        while self.take("or"):
            left = Binary("or", left, self.conjunction())
        return left

    def conjunction(self) -> Expression:
        left = self.negation()
        while self.take("and"):
            left = Binary("and", left, self.negation())
        return left

    def negation(self) -> Expression:
        if self.take("not"):
            return Unary("not", self.negation())
        return self.comparison()

    def comparison(self) -> Expression:
        left = self.sum()
        while True:
            word = self.word
            if word in _COMPARISONS:
                self.next()
                left = Binary("<>" if word == "!=" else word, left, self.sum())
            elif self.take("is"):
                negated = self.take("not")
                self.expect("null")
                left = IsNull(left, negated)
            elif word in ("not", "in", "between", "like", "match", "nmatch"):
                left = self.membership(left)
            else:
                return left

    def membership(self, left: Expression) -> Expression:
        negated = self.take("not")
        word = self.one_of("in", "between", "like", "match", "nmatch")
        if word == "in":
            return In(left, self.values(), negated)
        if word == "between":
            low = self.sum()
            self.expect("and")
            between = Binary("and", Binary(">=", left, low), Binary("<=", left, self.sum()))
            return Unary("not", between) if negated else between
        return Like(left, self.text(), negated or word == "nmatch", word != "like")

    def values(self) -> tuple[Expression, ...]:
        self.expect("(")
        values = self.listed(self.sum)
        self.expect(")")
        return values

    def sum(self) -> Expression:
        left = self.product()
        while self.word in ("+", "-", "&", "|"):
            operator = self.next().text
            left = Binary(operator, left, self.product())
        return left

    def product(self) -> Expression:
        left = self.unary()
        while self.word in ("*", "/", "%"):
            operator = self.next().text
            left = Binary(operator, left, self.unary())
        return left

    def unary(self) -> Expression:
        if self.take("+"):
            return self.unary()
        if not self.take("-"):
            return self.primary()
        operand = self.unary()
        if isinstance(operand, Literal) and isinstance(operand.value, (int, float)):
            return Literal(-operand.value)
        return Unary("-", operand)

    def primary(self) -> Expression:
        token = self.token
        if token.kind == "string":
            self.next()
            return Literal(unquote(token.text), token.text)
        if token.kind == "duration":
            return self.duration()
        if token.kind == "number":
            self.next()
            return Literal(_number(token.text))
        if self.take("("):
            inner = self.expression()
            self.expect(")")
            return inner
        if token.kind == "quoted":
            return self.qualified()
        if token.kind == "name":
            return self.word_expression()
        raise self.error()

    def word_expression(self) -> Expression:
        word = self.word
        constants: dict[str, bool | None] = {"true": True, "false": False, "null": None}
        if word in constants:
            self.next()
            return Literal(constants[word])
        if word == "now":
            return self.now()
        if word == "cast" and self.generation.number > 2:
            return self.cast()
        if self.tokens[self.at + 1].text == "(":
            return self.call()
        if word == "tbname":
            self.next()
            return Name("tbname")
        return self.qualified()

    def now(self) -> Expression:
        """2.x has `now`, 3.x `now` and `now()`."""
        self.next()
        if self.generation.number > 2 and self.take("("):
            self.expect(")")
        elif self.word == "(":
            raise self.error()
        return Call("now", ())

    def cast(self) -> Expression:
        self.next()
        self.expect("(")
        operand = self.expression()
        self.expect("as")
        target = self.field("")
        self.expect(")")
        return Cast(operand, target)

    def call(self) -> Expression:
        function = self.next().text.lower()
        self.expect("(")
        if self.take(")"):
            return Call(function, ())
        distinct = self.take("distinct")
        arguments = self.listed(lambda: Star() if self.take("*") else self.expression())
        self.expect(")")
        return Call(function, arguments, distinct)

    def qualified(self) -> Expression:
        """A column, perhaps behind the name of its table."""
        name = self.identifier()
        if self.take("."):
            return Name("tbname") if self.take("tbname") else Name(self.identifier())
        return Name(name)


def _number(text: str) -> int | float:
    if text.lower().startswith("0x"):
        return int(text, 16)
    return int(text) if text.isdigit() else float(text)
