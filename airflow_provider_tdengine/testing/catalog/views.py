"""Rows of the catalog, and what they are made from."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.stored import Accounts, Database, Topic

Row = tuple[Value, ...]

_WIDTHS = {Type.TIMESTAMP: 8, Type.TINYINT: 1, Type.SMALLINT: 2, Type.INT: 4, Type.BIGINT: 8, Type.BOOL: 1}


@cache
def fields_of(columns: str) -> tuple[Field, ...]:
    """Fields from a line such as `name:64 vgroups:INT`; a number is the length of a VARCHAR."""
    fields = []
    for column in columns.split():
        name, _, kind = column.rpartition(":")
        if kind.isdigit():
            fields.append(Field(name.replace("~", " "), Type.VARCHAR, int(kind)))
        else:
            fields.append(Field(name.replace("~", " "), Type[kind], _WIDTHS[Type[kind]]))
    return tuple(fields)


@dataclass
class View:
    """Rows of the catalog.

    Parameters:
        fields: the columns.
        rows: as tuples of Python values.
    """

    fields: tuple[Field, ...]
    rows: Iterable[Row]

    def block(self) -> Block:
        rows = list(self.rows)
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.fields)
        made = (column_from_list(field, values) for field, values in zip(self.fields, columns, strict=True))
        return Block(self.fields, tuple(made), len(rows))


@dataclass
class Catalog:
    """What the views look at.

    Parameters:
        generation: whose views.
        databases: those that the user may see.
        accounts: the users.
        user: who looks.
        topics: in the order in which they were made.
    """

    generation: Generation
    databases: Mapping[str, Database]
    accounts: Accounts
    user: str = "root"
    topics: Sequence[Topic] = ()


def only(view: View, names: Container[str]) -> View:
    """A view with only some of its columns."""
    shown = [i for i, field in enumerate(view.fields) if field.name in names]
    return View(tuple(view.fields[i] for i in shown), (tuple(row[i] for i in shown) for row in view.rows))
