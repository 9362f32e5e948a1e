"""Both sides' tables made alike: databases, super tables, subtables with tags, normal tables."""

from airflow_provider_tdengine.migration.structure.database import coarser, oldest, options_not_taken
from airflow_provider_tdengine.migration.structure.limits import limit_findings
from airflow_provider_tdengine.migration.structure.not_migrated import Leftover, leftovers, own_things, things
from airflow_provider_tdengine.migration.structure.objects import Made, make_objects
from airflow_provider_tdengine.migration.structure.privileges import denied, privilege_findings
from airflow_provider_tdengine.migration.structure.schema import Owners, SchemaReport, SchemaSync
from airflow_provider_tdengine.migration.structure.structure import (
    Structure,
    TablePair,
    can_widen,
    compare,
    new_database,
    nothing_meant,
    read_structure,
    source_tables,
)
from airflow_provider_tdengine.migration.structure.table_options import (
    TableOptions,
    table_options,
    table_options_not_taken,
)
from airflow_provider_tdengine.migration.structure.tags import same_tag, tag_literal

__all__ = [
    "Leftover",
    "Made",
    "Owners",
    "SchemaReport",
    "SchemaSync",
    "Structure",
    "TableOptions",
    "TablePair",
    "can_widen",
    "coarser",
    "compare",
    "denied",
    "leftovers",
    "limit_findings",
    "make_objects",
    "new_database",
    "nothing_meant",
    "oldest",
    "options_not_taken",
    "own_things",
    "privilege_findings",
    "read_structure",
    "same_tag",
    "source_tables",
    "table_options",
    "table_options_not_taken",
    "tag_literal",
    "things",
]
