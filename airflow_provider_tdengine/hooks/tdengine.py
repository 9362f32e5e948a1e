"""The hook: an Airflow connection of type `tdengine` as a DB-API connection and as the bulk client."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.address import DEFAULT_PORT, SCHEMES
from airflow_provider_tdengine.client.errors import AddressError, DatabaseMissing, TDengineError
from airflow_provider_tdengine.get_provider_info import PLACEHOLDERS, RELABELING, conn_fields
from airflow_provider_tdengine.hooks.dialect import TDengineDialect

if TYPE_CHECKING:
    from airflow_provider_tdengine.hooks.dbapi import TDengineConnection

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class TDengineHook(DbApiHook):
    """Talks to a TDengine server of 2.4 or later, or 3.x.

    The operators, sensors and checks of common-sql work through it, over REST. Parameters (`%s`, `?`, `%(name)s`)
    are written as literals; without parameters a statement is sent as it is. For bulk data there is `get_client()`.

    Timestamps come as aware datetimes in the connection's time zone; those of ns databases come as RFC 3339 text
    with nine digits, see `hooks.dbapi`.

    Parameters:
        tdengine_conn_id: the Airflow connection.
        database: in place of the connection's; `schema` means the same.
        log_sql: whether statements and parameters are logged.
    """

    conn_name_attr = "tdengine_conn_id"
    default_conn_name = "tdengine_default"
    conn_type = "tdengine"
    hook_name = "TDengine"
    supports_autocommit = True
    supports_executemany = True
    strip_semicolon = True
    _test_connection_sql = "select server_version()"

    def __init__(self, *args: Any, database: str | None = None, schema: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("escape_word_format", "`{}`")
        kwargs.setdefault("escape_column_names", True)
        # Operators of common-sql set `schema` after the hook is made.
        self.schema = database or schema
        self._generation: int | None = None
        super().__init__(*args, schema=self.schema, **kwargs)

    # --- Where the server is

    @property
    def database(self) -> str | None:
        """The database of statements that name none."""
        return self.schema or self.connection.schema or None

    @property
    def address(self) -> Address:
        """Where the server is, after the Airflow connection.

        Raises:
            AddressError: names the connection, the field, what was found and what was expected.
        """
        connection = self.connection
        extra = _Extra(self.get_conn_id(), self.connection_extra)
        settings: dict[str, Any] = {
            "scheme": extra.choice("protocol", SCHEMES),
            **{name: extra.text(name) for name in ("token", "bearer_token", "totp_secret")},
            "connect_timeout": extra.seconds("connect_timeout"),
            "timeout": extra.seconds("timeout"),
            "verify": extra.flag("verify"),
            **{name: extra.text(name) for name in ("ca_file", "cert_file", "key_file", "key_password")},
            "compression": extra.flag("compression"),
            "user": connection.login or None,
            "password": connection.password or None,
            "database": self.database,
        }
        host = connection.host or ""
        if not host or "//" in host or ("," not in host and host.count(":") == 1):
            alone = f"a name or an IP address alone; port ({DEFAULT_PORT}) and protocol apart"
            raise extra.error("host", host, f"{alone}; or several of a cluster, such as a,b,c:6042")
        try:
            given = {name: value for name, value in settings.items() if value is not None}
            return Address(host=host, port=connection.port or DEFAULT_PORT, **given)
        except AddressError as error:
            raise self._named(error) from error

    def _named(self, error: AddressError) -> AddressError:
        return AddressError(f"Connection {self.get_conn_id()!r}: {error.message}")

    @property
    def time_zone(self) -> ZoneInfo:
        """The time zone of datetimes in results, and of naive datetimes in parameters.

        Raises:
            AddressError: names the connection, what was found and what was expected.
        """
        extra = _Extra(self.get_conn_id(), self.connection_extra)
        name = extra.text("timezone") or "UTC"
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise extra.error("timezone", name, "an IANA name such as UTC or Asia/Shanghai") from None

    # --- Ways to it

    def get_client(self) -> Client:
        """The client for bulk data: sessions over WebSocket, blocks of rows. Nothing is sent yet.

        Raises:
            AddressError: the Airflow connection cannot be right, or names a file that this host does not have.
        """
        return Client(self._usable_address())

    def _usable_address(self) -> Address:
        """The address, whose files this host has."""
        address = self.address
        try:
            address.ssl_context()
        except AddressError as error:
            raise self._named(error) from error
        return address

    def get_conn(self) -> TDengineConnection:
        """A DB-API connection over REST.

        Raises:
            AddressError: the Airflow connection cannot be right, or names a file that this host does not have.
            UnsupportedServer: older than 2.4, or no TDengine.
            TDengineError: no answer or no login.
        """
        # taospy and its requests are more than half of all imports, and every task of a migration would wait for them.
        from airflow_provider_tdengine.hooks.dbapi import TDengineConnection  # noqa: PLC0415

        address = self._usable_address()
        if self._generation is None:
            over_rest = replace(address, scheme="https" if address.is_tls else "http")
            self._generation = Client(over_rest).generation
        return TDengineConnection(address, self._generation, self.time_zone)

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]
        """Whether the server can be used, and in a sentence: which it is and how it is reached, or why not."""
        try:
            return True, self._describe_server()
        except TDengineError as error:
            # What was sent is no news to whoever fills in the form.
            error.statement = None
            return False, str(error)
        except ValueError as error:
            return False, str(error)

    def _describe_server(self) -> str:
        client, database, zone = self.get_client(), self.database, self.time_zone
        server, where = client.server, str(client.address)
        if database:
            try:
                client.rows(f"SHOW {client.dialect.database(database)}.STABLES")
            except DatabaseMissing as error:
                raise DatabaseMissing(f"There is no database {database!r} at {where}", code=error.code) from error
            where += f", database {database}"
        way = "REST" if server.websocket_path is None else "WebSocket"
        way += " with binary frames" if server.binary else ""
        return f"TDengine {server.version_text} ({client.generation}.x) at {where}, {way}, time zone {zone}"

    # --- What common-sql asks for

    @cached_property
    def dialect(self) -> TDengineDialect:
        """How common-sql writes statements for TDengine."""
        return TDengineDialect(self)

    def get_table_schema(self, table_name: str, schema: str | None = None) -> list[dict[str, str]]:
        """The columns and tags of a table: `name`, `type`, and `note`, which says TAG of a tag.

        Parameters:
            table_name: as SQL says it, the database before it where needed.
            schema: its database.
        """
        table = f"{schema}.{table_name}" if schema else table_name
        return [
            {"name": str(name), "type": str(kind), "note": str(note)}
            for name, kind, _, note, *_ in self.get_records(f"DESCRIBE {table}")
        ]

    @staticmethod
    def split_sql_string(sql: str, strip_semicolon: bool = True) -> list[str]:
        """The statements of a text, each without its semicolon, read with TDengine's rules for quotes.

        Parameters:
            sql: any number of statements.
            strip_semicolon: they are always stripped.
        """
        from airflow_provider_tdengine.hooks.dbapi import split  # noqa: PLC0415

        return split(sql)

    @staticmethod
    def _serialize_cell(cell: object, conn: object = None) -> object:
        """Cells stay what they are: the cursor writes them as literals of their type."""
        return cell

    def get_openlineage_default_schema(self) -> str | None:
        """The database, which is what lineage calls a schema."""
        return self.database

    # --- The form of Airflow 3.1; later ones read get_provider_info alone

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """What the standard fields of the form are called."""
        return {"hidden_fields": [], "relabeling": dict(RELABELING), "placeholders": dict(PLACEHOLDERS)}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The fields of the form that are stored in `extra`."""
        from wtforms import (  # type: ignore[import-untyped]  # noqa: PLC0415
            BooleanField,
            IntegerField,
            PasswordField,
            StringField,
        )
        from wtforms.validators import any_of  # type: ignore[import-untyped]  # noqa: PLC0415

        kinds = {"boolean": BooleanField, "number": IntegerField, "string": StringField}
        widgets = {}
        for name, field in conn_fields().items():
            schema = field["schema"]
            kind = PasswordField if schema.get("format") == "password" else kinds[schema["type"][0]]
            widgets[name] = kind(
                field["label"],
                validators=[any_of(schema["enum"])] if "enum" in schema else [],
                description=field["description"],
                default=schema.get("default"),
            )
        return widgets


class _Extra:
    """The `extra` of an Airflow connection, checked field by field; None for a field that is not filled in.

    Parameters:
        conn_id: the connection, for errors.
        values: what its extra holds; text from the environment and typed values from the form.
    """

    def __init__(self, conn_id: str, values: Mapping[str, object]) -> None:
        self._conn_id = conn_id
        self._values = {name: value for name, value in values.items() if value not in (None, "")}

    def error(self, field: str, found: object, expected: str) -> AddressError:
        # An address in the wrong field may be mistyped: what is before its @ may be a password.
        shown = repr(found) if "@" not in str(found) else "an address, not shown here"
        return AddressError(f"Connection {self._conn_id!r}: the field {field} is {shown}; expected {expected}")

    def text(self, field: str) -> str | None:
        value = self._values.get(field)
        if value is not None and not isinstance(value, str):
            # Not shown: it may be the token.
            raise AddressError(f"Connection {self._conn_id!r}: the field {field} is no text")
        return value

    def choice(self, field: str, choices: tuple[str, ...]) -> str | None:
        value = self.text(field)
        if value is not None and value not in choices:
            raise self.error(field, value, f"one of {', '.join(choices)}")
        return value

    def seconds(self, field: str) -> float | None:
        value = self._values.get(field)
        if value is None:
            return None
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise self.error(field, value, "a number of seconds greater than 0")
        return seconds

    def flag(self, field: str) -> bool | None:
        value = self._values.get(field)
        if value is None:
            return None
        if (flag := _FLAGS.get(str(value).lower())) is None:
            raise self.error(field, value, "true or false")
        return flag
