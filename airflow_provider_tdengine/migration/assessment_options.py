"""What is asked of an assessment of whole servers: each option with its explanation, as those of a migration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_tdengine.migration.database_options import DatabaseOptions
from airflow_provider_tdengine.migration.findings import Finding, stop_on
from airflow_provider_tdengine.migration.options import (
    FIRST,
    OPTIONS,
    Option,
    described,
    explained,
    is_connection,
    no_connection,
    read_values,
)

_T = TypeVar("_T")


def _as_of_a_migration(name: str, default: _T) -> _T:
    """An option that a migration has, too."""
    field: _T = dataclasses.field(default=default, metadata={"option": OPTIONS[name]})
    return field


@dataclass(frozen=True)
class AssessmentOptions:
    """What is asked of an assessment, as plain values; each field is explained in `ASSESSMENT_OPTIONS`."""

    databases: str = described(
        "*",
        "Databases",
        FIRST,
        "The databases that are looked at, separated by commas; `*` stands for any characters, `?` for one. A pattern "
        "means none of TDengine's own, such as log and audit; a name does.",
        examples=("*", "power, plant_*"),
    )
    source_conn_ids: str = described(
        "tdengine_source",
        "Source connections",
        FIRST,
        "The Airflow connections (type TDengine) of the servers that are to be left: one, or several separated by "
        "commas.",
        examples=("tdengine_north, tdengine_south",),
    )
    target_conn_id: str = _as_of_a_migration("target_conn_id", "tdengine_target")
    name: str = described(
        "",
        "Name",
        FIRST,
        "What the assessment is called.",
        empty="the servers' addresses",
        examples=("all plants",),
    )
    window_hours: float = described(
        0.0,
        "Window in hours",
        FIRST,
        "How long the migration may take, such as 48 for a weekend: the assessment says which databases fit into it, "
        "in which order, and how many batches have to be copied at the same time. 0 for no window.",
        minimum=0,
        maximum=8760,
        examples=("48", "8"),
    )
    measure_writing: bool = described(
        False,
        "Measure writing",
        FIRST,
        "Copies some rows into a scratch database of the target, which is dropped again, so that the duration is "
        "estimated from what both servers do. Switched off, nothing is written, and how fast the target writes is "
        "taken from this project's benchmark: not measured.",
    )
    parallel_batches: int = described(
        0,
        "Batches at the same time",
        FIRST,
        "How many batches may be copied at the same time, of all databases; 0 for as many as the server with fewer "
        "cores has, or 4 where none says that.",
        minimum=0,
        maximum=64,
        examples=("8",),
    )
    workers: int = _as_of_a_migration("workers", 2)
    database_options: str = _as_of_a_migration("database_options", "")
    certificate_path: str = described(
        "",
        "Folder",
        FIRST,
        "Where the assessment is kept as assessment.json and assessment.html: a folder, or any URL of Airflow's object "
        "storage. Each run has a folder of its own there.",
        empty="none is written",
        examples=("s3://aws_default@migrations/assessments", "file:///var/lib/airflow/assessments"),
    )

    @classmethod
    def checked(cls, values: Mapping[str, object]) -> AssessmentOptions:
        """Options from a form's or caller's values.

        Parameters:
            values: by option name; what is missing or None has its default.

        Raises:
            MigrationStopped: all that is wrong, at once.
        """
        given, findings, wrong = read_values(ASSESSMENT_OPTIONS, dataclasses.fields(cls), values)
        options = cls(**given)  # type: ignore[arg-type]
        stop_on([*findings, *(found for found in options._mistakes() if found.object.split("'")[1] not in wrong)])
        return options

    def _mistakes(self) -> Iterator[Finding]:
        if not self.sources:
            yield Finding("Option 'source_conn_ids'", "it is empty", "Give the connection of a server")
        elif not all(map(is_connection, self.sources)):
            yield no_connection("source_conn_ids")
        try:
            DatabaseOptions.parse(self.database_options)
        except ValueError as error:
            action = "Give options with their values, such as REPLICA 3 CACHEMODEL 'both'"
            yield Finding("Option 'database_options'", str(error), action)

    @property
    def sources(self) -> list[str]:
        """The connections of the sources, each once."""
        return list(dict.fromkeys(filter(None, map(str.strip, self.source_conn_ids.split(",")))))

    @property
    def window(self) -> float | None:
        """How long the migration may take, in seconds."""
        return self.window_hours * 3600 or None

    @property
    def given(self) -> dict[str, str | float | bool]:
        """What is not as it is by default, and what people look for first."""
        values: dict[str, str | float | bool] = dataclasses.asdict(self)
        own = dataclasses.asdict(AssessmentOptions())
        return {name: value for name, value in values.items() if value != own[name] or name == "databases"}


ASSESSMENT_OPTIONS: dict[str, Option] = explained(dataclasses.fields(AssessmentOptions))
