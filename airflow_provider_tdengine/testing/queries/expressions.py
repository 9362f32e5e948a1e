"""The values of expressions, a column at a time, with SQL's three truth values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import (
    Column,
    FixedColumn,
    Flags,
    Value,
    VariableColumn,
    column_from_list,
    column_to_list,
)
from airflow_provider_tdengine.client.errors import BlockError
from airflow_provider_tdengine.client.types import DECIMALS, MOST_DIGITS, TEXT, Field, Type
from airflow_provider_tdengine.testing.language import (
    Binary,
    Call,
    Cast,
    Duration,
    Expression,
    In,
    IsNull,
    Like,
    Literal,
    Name,
    Unary,
    duration_steps,
    parse_time,
)
from airflow_provider_tdengine.testing.queries.frames import Frame, Vector, number_vector
from airflow_provider_tdengine.testing.stored import characters

_COMPARE: dict[str, np.ufunc] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_ARITHMETIC: dict[str, np.ufunc] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "&": np.bitwise_and,
    "|": np.bitwise_or,
}
_ROUNDING: dict[str, np.ufunc] = {"abs": np.absolute, "ceil": np.ceil, "floor": np.floor, "round": np.rint}

_BOOL = Field("", Type.BOOL, 1)
_BIGINT = Field("", Type.BIGINT, 8)
_DOUBLE = Field("", Type.DOUBLE, 8)
_TIMESTAMP = Field("", Type.TIMESTAMP, 8)

_VARIABLE = TEXT | {Type.VARBINARY, Type.GEOMETRY, Type.BLOB}


def evaluate(expression: Expression, frame: Frame, computed: Mapping[Expression, Vector] | None = None) -> Vector:
    """The values of an expression.

    Parameters:
        expression: what to compute.
        frame: the columns that it names.
        computed: parts of it that have values already, such as aggregates.

    Raises:
        BoxError: an unknown column or function, or operands that do not fit.
    """
    return _Evaluation(frame, computed or {}).value(expression)


def truth(expression: Expression, frame: Frame) -> Flags:
    """Which rows an expression is true for; neither false nor NULL."""
    vector = evaluate(expression, frame)
    column = vector.expand(frame.rows)
    if not isinstance(column, FixedColumn):
        raise frame.generation.errors("bad_expression", why="a text is no condition")
    chosen: Flags = (column.values != np.zeros(1, column.values.dtype)) & ~column.nulls
    return chosen


def constant(expression: Expression, frame: Frame) -> Value:
    """The value of an expression that names no column."""
    vector = evaluate(expression, frame)
    return column_to_list(vector.field, vector.column)[0]


def literal(value: float | str | bool | None) -> Vector:
    """A constant as a vector."""
    if value is None:
        return Vector(_BIGINT, FixedColumn(np.zeros(1, np.int64), np.ones(1, np.bool_)), constant=True)
    if isinstance(value, str):
        field = Field("", Type.VARCHAR, len(value.encode()))
    elif isinstance(value, bool):
        field = _BOOL
    elif isinstance(value, float) or not -(1 << 63) <= value < 1 << 64:
        field, value = _DOUBLE, float(value)
    else:
        field = _BIGINT if value < 1 << 63 else Field("", Type.UBIGINT, 8)
    return Vector(field, column_from_list(field, [value]), constant=True)


class _Evaluation:
    def __init__(self, frame: Frame, computed: Mapping[Expression, Vector]) -> None:
        self.frame = frame
        self.computed = computed

    def value(self, expression: Expression) -> Vector:
        if self.computed and expression in self.computed:
            return self.computed[expression]
        match expression:
            case Literal(value=value):
                vector = literal(value)
            case Duration(count=count, unit=unit):
                vector = literal(self.steps(count, unit))
            case Name(name=name):
                vector = self.frame.column(name)
            case Unary() | Binary():
                vector = self.operation(expression)
            case IsNull(operand=operand, negated=negated):
                tested = self.value(operand)
                vector = self.flags(tested.column.nulls ^ negated, None, tested.constant)
            case In():
                vector = self.membership(expression)
            case Like():
                vector = self.like(expression)
            case Cast(operand=operand, target=target):
                vector = self.cast(self.value(operand), target)
            case Call():
                vector = self.call(expression)
            case _:
                raise self.error("`*` is no value here")
        return vector

    def operation(self, expression: Unary | Binary) -> Vector:
        if isinstance(expression, Unary):
            operand = self.value(expression.operand)
            return self.negation(operand) if expression.operator == "not" else self.arithmetic("-", literal(0), operand)
        word, left, right = expression.operator, self.value(expression.left), self.value(expression.right)
        if word in ("and", "or"):
            return self.logic(word, left, right)
        return self.compare(word, left, right) if word in _COMPARE else self.arithmetic(word, left, right)

    def error(self, why: str) -> Exception:
        return self.frame.generation.errors("bad_expression", why=why)

    def steps(self, count: int, unit: str) -> int:
        try:
            return duration_steps(count, unit, self.frame.precision)
        except ValueError as error:
            raise self.error(str(error)) from error

    # --- Truth

    @staticmethod
    def flags(values: npt.NDArray[np.bool_], nulls: Flags | None, is_constant: bool) -> Vector:
        missing = np.zeros(len(values), np.bool_) if nulls is None else nulls
        return Vector(_BOOL, FixedColumn(values.astype(np.uint8), missing), is_constant)

    def fixed(self, vector: Vector) -> FixedColumn:
        column = vector.column
        if vector.field.type in DECIMALS:
            column = self.decimals(vector, _DOUBLE)
        if isinstance(column, FixedColumn):
            return column
        raise self.error("a text stands where a number is needed")

    def negation(self, vector: Vector) -> Vector:
        column = self.fixed(vector)
        return self.flags(column.values == np.zeros(1, column.values.dtype), column.nulls, vector.constant)

    def logic(self, word: str, left: Vector, right: Vector) -> Vector:
        columns = [self.fixed(left), self.fixed(right)]
        is_true = [(column.values != np.zeros(1, column.values.dtype)) & ~column.nulls for column in columns]
        is_false = [(column.values == np.zeros(1, column.values.dtype)) & ~column.nulls for column in columns]
        if word == "and":
            result, other = is_true[0] & is_true[1], is_false[0] | is_false[1]
        else:
            result, other = is_true[0] | is_true[1], is_false[0] & is_false[1]
        return self.flags(result, ~(result | other), left.constant and right.constant)

    def compare(self, word: str, left: Vector, right: Vector) -> Vector:
        left, right = self.same_kind(left, right), self.same_kind(right, left)
        nulls = left.column.nulls | right.column.nulls
        values = _COMPARE[word](comparable(left), comparable(right))
        return self.flags(np.asarray(values, np.bool_), nulls, left.constant and right.constant)

    def same_kind(self, vector: Vector, other: Vector) -> Vector:
        """A text becomes a moment beside a timestamp, and a number beside a number."""
        if vector.field.type not in TEXT or other.field.type in _VARIABLE:
            return vector
        values = column_to_list(vector.field, vector.column)
        try:
            if other.field.type is Type.TIMESTAMP:
                times = [None if v is None else parse_time(str(v), self.frame.precision) for v in values]
                return Vector(_TIMESTAMP, column_from_list(_TIMESTAMP, times), vector.constant)
            numbers = [None if v is None else float(str(v)) for v in values]
        except ValueError as error:
            raise self.error(f"cannot compare: {error}") from error
        return Vector(_DOUBLE, column_from_list(_DOUBLE, numbers), vector.constant)

    def membership(self, expression: In) -> Vector:
        vector = self.value(expression.operand)
        values = [self.same_kind(self.value(value), vector) for value in expression.values]
        wanted = {column_to_list(value.field, value.column)[0] for value in values}
        found = np.fromiter(
            (value in wanted for value in column_to_list(vector.field, vector.column)), np.bool_, len(vector.column)
        )
        return self.flags(found ^ expression.negated, vector.column.nulls, vector.constant)

    def like(self, expression: Like) -> Vector:
        vector = self.value(expression.operand)
        matches = like_pattern(expression.pattern).fullmatch
        if expression.regular:
            try:
                matches = re.compile(expression.pattern).search
            except re.error as error:
                raise self.error(f"no regular expression: {error}") from error
        found = np.fromiter(
            (
                value is not None and matches(str(value)) is not None
                for value in column_to_list(vector.field, vector.column)
            ),
            np.bool_,
            len(vector.column),
        )
        return self.flags(found ^ expression.negated, vector.column.nulls, vector.constant)

    # --- Numbers

    def arithmetic(self, word: str, left: Vector, right: Vector) -> Vector:
        columns = self.fixed(left), self.fixed(right)
        nulls = columns[0].nulls | columns[1].nulls
        is_constant = left.constant and right.constant
        times = [vector.field.type is Type.TIMESTAMP for vector in (left, right)]
        if any(times) or word in ("&", "|"):
            whole = [column.values.astype(np.int64) for column in columns]
            field = _TIMESTAMP if sum(times) == 1 else _BIGINT
            return Vector(field, FixedColumn(_ARITHMETIC[word](*whole).astype(np.int64), nulls), is_constant)
        numbers = [column.values.astype(np.float64) for column in columns]
        if word in ("/", "%"):
            nulls = nulls | (numbers[1] == 0)
        with np.errstate(all="ignore"):
            values = np.asarray(_ARITHMETIC[word](*numbers), np.float64)
        return Vector(_DOUBLE, FixedColumn(values, np.broadcast_to(nulls, values.shape)), is_constant)

    def cast(self, vector: Vector, target: Field) -> Vector:
        column = vector.column
        kind = target.type
        if kind in (Type.VARCHAR, Type.NCHAR):
            texts = [None if v is None else _as_text(v)[: target.length] for v in column_to_list(vector.field, column)]
            return Vector(target, column_from_list(target, texts), vector.constant)
        if kind in (Type.VARBINARY, Type.BLOB):
            raws = [None if v is None else _as_text(v).encode() for v in column_to_list(vector.field, column)]
            return Vector(target, column_from_list(target, raws), vector.constant)
        if target.info.dtype is None:
            raise self.error(f"the box does not cast to {target.sql_type}")
        if kind in DECIMALS or vector.field.type in DECIMALS:
            return Vector(target, self.decimals(vector, target), vector.constant)
        if isinstance(column, FixedColumn):
            return Vector(target, FixedColumn(column.values.astype(target.info.dtype), column.nulls), vector.constant)
        numbers = [None if v is None else _leading_number(str(v)) for v in column_to_list(vector.field, column)]
        if kind not in (Type.FLOAT, Type.DOUBLE):
            numbers = [None if number is None else int(number) for number in numbers]
        return Vector(target, column_from_list(target, numbers), vector.constant)

    def decimals(self, vector: Vector, target: Field) -> Column:
        """From a DECIMAL, or to one, whose surplus digits are rounded (measured 3.3.5.2)."""

        def cast(value: Value) -> Value:
            if value is None or isinstance(value, bytes):
                return None
            exact = Decimal(str(value))
            if target.type in DECIMALS:
                return exact.quantize(
                    Decimal(1).scaleb(-target.scale), ROUND_HALF_UP, Context(MOST_DIGITS[Type.DECIMAL])
                )
            return float(exact) if target.type in (Type.FLOAT, Type.DOUBLE) else int(exact)

        try:
            return column_from_list(target, list(map(cast, column_to_list(vector.field, vector.column))))
        except (BlockError, InvalidOperation) as error:
            raise self.frame.generation.errors("decimal_overflow") from error

    # --- Functions

    def call(self, call: Call) -> Vector:
        if call.function == "now" and not call.arguments:
            nanoseconds = self.fixed(self.frame.functions["now"]()).values
            steps = int(nanoseconds[0]) // (10**9 // self.frame.precision.per_second)
            return number_vector("", steps, Type.TIMESTAMP)
        if not call.arguments and call.function in self.frame.functions:
            return self.frame.functions[call.function]()
        functions: dict[str, Callable[[Vector], Vector]] = {
            "length": self.length,
            "char_length": self.char_length,
            "lower": lambda vector: self.texts(vector, str.lower),
            "upper": lambda vector: self.texts(vector, str.upper),
        }
        if self.frame.generation.nested_functions and len(call.arguments) == 1:
            if call.function in functions:
                return functions[call.function](self.value(call.arguments[0]))
            if call.function in _ROUNDING:
                vector = self.value(call.arguments[0])
                column = self.fixed(vector)
                values = _ROUNDING[call.function](column.values).astype(column.values.dtype)
                return Vector(vector.field, FixedColumn(values, column.nulls), vector.constant)
        raise self.frame.generation.errors("function", name=call.function)

    def variable(self, vector: Vector) -> VariableColumn:
        if isinstance(vector.column, VariableColumn):
            return vector.column
        raise self.error("a number stands where a text is needed")

    def length(self, vector: Vector) -> Vector:
        column = self.variable(vector)
        lengths = characters(column) * 4 if vector.field.type is Type.NCHAR else column.lengths
        return Vector(_BIGINT, FixedColumn(lengths, column.nulls), vector.constant)

    def char_length(self, vector: Vector) -> Vector:
        column = self.variable(vector)
        return Vector(_BIGINT, FixedColumn(characters(column), column.nulls), vector.constant)

    def texts(self, vector: Vector, change: Callable[[str], str]) -> Vector:
        values = column_to_list(vector.field, self.variable(vector))
        changed = [None if value is None else change(str(value)) for value in values]
        return Vector(vector.field, column_from_list(vector.field, changed), vector.constant)


def like_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a LIKE pattern; a backslash takes % and _ for what they are."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


def comparable(vector: Vector) -> npt.NDArray[np.generic]:
    """Values that numpy compares: numbers, or bytes as objects; what stands at a NULL means nothing."""
    column: Column = vector.column
    if vector.field.type in DECIMALS:
        return np.array([value or 0 for value in column_to_list(vector.field, column)], np.object_)
    if isinstance(column, FixedColumn):
        return column.values
    values = np.empty(len(column), object)
    values[:] = [value or b"" for value in column.to_bytes_list()]
    return values


def _as_text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _leading_number(text: str) -> float:
    match = re.match(r"\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text)
    return float(match[0]) if match else 0.0
