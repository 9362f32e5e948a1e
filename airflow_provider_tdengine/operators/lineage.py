"""What OpenLineage is told of a copied batch: which columns of which tables became which.

Without the provider `apache-airflow-providers-openlineage` nothing is told, and nothing is asked of the servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_tdengine.assets import convert_asset_to_openlineage, create_asset
from airflow_provider_tdengine.migration.options import MigrationOptions

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import OutputDatasetFacet, RunFacet, column_lineage_dataset

    from airflow_provider_tdengine.migration.catalog import Catalog, Table
    from airflow_provider_tdengine.migration.copying import Batch

_MOST_TABLES = 100
"""Normal tables of a batch that are named, at most."""


@dataclass(frozen=True, slots=True)
class TableLineage:
    """A super table or normal table, and what became of it.

    Parameters:
        source: as the source has it, with the columns that stay behind.
        target: as the target has it, with columns and tags of its own.
        columns: columns and tags that were copied: names in the source by names in the target.
    """

    source: Table
    target: Table
    columns: Mapping[str, str]


def table_lineages(source: Catalog, target: Catalog, batch: Batch, options: MigrationOptions) -> Iterator[TableLineage]:
    """The super table of a batch, or its normal tables.

    Parameters:
        source: the source database.
        target: the target database.
        batch: which has been copied.
        options: what changed on the way.

    Raises:
        TDengineError: a server did not answer, or a table has gone since.
    """
    from airflow_provider_tdengine.migration.catalog import Scope
    from airflow_provider_tdengine.migration.rows import Transform

    transform = Transform.of(options)
    names = [batch.stable]
    if batch.stable is None:
        names = list(source.normal_tables(Scope.of(options).between(batch.first, batch.before)))
    for name in names[:_MOST_TABLES]:
        table = source.describe(str(name))
        copied = transform.selected(table)
        wanted = transform.renamed(copied)
        # Constant tags come last in `wanted`, and from no column.
        pairs = zip(wanted.columns + wanted.tags, copied.columns + copied.tags, strict=False)
        yield TableLineage(table, target.describe(wanted.name), {after.name: before.name for after, before in pairs})


def batch_lineage(
    source: Catalog, target: Catalog, batch: Batch, options: MigrationOptions, rows: int, size: int
) -> OperatorLineage[Dataset, RunFacet] | None:
    """The same as datasets with schemas and column lineage; None without OpenLineage.

    Parameters:
        source: the source database.
        target: the target database.
        batch: which has been copied.
        options: of the migration.
        rows: how many rows were written.
        size: in how many bytes.

    Raises:
        TDengineError: as of `table_lineages`.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset
    except ImportError:
        return None
    inputs: list[Dataset] = []
    outputs: list[Dataset] = []
    with source, target:
        lineages = list(table_lineages(source, target, batch, options))
    for lineage in lineages:
        one, other = _dataset(source, lineage.source), _dataset(target, lineage.target)
        facets = {**(other.facets or {}), "columnLineage": _column_lineage(one, lineage.columns)}
        written: dict[str, OutputDatasetFacet] = {}
        # How rows and bytes divide among several tables is not known.
        if len(lineages) == 1:
            statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size)
            written["outputStatistics"] = statistics
        inputs.append(one)
        outputs.append(OutputDataset(other.namespace, other.name, facets=facets, outputFacets=written))
    return OperatorLineage(inputs=inputs, outputs=outputs)


def added(lineages: Iterable[OperatorLineage[Dataset, RunFacet] | None]) -> OperatorLineage[Dataset, RunFacet] | None:
    """What several batches read and wrote together; None without OpenLineage."""
    whole: OperatorLineage[Dataset, RunFacet] | None = None
    for one in lineages:
        if whole and one:
            whole.inputs += one.inputs
            whole.outputs += one.outputs
        whole = whole or one
    return whole


def _dataset(catalog: Catalog, table: Table) -> Dataset:
    """A table by the name that the asset of it has, too."""
    from openlineage.client.facet_v2 import schema_dataset

    server = catalog.client.address
    host, port = server.first
    asset = create_asset(host=host, port=port, database=catalog.name, table=table.name)
    dataset = convert_asset_to_openlineage(asset, None)
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=field.name, type=field.sql_type)
        for field in table.columns + table.tags
    ]
    dataset.facets = {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}
    return dataset


def _column_lineage(source: Dataset, columns: Mapping[str, str]) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    from openlineage.client.facet_v2 import column_lineage_dataset as facet

    same = facet.Transformation(type="DIRECT", subtype="IDENTITY")
    return facet.ColumnLineageDatasetFacet(
        fields={
            after: facet.Fields([facet.InputField(source.namespace, source.name, before, transformations=[same])])
            for after, before in columns.items()
        }
    )
