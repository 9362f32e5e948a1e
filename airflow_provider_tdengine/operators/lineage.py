"""What OpenLineage is told of a copied batch: which columns of which tables became which.

Without the provider `apache-airflow-providers-openlineage` nothing is told, and nothing is asked of the servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_tdengine.assets import SCHEME
from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.plan import Batch
from airflow_provider_tdengine.migration.scope import Scope
from airflow_provider_tdengine.migration.transform import Transform

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, SchemaDatasetFacet
    from airflow.providers.openlineage.extractors import OperatorLineage  # type: ignore[import-not-found]

_MOST_TABLES = 100
"""Normal tables of a batch that are named, at most."""


@dataclass(frozen=True, slots=True)
class TableLineage:
    """A super table or normal table, and what became of it.

    Parameters:
        source: its name in the source.
        target: its name in the target.
        columns: columns and tags that were copied, as the source and as the target has them; by their order.
        constants: tags that only the target has.
    """

    source: str
    target: str
    columns: tuple[tuple[Field, Field], ...]
    constants: tuple[Field, ...]


def table_lineages(source: Catalog, batch: Batch, options: MigrationOptions) -> Iterator[TableLineage]:
    """The super table of a batch, or its normal tables.

    Parameters:
        source: the source database.
        batch: which has been copied.
        options: what changed on the way.
    """
    transform = Transform.of(options)
    names = [batch.stable]
    if batch.stable is None:
        low, high = batch.first.encode(), batch.last.encode()
        names = [name for name in source.normal_tables(Scope.of(options)) if low <= name.encode() <= high]
    for name in names[:_MOST_TABLES]:
        table = transform.selected(source.describe(str(name)))
        wanted = transform.renamed(table)
        pairs = (*zip(table.columns, wanted.columns, strict=True), *zip(table.tags, wanted.tags, strict=False))
        yield TableLineage(table.name, wanted.name, pairs, wanted.tags[len(table.tags) :])


def batch_lineage(
    source: Catalog, target: Catalog, batch: Batch, options: MigrationOptions, rows: int, size: int
) -> OperatorLineage | None:
    """The same as datasets with schemas and column lineage; None without OpenLineage.

    Parameters:
        source: the source database.
        target: the target database.
        batch: which has been copied.
        options: of the migration.
        rows: how many rows were written.
        size: in how many bytes.
    """
    try:
        from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
            ColumnLineageDatasetFacet,
            Fields,
            InputField,
            OutputDataset,
            OutputStatisticsOutputDatasetFacet,
        )
        from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
    except ImportError:
        return None
    inputs, outputs = [], []
    with source:
        lineages = list(table_lineages(source, batch, options))
    for lineage in lineages:
        one = _dataset(source, lineage.source, [before for before, _ in lineage.columns])
        other = _dataset(target, lineage.target, [*(after for _, after in lineage.columns), *lineage.constants])
        columns = {
            after.name: Fields(
                inputFields=[InputField(namespace=one.namespace, name=one.name, field=before.name)],
                transformationType="IDENTITY",
            )
            for before, after in lineage.columns
        }
        facets = {**(other.facets or {}), "columnLineage": ColumnLineageDatasetFacet(fields=columns)}
        written = {}
        if len(lineages) == 1:
            written["outputStatistics"] = OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size)
        inputs.append(one)
        outputs.append(OutputDataset(other.namespace, other.name, facets=facets, outputFacets=written))
    return OperatorLineage(inputs=inputs, outputs=outputs)


def _dataset(catalog: Catalog, table: str, fields: list[Field]) -> Dataset:
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415

    server = catalog.client.address
    namespace = f"{SCHEME}://{server.host}:{server.port}"
    return Dataset(namespace, f"{catalog.name}.{table}", facets={"schema": _schema(fields)})


def _schema(fields: list[Field]) -> SchemaDatasetFacet:
    from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    return SchemaDatasetFacet(
        fields=[SchemaDatasetFacetFields(name=field.name, type=field.sql_type) for field in fields]
    )
