"""What a server says of the machines that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.result import as_number
from airflow_provider_tdengine.migration.catalog import Catalog, Row


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

    Parameters:
        catalog: any database of the server.

    Raises:
        TDengineError: of a kind that a retry may cure.
    """
    is_old = catalog.client.generation == 2
    nodes = [
        row
        for row in _listed(catalog, "SHOW DNODES" if is_old else "SELECT * FROM information_schema.ins_dnodes")
        if row["status"] == "ready"
    ]
    if not nodes:
        return Machines()
    vnodes = sum(as_number(row["vnodes"]) for row in nodes)
    if is_old:
        return Machines(len(nodes), sum(as_number(row["cores"]) for row in nodes), None, vnodes)
    variables = [
        {row["name"]: str(row["value"]) for row in _listed(catalog, f"SHOW DNODE {as_number(node['id'])} VARIABLES")}
        for node in nodes
    ]
    kibibytes = _sum([one.get("totalMemoryKB") for one in variables])
    return Machines(
        len(nodes),
        _sum([one.get("numOfCores") for one in variables]),
        None if kibibytes is None else kibibytes * 1024,
        vnodes,
        sum(as_number(row["support_vnodes"]) for row in nodes),
    )


def _listed(catalog: Catalog, statement: str) -> list[Row]:
    """What a server lists; nothing where it does not, to this account."""
    try:
        return list(catalog.by_column_name(statement))
    except TDengineError as error:
        if error.retryable:
            raise
        return []


def _sum(values: Sequence[str | None]) -> int | None:
    """Of numbers such as "2.000000"; None where one is not said."""
    numbers = [round(float(value)) for value in values if value]
    return sum(numbers) if numbers and len(numbers) == len(values) else None
