"""TDengine's SQL for the generators of common-sql."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow.providers.common.sql.dialects.dialect import Dialect

from airflow_provider_tdengine.client.sql import identifier

_TAG = "TAG"


class TDengineDialect(Dialect):
    """Column names always in backticks, columns from DESCRIBE, and rows that replace by their timestamp."""

    def escape_word(self, word: str) -> str:
        """A column's name in backticks, which keep its case and let keywords be names.

        Raises:
            UnspeakableName: a ValueError; the name is empty or has a single backtick.
        """
        return identifier(self.unescape_word(word) or "")

    def get_column_names(  # type: ignore[override]
        self,
        table: str,
        schema: str | None = None,
        predicate: Callable[[dict[str, str]], bool] = lambda column: True,
    ) -> list[str]:
        """The columns of a table, without tags.

        Parameters:
            table: as SQL says it, the database before it where needed.
            schema: its database.
            predicate: which columns are wanted; it is given a column's name and type.
        """
        return [
            column["name"]
            for column in self.hook.get_table_schema(table, schema)
            if column["note"] != _TAG and predicate(column)
        ]

    def generate_replace_sql(self, table: str, values: object, target_fields: Sequence[str], **kwargs: object) -> str:
        """An INSERT: a row replaces the one of the same timestamp (in 2.x: in databases of UPDATE 1)."""
        sql: str = self.generate_insert_sql(table, values, target_fields, **kwargs)
        return sql
