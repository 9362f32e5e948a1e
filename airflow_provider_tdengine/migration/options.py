"""Every option of a migration: its default, its check and its explanation.

The one home of options: the trigger form, the operators and the docs are drawn from `OPTIONS`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TypeVar, cast

import pendulum
from pendulum.parsing.exceptions import ParserError

from airflow_provider_tdengine.client.secrets import secrets_in
from airflow_provider_tdengine.migration.database_options import DatabaseOptions
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped


@dataclass(frozen=True, slots=True)
class Option:
    """What a person needs to know of an option.

    Parameters:
        title: its name in the form.
        section: where it stands in the form.
        explanation: what it does, and when to change it.
        default: its default, in words.
        choices: the values that it takes, with what each means; empty where any value of the type will do.
        examples: values to show.
        format: `moment` for a moment or how long ago it is, `multiline` for lines.
        minimum: the smallest number that it takes.
        maximum: the largest number.
        required: whether it must be given.
    """

    title: str
    section: str
    explanation: str
    default: str
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    examples: tuple[str, ...] = ()
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False


_T = TypeVar("_T")


def described(
    default: _T,
    title: str,
    section: str,
    explanation: str,
    *,
    empty: str = "",
    choices: Mapping[str, str] | None = None,
    examples: tuple[str, ...] = (),
    format: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    required: bool = False,
) -> _T:
    """A field with its `Option`; `empty` says what an empty default means."""
    shown = f"{default:g}" if isinstance(default, float) else default
    said = empty or f"`{str(default).lower() if isinstance(default, bool) else shown}`"
    option = Option(title, section, explanation, said, choices or {}, examples, format, minimum, maximum, required)
    field: _T = dataclasses.field(default=default, metadata={"option": option})
    return field


RESOLVED_ON = "resolved_on"
"""No option: the host on which they were resolved, beside options that name a folder on its disk."""

# In the order in which people decide.
FIRST = "What to migrate"
"""The section that a form shows open."""

_SCOPE, _TARGET, _RENAMING = "Scope", "Target tables", "Names and tags"
_REFUSED, _VERIFICATION, _REALTIME, _COPYING = "Rows that do not fit", "Verification", "Realtime", "Copying"
_LINES = "multiline"

ASK = "ask"
"""The value of options that leave it to a person, in Airflow."""


@dataclass(frozen=True)
class MigrationOptions:
    """What is asked of a migration, as plain values; `checked` says what cannot be.

    Each field is explained in `OPTIONS`.
    """

    source_database: str = described(
        "",
        "Source database",
        FIRST,
        "The database that is read. One run may bring several over: names and patterns, separated by commas. `*` "
        "stands for any characters, `?` for one; `*` alone means all databases but the system's own.",
        empty="none",
        examples=("power", "power, plant_*"),
        required=True,
    )
    target_database: str = described(
        "",
        "Target database",
        FIRST,
        "The database that is written. Another name renames it; several runs with one name bring databases together. "
        "`*` stands for the source database's name; of several databases, each has a target of its own.",
        empty="the source database's name",
        examples=("power_archive", "*_archive"),
    )
    source_conn_id: str = described(
        "tdengine_source",
        "Source connection",
        FIRST,
        "The Airflow connection (type TDengine) of the server that is read: 2.4 or later, 3.0 or later.",
        examples=("tdengine_north",),
    )
    target_conn_id: str = described(
        "tdengine_target",
        "Target connection",
        FIRST,
        "The Airflow connection (type TDengine) of the server that is written: 3.0 or later.",
        examples=("tdengine_centre",),
    )
    mode: str = described(
        "history",
        "Mode",
        FIRST,
        "Which rows are copied. Choose both to move while devices go on writing.",
        choices={
            "history": "all rows of a period, then it ends",
            "realtime": "rows that arrive from the creation of the run on, until somebody stops it",
            "both": "history, then realtime",
        },
    )
    dry_run: bool = described(
        False,
        "Dry run",
        FIRST,
        "Advised for the first run: nothing is written. It shows tables, rows, size, duration, and all that stands in "
        "the way.",
    )
    name: str = described(
        "",
        "Name",
        FIRST,
        "What this migration is called in lists, logs and reports. Airflow's own run id says how and when the run was "
        "created.",
        empty="source and target database",
        examples=("plant north to centre",),
    )
    stables: str = described(
        "",
        "Super tables",
        _SCOPE,
        "Only these, separated by commas; `*` stands for any characters, `?` for one, `@` and a path for the names in "
        "a file.",
        empty="all super tables and normal tables",
        examples=("meters, sensor_*",),
    )
    tables: str = described(
        "",
        "Tables",
        _SCOPE,
        "Only these subtables and normal tables, written as above; `super table.subtable` names the subtables of one "
        "super table. Try a migration with a few of them first.",
        empty="all",
        examples=("d1001, d1002", "d10*, meters.*_old", "@/opt/airflow/tables.txt"),
    )
    exclude: str = described(
        "",
        "Exclude",
        _SCOPE,
        "Not these super tables (with their subtables), subtables and normal tables, written as above.",
        empty="none",
        examples=("test_*, d9999",),
    )
    start: str | None = described(
        None,
        "Start",
        _SCOPE,
        "Rows from this moment on. A time without zone is UTC; `-30d` is 30 days before the "
        "creation of the run (s, m, h, d, w).",
        empty="the first row",
        format="moment",
        examples=("2021-01-01T00:00:00Z", "-30d"),
    )
    end: str | None = described(
        None,
        "End",
        _SCOPE,
        "Rows before this moment. A time without zone is UTC; `-30d` is 30 days before the "
        "creation of the run (s, m, h, d, w).",
        empty="the moment at which the run was created, so that a retry sees the same rows",
        format="moment",
        examples=("2022-01-01T00:00:00Z", "-1d"),
    )
    where: str = described(
        "",
        "Row filter",
        _SCOPE,
        "Only rows that meet this condition on columns and tags, in the SQL of the source. Source and target are "
        "compared for these rows, so the target should hold no others.",
        empty="all rows",
        examples=("voltage > 0", "`phase` IS NOT NULL AND current < 100"),
    )
    columns: str = described(
        "",
        "Columns",
        _SCOPE,
        "Only these columns, separated by commas, and the primary key; `*` and `?` stand for any characters, "
        "`table.column` names a column of one table.",
        empty="all",
        examples=("current, voltage", "meters.v*"),
    )
    exclude_columns: str = described(
        "",
        "Exclude columns",
        _SCOPE,
        "Not these columns, written as above.",
        empty="none",
        examples=("debug_*",),
    )
    schema: str = described(
        "always",
        "Schema",
        _TARGET,
        "What happens to databases, super tables and tables before rows are copied.",
        choices={
            "always": "what is missing in the target is created, then rows are copied",
            "none": "the target has all tables already; only rows are copied",
            "only": "tables are created, no rows are copied",
        },
    )
    create_database: bool = described(
        True,
        "Create the target database",
        _TARGET,
        "Create it when it is missing, with the source's PRECISION and KEEP. Switched off, a missing one stops the "
        "migration.",
    )
    database_options: str = described(
        "",
        "Database options",
        _TARGET,
        "Options of the target database when it is created, as SQL says them; `AS SOURCE` before them gives it all "
        "others of the source, as far as its version has them. The log of `sync_schema` names those that are not kept.",
        empty="PRECISION, KEEP and DURATION of the source, everything else as the server has it",
        examples=("VGROUPS 8 REPLICA 3 CACHEMODEL 'both'", "AS SOURCE", "AS SOURCE VGROUPS 8"),
    )
    objects: str = described(
        "",
        "Other objects",
        _TARGET,
        "What else is made in the target when all rows have arrived: `all`, or some of indexes, tsmas, virtual_tables, "
        "views, topics and streams. What the source does not say how to make, or the target refuses, is listed with "
        "its reason; functions and users are always listed.",
        empty="tables only",
        examples=("views, topics",),
    )
    update_tags: bool = described(
        False,
        "Correct tags",
        _TARGET,
        "Give subtables that the target has already the source's tag values. Switched off, one with rows and other "
        "tags stops the migration before anything is written, since it may be another device's.",
    )
    rename_stables: str = described(
        "",
        "Rename super tables",
        _RENAMING,
        "One rule a line: `old -> new`; `* -> site_*`, a prefix; `/^old_/ -> new_`, a regular expression with `\\1` "
        "for groups; `@names.csv`, a file with the columns old and new. Names come before patterns; the first pattern "
        "that matches counts.",
        empty="the names of the source",
        format=_LINES,
        examples=("meters -> power_meters", "* -> beijing_*"),
    )
    rename_tables: str = described(
        "",
        "Rename tables",
        _RENAMING,
        "New names of subtables and normal tables, with rules as above; needed for names that TDengine 3 refuses (with "
        "a dot, of more than 192 bytes), and to merge databases that use the same names.",
        empty="the names of the source",
        format=_LINES,
        examples=("* -> beijing_*", "/\\./ -> _", "@names.csv"),
    )
    rename_columns: str = described(
        "",
        "Rename columns and tags",
        _RENAMING,
        "New names of columns and tags, with rules as above. A rule for one table says `table.column`.",
        empty="the names of the source",
        format=_LINES,
        examples=("meters.current -> amperes", "/^f_/ -> "),
    )
    add_tags: str = described(
        "",
        "Constant tags",
        _RENAMING,
        "Tags that all subtables get, one a line: `site=beijing`, or with a type `line:INT=3`. They say where rows "
        "came from when several databases become one.",
        empty="none",
        format=_LINES,
        examples=("site=beijing", "line:INT=3"),
    )
    on_expired: str = described(
        "fail",
        "Expired rows",
        _REFUSED,
        "What happens to rows that are older than the target's KEEP. They are counted before anything is copied.",
        choices={
            "fail": "the migration stops and says how many rows of which tables they are",
            "skip": "they stay behind, and their number is in the log",
            "raise_keep": "the target's KEEP is raised once, before copying, to hold them",
        },
    )
    allow_lossy_precision: bool = described(
        False,
        "Allow coarser timestamps",
        _REFUSED,
        "Copy into a database of a coarser precision, such as from ns to ms. Timestamps are cut; of rows that then "
        "have the same one, the last arrives, and the others are counted. Switched off, such a target stops the "
        "migration.",
    )
    on_error: str = described(
        "fail",
        "Refused rows",
        _REFUSED,
        "What happens to a row that the target refuses, such as one with a value that is too long.",
        choices={
            "fail": "the copy task fails and names table, timestamp, column and value of the first one",
            "dead_letter": "such rows are kept as JSON lines at the dead letter path, all others arrive; the run ends "
            "red with their number, and TDengineReplayDeadLettersOperator brings them back later",
        },
    )
    dead_letter_path: str = described(
        "",
        "Dead letter path",
        _REFUSED,
        "Where refused rows are kept, if they are to become dead letters: a folder, or any URL of Airflow's object "
        "storage that all workers reach. Each run has a folder of its own in it.",
        empty="none",
        examples=("file:///var/lib/airflow/dead_letters", "s3://aws_default@bucket/dead_letters"),
    )
    max_rejected: int = described(
        10_000,
        "Most refused rows",
        _REFUSED,
        "How many rows of a copied batch, or of a shard that is followed, may become dead letters; with one more the "
        "task fails, since more is wrong than single rows then. 0 for any number.",
        minimum=0,
        examples=("100", "0"),
    )
    verify: str = described(
        "full",
        "Verification",
        _VERIFICATION,
        "What is compared after copying; tags at all levels, unless schema is none. A difference that no repair "
        "removes fails the run.",
        choices={
            "full": "every row, by a digest: the copy adds up what it reads, so that only the target is read again; "
            "without a copy both sides are read",
            "aggregate": "rows, first and last timestamp of every table, and values, smallest, largest and sum of "
            "every column, as far as both servers know them",
            "count": "rows, first and last timestamp of every table",
            "none": "nothing; the run's colour then says nothing about completeness",
        },
    )
    repair_rounds: int = described(
        2,
        "Repair rounds",
        _VERIFICATION,
        "How often the rows that differ are copied again, and compared once more; 0 leaves them as they are.",
        minimum=0,
        maximum=10,
    )
    delete_extra: str = described(
        "false",
        "Delete extra rows",
        _VERIFICATION,
        "What a repair does with rows of migrated tables that only the target has in the period. Leave them where "
        "anything else writes into these tables.",
        choices={
            "false": "they stay, and are a difference",
            ASK: "the task that adds up shows them to a person, and deletes what is approved; that takes the DAG of "
            "example_dags/tdengine_approval.py",
            "true": "they are deleted",
        },
    )
    results_database: str = described(
        "",
        "Results database",
        _VERIFICATION,
        "A database of the target server, made when it is missing: each comparison adds a row for each super table to "
        "its super table `verification`, for dashboards.",
        empty="none is kept",
        examples=("migrations",),
    )
    certificate_path: str = described(
        "",
        "Certificate",
        _VERIFICATION,
        "Where the result is kept as certificate.json and certificate.html, that of a dry run as assessment.json and "
        "assessment.html: a folder, or any URL of Airflow's object storage. Each run has a folder of its own there, "
        "and in it each task that compares, or looks.",
        empty="none is written",
        examples=("s3://aws_default@migrations/certificates", "file:///var/lib/airflow/certificates"),
    )
    start_from: str | None = described(
        None,
        "Start from",
        _REALTIME,
        "Rows from this moment on are followed; with mode both, rows before it are history. A time without zone is "
        "UTC; `-2h` is two hours before the creation of the run.",
        empty="the moment at which the run was created",
        format="moment",
        examples=("2025-01-01T00:00:00Z", "-2h"),
    )
    follow_by: str = described(
        "auto",
        "Follow by",
        _REALTIME,
        "How what is new in the source is noticed.",
        choices={
            "auto": "by subscription where the source is 3.x and keeps its log for an hour, else by poll; the log says "
            "which, and why",
            "subscription": "3.x tells of each change: rows however late, overwritten ones, deleted ones, tables",
            "poll": "the source is asked again and again for rows by their timestamps",
        },
    )
    on_delete: str = described(
        "ignore",
        "On delete",
        _REALTIME,
        "What happens when rows are deleted, or tables dropped, in a source that is followed by subscription.",
        choices={
            "ignore": "they stay in the target",
            "apply": "they are deleted in the target, too; super tables stay",
        },
    )
    stop_at: str | None = described(
        None,
        "Stop at",
        _REALTIME,
        "Following ends by itself when all rows before this moment have been copied; they are compared, and the run "
        "has its colour. A time without zone is UTC.",
        empty="never; mark the task `follow` as success, or press Finish on the Migrations page",
        format="moment",
        examples=("2025-02-01T00:00:00Z",),
    )
    poll_interval: float = described(
        5.0,
        "Poll interval",
        _REALTIME,
        "Seconds between two looks for new rows. A look is one query a super table or normal table.",
        minimum=0.1,
        maximum=86_400,
        examples=("0.5", "60"),
    )
    delay: float = described(
        0.0,
        "Delay",
        _REALTIME,
        "How many seconds old rows are when they are copied, by the clock of the source. Give some for sources whose "
        "rows arrive out of order.",
        minimum=0,
        maximum=31_536_000,
        examples=("0.5", "30"),
    )
    lookback: int = described(
        10,
        "Lookback",
        _REALTIME,
        "How many seconds before the rows that were copied last are read and written again each time, for rows that "
        "arrived late and values that were changed. Later ones are noticed by counting, a schema poll interval later: "
        "set it to how late most rows of your devices may be, but no longer.",
        minimum=0,
        maximum=31_536_000,
        examples=("300",),
    )
    follow_shards: int = described(
        1,
        "Shards",
        _REALTIME,
        "How many tasks follow, each a range of subtables by name. Give more only where one falls behind, which its "
        "log says.",
        minimum=1,
        maximum=64,
        examples=("4",),
    )
    schema_poll_interval: int = described(
        5,
        "Schema poll interval",
        _REALTIME,
        "Seconds between two looks for new tables, columns and tags, changed tag values, and rows later than the "
        "lookback; they read the tags of all subtables, and count rows. They are rarer where a look takes longer than "
        "a tenth of it.",
        minimum=1,
        maximum=86_400,
        examples=("60",),
    )
    on_schema_change: str = described(
        "evolve",
        "Schema changes",
        _REALTIME,
        "What happens when tables, columns or tags come up in the source, or a tag's value changes, while it is "
        "followed.",
        choices={
            "evolve": "the target gets the same; of new tables, all rows are copied, late ones too",
            ASK: "following stops and shows a person the statements that would be run; approved, it goes on; that "
            "takes the DAG of example_dags/tdengine_approval.py",
            "fail": "following stops and names each change",
        },
    )
    workers: int = described(
        2,
        "Workers",
        _COPYING,
        "Threads of each copy task, each with one session at the source and one at the target. Give more when servers "
        "are far away or have many cores, 1 for a small adapter of 2.6: its connection pool must hold workers x "
        "parallel tasks.",
        minimum=1,
        maximum=64,
        examples=("1", "8"),
    )
    strategy: str = described(
        "auto",
        "Strategy",
        _COPYING,
        "How rows are read and written. Choose one only if you have measured that it is faster with your tables.",
        choices={
            "auto": "decided a batch, from its rows a subtable",
            "dense": "one query a subtable, rows as binary blocks",
            "sparse": "one query for many subtables, rows as INSERT statements; for few rows a subtable",
        },
    )
    max_rows_per_second: int = described(
        0,
        "Rows a second",
        _COPYING,
        "The most rows a second that the whole migration copies; 0 for no limit. Each of the batches that may be "
        "copied at the same time has an equal part. Without limits, too, a task goes slower while a server says that "
        "it is busy, or takes ever longer to confirm what is written.",
        minimum=0,
        examples=("100000",),
    )
    max_bytes_per_second: int = described(
        0,
        "Bytes a second",
        _COPYING,
        "The most bytes a second that are written, in blocks and statements; divided like the rows. 0 for no limit.",
        minimum=0,
        examples=("10000000",),
    )
    force: bool = described(
        False,
        "Start over",
        _COPYING,
        "A copy task that is cleared after its end begins its batch anew, instead of going on from its checkpoint; for "
        "values that changed in the source. Retries go on all the same; a new run copies all rows anyway.",
    )

    @classmethod
    def checked(cls, values: Mapping[str, object]) -> MigrationOptions:
        """Options from a form's or caller's values.

        Parameters:
            values: by option name; what is missing or None has its default.

        Raises:
            MigrationStopped: all that is wrong, at once.
        """
        options, findings = cls.read(values)
        if findings:
            raise MigrationStopped(findings)
        return options

    @classmethod
    def read(cls, values: Mapping[str, object]) -> tuple[MigrationOptions, list[Finding]]:
        """Options from a form's or caller's values, and all that is wrong with them; what is wrong has its default.

        Parameters:
            values: as for `checked`.
        """
        values = {name: value for name, value in values.items() if name != RESOLVED_ON}
        given, findings, wrong = read_values(OPTIONS, dataclasses.fields(cls), values)
        options = cls(**given)  # type: ignore[arg-type]
        return options, [*findings, *options._contradictions(wrong)]

    @property
    def object_kinds(self) -> tuple[str, ...]:
        """What else is made in the target, by kinds of `structure.not_migrated`, in the order in which it can be."""
        named = tuple(_OBJECTS) if self.objects == "all" else _listed(self.objects)
        return tuple(kind for name, kinds in _OBJECTS.items() if name in named for kind in kinds)

    @property
    def renames(self) -> bool:
        """Whether tables or columns have other names in the target."""
        return bool(self.rename_stables or self.rename_tables or self.rename_columns)

    def _contradictions(self, wrong: Set[str]) -> Iterator[Finding]:
        """What is missing, and what does not go together.

        Parameters:
            wrong: options that stand with their defaults, in place of what cannot be: nothing is said of them.
        """
        for name, option in OPTIONS.items():
            if option.required and name not in wrong and not getattr(self, name):
                yield Finding(f"Option {name!r}", "it is empty", "Give one; " + option.explanation.partition(".")[0])
        for check, names in (
            (self._check_period, {"mode", "start", "end", "start_from"}),
            (self._check_mode, {"mode", "schema", "start", "end", "start_from", "stop_at"}),
            (self._check_database_options, {"database_options"}),
            (self._check_objects, {"objects"}),
            (self._check_dead_letters, {"on_error", "dead_letter_path"}),
            (self._check_results, {"results_database", "source_database", "target_database"}),
            (self._check_sides, {"source_conn_id", "source_database", "target_conn_id", "target_database"}),
            (self._check_fleet, {"source_database", "target_database", "mode"}),
        ):
            if not wrong & names:
                yield from check()

    def _check_period(self) -> Iterator[Finding]:
        if self.window_start and self.window_end and self.window_start >= self.window_end:
            end = "start_from" if self.follows else "end"
            yield Finding(
                f"Options 'start' and {end!r}",
                f"start {self.start} is not before {end} {getattr(self, end)}",
                f"Give a start that is earlier than {end}",
            )

    def _check_database_options(self) -> Iterator[Finding]:
        try:
            DatabaseOptions.parse(self.database_options)
        except ValueError as error:
            action = "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'"
            yield Finding("Option 'database_options'", str(error), action)

    def _check_objects(self) -> Iterator[Finding]:
        unknown = [name for name in _listed(self.objects) if name not in _OBJECTS]
        if unknown and self.objects != "all":
            yield Finding("Option 'objects'", f"there is no kind {unknown[0]!r}", f"Give all, or {', '.join(_OBJECTS)}")

    def _check_dead_letters(self) -> Iterator[Finding]:
        if self.on_error == "dead_letter" and not self.dead_letter_path:
            found = "it is empty, and on_error is dead_letter"
            yield Finding("Option 'dead_letter_path'", found, "Give a folder or an object storage URL")

    def _check_results(self) -> Iterator[Finding]:
        members, is_one = self.members, self.source_conn_id == self.target_conn_id
        taken = {one.source_database: "source" for one in members if is_one}
        taken |= {one.target: "target" for one in members}
        if self.results_database in taken:
            yield from results_in(taken[self.results_database], self)

    def _check_sides(self) -> Iterator[Finding]:
        same_database = any(one.target == one.source_database for one in self.members)
        if self.source_conn_id == self.target_conn_id and same_database:
            found = f"both name {self.source_conn_id!r}, and the database {self.source_database!r}"
            yield onto_itself(found, "connection")

    def _check_fleet(self) -> Iterator[Finding]:
        """What several databases cannot have."""
        if not self.is_fleet:
            return
        if len(self.databases) > 1 and self.target_database and "*" not in self.target_database:
            yield Finding(
                "Option 'target_database'",
                f"{self.target_database!r} would be the target of several databases: {self.source_database}",
                "Leave it out to keep their names, or give a rule with * for each name, such as *_archive",
            )
        if self.follows:
            found = f"it is {self.mode}, and source_database {self.source_database!r} means several databases"
            yield Finding("Option 'mode'", found, "Choose mode history, or follow them with a run for each database")

    def _check_mode(self) -> Iterator[Finding]:
        """Options that mean nothing in this mode, or something else than they seem to."""
        if not self.follows:
            for name in ("start_from", "stop_at"):
                if getattr(self, name):
                    found = "it is given, and mode is history"
                    yield Finding(f"Option {name!r}", found, "Choose mode realtime or both")
            return
        if self.follows_until and self.window_end and self.follows_until <= self.window_end:
            found = f"{self.stop_at} is not after start_from {self.start_from}"
            yield Finding("Option 'stop_at'", found, "Give a later moment")
        if self.end:
            action = "Leave it out: rows are followed until the follow task is stopped; start_from says from when on"
            yield Finding("Option 'end'", f"it is given, and mode is {self.mode}", action)
        if self.start and self.mode == "realtime":
            action = "Give start_from instead, or choose mode both to copy older rows, too"
            yield Finding("Option 'start'", "it is given, and mode is realtime", action)
        if self.schema == "only":
            found = f"it is only, and mode is {self.mode}, which copies rows"
            yield Finding("Option 'schema'", found, "Choose mode history, or schema always or none")

    @property
    def follows(self) -> bool:
        """Whether rows that arrive after the migration's creation are copied, too."""
        return self.mode != "history"

    @property
    def asking(self) -> tuple[str, ...]:
        """The options that leave something to a person."""
        asking = {"delete_extra": self.delete_extra, "on_schema_change": self.on_schema_change if self.follows else ""}
        return tuple(name for name, value in asking.items() if value == ASK)

    @property
    def leaves_structure(self) -> bool:
        """Whether a comparison of the past repairs rows alone: following asks for changes of structure."""
        return self.on_schema_change == ASK and not self.follows

    @property
    def copies_history(self) -> bool:
        """Whether rows of before are copied."""
        return self.schema != "only" and self.mode != "realtime"

    @property
    def databases(self) -> tuple[str, ...]:
        """The source databases, as names and patterns."""
        return tuple(_listed(self.source_database))

    @property
    def is_fleet(self) -> bool:
        """Whether it is a migration of several databases: of a list, or of a pattern; see `fleet_of`."""
        return _FLEET.search(self.source_database) is not None

    @property
    def members(self) -> list[MigrationOptions]:
        """A migration of each of the databases, which patterns have become by then; of one database, the same."""
        if not self.is_fleet:
            return [self]
        return [
            dataclasses.replace(
                self,
                source_database=name,
                target_database=self.target_of(name),
                name=self.name and f"{self.name}, {name}",
            )
            for name in self.databases
        ]

    @property
    def target(self) -> str:
        """The target database's name; of several databases, the rule that gives each its own."""
        return (self.target_database or "*") if self.is_fleet else self.target_of(self.source_database)

    def target_of(self, database: str) -> str:
        """The target of a source database."""
        return (self.target_database or "*").replace("*", database)

    @property
    def label(self) -> str:
        """What the migration is called."""
        return self.name or f"{fleet_words(self.source_database)} to {self.target}"

    @property
    def folders(self) -> dict[str, str]:
        """The folders that will be written, by option; empty where none is."""
        letters = self.dead_letter_path if self.on_error == "dead_letter" else ""
        return {"dead_letter_path": letters, "certificate_path": self.certificate_path}

    @property
    def window_start(self) -> datetime | None:
        return None if not self.start else _moment(self.start)

    @property
    def window_end(self) -> datetime | None:
        """Where history ends, and realtime begins."""
        end = self.start_from if self.follows else self.end
        return None if not end else _moment(end)

    @property
    def given(self) -> dict[str, str | float | bool | None]:
        """What is not as it is by default, and what every migration must say."""
        own = MigrationOptions().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != own[name] or OPTIONS[name].required}

    @property
    def follows_until(self) -> datetime | None:
        """Where following ends by itself."""
        return None if not self.stop_at else _moment(self.stop_at)

    def ended(self, created: datetime) -> MigrationOptions:
        """The same with an end of history: the moment of creation where none was given; moments that were said as how
        long before it they are, are given."""
        given = {name: text for name in _MOMENTS if (text := str(getattr(self, name) or ""))}
        fixed = {name: _moment(text, created).isoformat() for name, text in given.items() if _AGO.fullmatch(text)}
        options = dataclasses.replace(self, **fixed)  # type: ignore[arg-type]
        if options.window_end:
            return options
        end = "start_from" if self.follows else "end"
        return dataclasses.replace(options, **{end: created.isoformat()})  # type: ignore[arg-type]

    def of_interval(self, start: datetime | None, end: datetime | None) -> MigrationOptions:
        """The same for the data interval of a run, where no period was given.

        Parameters:
            start: of the interval, None for a run without one.
            end: of the interval.

        Raises:
            MigrationStopped: there is neither a period nor an interval, or rows are to be followed.
        """
        if self.follows:
            found = f"it is {self.mode}, and each run copies its data interval"
            raise MigrationStopped([Finding("Option 'mode'", found, "Choose mode history")])
        if self.start or self.end:
            return self
        if start is None or end is None or start >= end:
            raise MigrationStopped(
                [
                    Finding(
                        "The run's data interval",
                        f"it goes from {start} to {end}, and each run of this DAG copies its interval",
                        "Create a backfill (Trigger, Backfill), or give start and end in the form; the DAG's schedule "
                        "must have intervals, as CronDataIntervalTimetable has",
                    )
                ]
            )
        return dataclasses.replace(self, start=start.isoformat(), end=end.isoformat())

    def divided(self, parts: int) -> MigrationOptions:
        """The same for one of several batches that are copied at the same time: each has its part of the limits.

        Parameters:
            parts: how many there are.
        """
        rows, size = (-(-limit // parts) for limit in (self.max_rows_per_second, self.max_bytes_per_second))
        return dataclasses.replace(self, max_rows_per_second=rows, max_bytes_per_second=size)

    def to_dict(self) -> dict[str, str | float | bool | None]:
        """For JSON and for `checked`."""
        return dataclasses.asdict(self)


def explained(fields: Iterable[dataclasses.Field[object]]) -> dict[str, Option]:
    """The options of a dataclass, by name.

    Parameters:
        fields: of it, each made by `described`.
    """
    return {field.name: cast(Option, field.metadata["option"]) for field in fields}


OPTIONS: dict[str, Option] = explained(dataclasses.fields(MigrationOptions))


def read_values(
    options: Mapping[str, Option], fields: Iterable[dataclasses.Field[object]], values: Mapping[str, object]
) -> tuple[dict[str, object], list[Finding], set[str]]:
    """Each value by itself, of a form, a template or a caller.

    Parameters:
        options: that there are.
        fields: of the dataclass whose options they are.
        values: by option name; what is missing or None has its default.

    Returns:
        Those that can be, what is wrong with the others, and their names.
    """
    findings = [
        Finding(f"Option {name!r}", "there is no such option", f"The options are {', '.join(options)}")
        for name in values.keys() - options.keys()
    ]
    given: dict[str, object] = {}
    wrong = set()
    for field in fields:
        value = without_dates(values.get(field.name))
        if isinstance(value, str):
            value = _untemplated(field, value.strip())
        if value is None:
            continue
        if options[field.name].choices and str(value) in ("True", "False"):
            # A boolean, or what a template makes of it.
            value = str(value).lower()
        found = check_secrets(field.name, value) if isinstance(value, str) else []
        if found := found or _check_value(field, options[field.name], value):
            findings += found
            wrong.add(field.name)
        else:
            given[field.name] = value
    return given, findings, wrong


EXPORT_CONTENT = (
    *("source_database", "stables", "tables", "exclude", "start", "end", "where", "columns", "exclude_columns"),
)
"""Options that say what an export holds."""

EXPORT_PACE = ("source_conn_id", "workers", "strategy", "max_rows_per_second", "force")
"""Options that say how it is made: what an earlier call has begun may go on with others."""

_KINDS: dict[type[object], str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}

_OBJECTS = {
    "indexes": ("index",),
    "tsmas": ("tsma",),
    "virtual_tables": ("virtual super table", "virtual table"),
    "views": ("view",),
    "topics": ("topic",),
    "streams": ("stream",),
}
"""What the option `objects` may name, in the order in which it is made, with the kinds that it means."""

_FLEET = re.compile(r"[,*?]")

_MOST_NAMES = 3
"""Databases that stand by name where a migration is called by them."""

_CONNECTIONS = ("source_conn_id", "target_conn_id")

# Signs that Airflow allows; of an address with a password, they lack the @ and the ? of a token.
_CONNECTION = re.compile(r"[\w#!()\-.:/\\]*")

_NUMBER = re.compile(r"\d+(\.\d+)?|\.\d+")

_DATE = re.compile(r"\d{4}-?\d\d-?\d\d")

_AGO = re.compile(r"-(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_MOMENTS = ("start", "end", "start_from", "stop_at")


def fleet_of(names: Sequence[str]) -> str:
    """The option `source_database` of a fleet of some databases. It stays one, with a comma, where only one is left."""
    return ", ".join(names) if len(names) > 1 else f"{', '.join(names)},"


def fleet_words(source_database: str) -> str:
    """The option `source_database` in a few words, however many databases it names."""
    names = _listed(source_database)
    return f"{len(names):,} databases" if len(names) > _MOST_NAMES else ", ".join(names)


def is_connection(text: str) -> bool:
    """Whether a text may be the name of an Airflow connection."""
    return _CONNECTION.fullmatch(text) is not None


def no_connection(option: str) -> Finding:
    """What to say of an option that should name a connection, and may be an address, with its password."""
    found = "it is no name of an Airflow connection; it is not shown here, since it may have a password"
    return Finding(f"Option {option!r}", found, "Create a connection with that address, and give its name")


def onto_itself(found: str, other: str) -> Finding:
    """What to say of a source that is its own target.

    Parameters:
        found: what says that it is.
        other: of what another one may be given.
    """
    return Finding(
        "Options 'source_conn_id' and 'target_conn_id'",
        found,
        f"Give another {other} or another target_database; a database cannot be copied onto itself",
    )


def results_in(side: str, options: MigrationOptions) -> Iterator[Finding]:
    """What to say of results that would be written into a database that is migrated.

    Parameters:
        side: source or target.
        options: which may name no database for results.
    """
    if options.results_database:
        found = f"it is {options.results_database!r}, the {side} database"
        yield Finding("Option 'results_database'", found, "Give a database of its own")


def without_dates(value: object) -> object:
    """A value, or the text of a date or moment: readers of YAML make such of what looks like one."""
    return value.isoformat() if isinstance(value, date) else value


def _untemplated(field: dataclasses.Field[object], text: str) -> object:
    """The value that a template's text stands for: templates make text of numbers, booleans and None."""
    if text == "None":
        return None
    if isinstance(field.default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(field.default, int) and text.isdecimal():
        return int(text)
    if isinstance(field.default, float) and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _moment(text: str, created: datetime | None = None) -> datetime:
    """An aware moment.

    Parameters:
        text: ISO 8601 with a date, UTC where it names no zone; or such as `-30d`, how long ago it is.
        created: from when on that counts, None for now.

    Raises:
        ValueError: it is something else, or before all time.
    """
    if ago := _AGO.fullmatch(text):
        try:
            return (created or datetime.now(timezone.utc)) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        except OverflowError as error:
            raise ValueError(f"{text!r} is before all time") from error
    if not _DATE.match(text):
        raise ValueError(f"{text!r} names no date")
    parsed = pendulum.parse(text, tz="UTC")
    if not isinstance(parsed, pendulum.DateTime):
        raise ValueError(f"{text!r} is not a moment")
    return parsed


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def check_secrets(name: str, text: str) -> list[Finding]:
    """What must be in no option: options are logged, kept and shown to many."""
    if secrets_in(text):
        found = "it has a password or token, which is not shown here; options are kept and shown to many"
        action = "Put the address into an Airflow connection, and change that password"
        return [Finding(f"Option {name!r}", found, action)]
    if name in _CONNECTIONS and not is_connection(text):
        return [no_connection(name)]
    return []


def _check_value(field: dataclasses.Field[object], option: Option, value: object) -> list[Finding]:
    """What is wrong with one value."""
    name = f"Option {field.name!r}"
    expected = type(field.default) if field.default is not None else str
    kinds = (int, float) if expected is float else expected
    if not isinstance(value, kinds) or (expected in (int, float) and isinstance(value, bool)):
        kind = _KINDS[expected]
        return [Finding(name, f"{value!r} is not {kind}", f"Give {kind}")]
    if option.choices and value not in option.choices:
        return [Finding(name, f"{value!r} is not one of its values", f"Choose one of {', '.join(option.choices)}")]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = value if option.minimum is None else option.minimum
        high = value if option.maximum is None else option.maximum
        if not low <= value <= high:  # NaN is not, either.
            wanted = f"of at least {low}" if option.maximum is None else f"from {low} to {high}"
            return [Finding(name, f"{value} is out of range", f"Give a number {wanted}")]
    if option.format == "moment" and value:
        try:
            _moment(str(value))
        except (ParserError, ValueError):
            return [Finding(name, f"{value!r} is not a moment", "Give one such as 2021-01-01T00:00:00Z, or -30d")]
    return []
