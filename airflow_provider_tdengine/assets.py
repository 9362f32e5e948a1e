"""TDengine's tables as Airflow's assets: `tdengine://host:port/database/super_table`, or without a super table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow.sdk import Asset

from airflow_provider_tdengine.client.address import DEFAULT_PORT

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from pydantic import JsonValue

SCHEME = "tdengine"

MIGRATED = "tdengine_migrated"
"""The asset alias of all that migrations have brought over; each event of it is an asset's, too."""


def create_asset(
    *,
    host: str,
    database: str,
    table: str | None = None,
    port: int = DEFAULT_PORT,
    extra: Mapping[str, JsonValue] | None = None,
) -> Asset:
    """The asset of a super table, or of a database.

    Parameters:
        host: of the taosAdapter, as in the Airflow connection.
        database: its name.
        table: a super table or a normal table; None for the database.
        port: of the taosAdapter.
        extra: what else is known of it.
    """
    names = [quote(name, safe="") for name in (database, table) if name]
    place = f"[{host}]" if ":" in host else host
    return Asset(uri=f"{SCHEME}://{place}:{port}/{'/'.join(names)}", extra=dict(extra or {}))


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The one way to write a URI: host in lower case, with its port, names quoted.

    Raises:
        ValueError: it has no host, no database, or more than a super table.
    """
    names = [unquote(name) for name in uri.path.split("/") if name]
    if not uri.hostname or not 1 <= len(names) <= 2:
        raise ValueError(f"{uri.geturl()!r} is not of the form {SCHEME}://host:port/database/super_table")
    host = f"[{uri.hostname}]" if ":" in uri.hostname else uri.hostname
    path = "".join(f"/{quote(name, safe='')}" for name in names)
    return uri._replace(netloc=f"{host}:{uri.port or DEFAULT_PORT}", path=path, query="", fragment="")


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset:
    """The asset as a dataset of OpenLineage: server and port, database and super table."""
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415

    uri = urlsplit(asset.uri)
    names = [unquote(name) for name in uri.path.split("/") if name]
    return Dataset(namespace=f"{SCHEME}://{uri.netloc}", name=".".join(names))
