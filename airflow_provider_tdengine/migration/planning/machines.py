"""What a server says of the machines that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.result import as_number
from airflow_provider_tdengine.migration.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Machines:
    """The nodes of a server that are ready; None is what it does not say, to this account.

    Parameters:
        nodes: how many there are.
        cores: of all of them.
        memory: bytes of all of them.
        vnodes: that they have.
        most_vnodes: that they may have, by `supportVnodes`.
    """

    nodes: int | None = None
    cores: int | None = None
    memory: int | None = None
    vnodes: int | None = None
    most_vnodes: int | None = None

    @property
    def free_vnodes(self) -> int | None:
        """Vnodes that new databases may have."""
        return None if self.vnodes is None or self.most_vnodes is None else self.most_vnodes - self.vnodes


def machines(catalog: Catalog) -> Machines:
    """The nodes of a database's server.

    2.x lists cores (measured 2.4.0.18, 2.6.0.27), 3.x has them and the memory among each node's variables (3.0.5.2,
    3.3.3.0, 3.3.5.2).

    Raises:
        TDengineError: of a kind that a retry may cure.
    """
    try:
        nodes = [row for row in catalog.by_column_name("SHOW DNODES") if row["status"] == "ready"]
        vnodes = sum(as_number(row["vnodes"]) for row in nodes)
        if catalog.client.generation == 2:
            return Machines(len(nodes), sum(as_number(row["cores"]) for row in nodes), None, vnodes)
        found = [_variables(catalog, as_number(row["id"])) for row in nodes]
        most = sum(as_number(row["support_vnodes"]) for row in nodes)
    except TDengineError as error:
        if error.retryable:
            raise
        return Machines()
    kibibytes = _sum([one.get("totalMemoryKB") for one in found])
    return Machines(
        len(nodes),
        _sum([one.get("numOfCores") for one in found]),
        None if kibibytes is None else kibibytes * 1024,
        vnodes,
        most,
    )


def _variables(catalog: Catalog, node: int) -> dict[str, str]:
    return {str(row["name"]): str(row["value"]) for row in catalog.by_column_name(f"SHOW DNODE {node} VARIABLES")}


def _sum(values: Sequence[str | None]) -> int | None:
    """Of numbers such as "2.000000"; None where one is not said."""
    numbers = [round(float(value)) for value in values if value]
    return sum(numbers) if numbers and len(numbers) == len(values) else None
