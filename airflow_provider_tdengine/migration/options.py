"""Every option of a migration: its default, its check and its explanation.

The one home of options: the trigger form, the operators and the docs are drawn from `OPTIONS`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
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
        explanation: what it does.
        default: its default, in words.
        change: when to change it.
        choices: the values that it takes, with what each means; empty where any value of the type will do.
        examples: values to show.
        format: `date-time` for a moment, `multiline` for lines.
        minimum: the smallest number that it takes.
        maximum: the largest number.
        required: whether it must be given.
    """

    title: str
    section: str
    explanation: str
    default: str
    change: str
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    examples: tuple[str, ...] = ()
    format: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    required: bool = False


_T = TypeVar("_T")


def _option(
    default: _T,
    title: str,
    section: str,
    explanation: str,
    change: str,
    *,
    empty: str = "",
    choices: Mapping[str, str] | None = None,
    examples: tuple[str, ...] = (),
    format: str | None = None,
    minimum: int | None = None,
    maximum: int | None = None,
    required: bool = False,
) -> _T:
    """A field with its `Option`; `empty` says what an empty default means."""
    said = empty or f"`{str(default).lower() if isinstance(default, bool) else default}`"
    option = Option(
        title, section, explanation, said, change, choices or {}, examples, format, minimum, maximum, required
    )
    field: _T = dataclasses.field(default=default, metadata={"option": option})
    return field


_MIGRATION, _SOURCE, _TARGET, _SCOPE = "Migration", "Source", "Target", "Scope"
_READING, _WRITING, _REALTIME = "Reading", "Writing", "Realtime"
_TRANSFORM, _VERIFICATION = "Transform", "Verification"
_LINES = "multiline"


@dataclass(frozen=True)
class MigrationOptions:
    """What is asked of a migration, as plain values; `checked` says what cannot be.

    Each field is explained in `OPTIONS`.
    """

    name: str = _option(
        "",
        "Name",
        _MIGRATION,
        "What this migration is called in logs and reports.",
        "Give one when several migrations run side by side.",
        empty="source and target database",
        examples=("plant north to centre",),
    )
    mode: str = _option(
        "history",
        "Mode",
        _MIGRATION,
        "Which rows are copied.",
        "Choose both to move while devices go on writing, realtime when the old rows are there already.",
        choices={
            "history": "all rows of a period, then it ends",
            "realtime": "rows that arrive from the creation of the run on, until somebody stops it",
            "both": "history, then realtime",
        },
    )
    schema: str = _option(
        "always",
        "Schema",
        _MIGRATION,
        "What happens to databases, super tables and tables before rows are copied.",
        "Choose none where somebody else makes the tables, only to look at them before rows follow.",
        choices={
            "always": "what is missing in the target is created, then rows are copied",
            "none": "the target has all tables already; only rows are copied",
            "only": "tables are created, no rows are copied",
        },
    )
    dry_run: bool = _option(
        False,
        "Dry run",
        _MIGRATION,
        "Stop after the plan and show it: tables, rows, bytes, batches, strategy, estimated duration, and all that "
        "stands in the way. Nothing is written.",
        "Switch it on before the first run of a migration.",
    )
    force: bool = _option(
        False,
        "Start over",
        _MIGRATION,
        "A copy task that is cleared after its end begins its batch anew, instead of going on from its checkpoint. "
        "Retries go on all the same; a new run copies all rows anyway.",
        "Switch it on when values may change in the source, which a checkpoint cannot see. For a run without it, clear "
        "the Task State Store of the copy task first, a tab of the task instance in Airflow 3.3.",
    )
    source_conn_id: str = _option(
        "tdengine_source",
        "Source connection",
        _SOURCE,
        "The Airflow connection (type TDengine) of the server that is read: TDengine 2.4 or later, 3.0 or later.",
        "Give another one when you move from several servers.",
        examples=("tdengine_source", "tdengine_north"),
    )
    source_database: str = _option(
        "",
        "Source database",
        _SOURCE,
        "The database that is read.",
        "Each run says which one.",
        empty="none",
        examples=("power",),
        required=True,
    )
    target_conn_id: str = _option(
        "tdengine_target",
        "Target connection",
        _TARGET,
        "The Airflow connection (type TDengine) of the server that is written: TDengine 3.0 or later.",
        "Give another one when you move to several servers, or within one.",
        examples=("tdengine_target", "tdengine_centre"),
    )
    target_database: str = _option(
        "",
        "Target database",
        _TARGET,
        "The database that is written.",
        "Give a name to rename the database, or to bring several into one.",
        empty="the source database's name",
        examples=("power_archive",),
    )
    create_database: bool = _option(
        True,
        "Create the target database",
        _TARGET,
        "Create the target database when it is missing, with the source's PRECISION and KEEP.",
        "Switch it off where databases are made by somebody else; then a missing one stops the migration.",
    )
    database_options: str = _option(
        "",
        "Database options",
        _TARGET,
        "Options of the target database when it is created, as SQL says them.",
        "Give some to size the new cluster's database; schema sync logs which options of the source are not kept, and "
        "what to give here to keep them.",
        empty="PRECISION, KEEP and DURATION of the source, everything else as the server has it",
        examples=("VGROUPS 8 REPLICA 3 CACHEMODEL 'both'",),
    )
    update_tags: bool = _option(
        False,
        "Correct tags",
        _TARGET,
        "Subtables that the target has already are those of this migration: give them the source's tag values where "
        "they differ.",
        "Switch it on when tags have changed in the source since the tables were made. Without it, a subtable that the "
        "target has with rows and other tags may be another device's: then nothing is written. Following, and "
        "TDengineReconcileOperator, do it by themselves.",
    )
    stables: str = _option(
        "",
        "Super tables",
        _SCOPE,
        "Only these super tables, separated by commas; `*` stands for any characters, `?` for one, and `@` and a path "
        "for the names in a file (see Tables).",
        "Name some to move a database piece by piece.",
        empty="all super tables and normal tables",
        examples=("meters", "meters, sensor_*"),
    )
    tables: str = _option(
        "",
        "Tables",
        _SCOPE,
        "Only these subtables and normal tables, separated by commas; `*` stands for any characters, `?` for one. One "
        "with a dot is compared with a subtable's name and with `super table.subtable`. `@` and a path stands for what "
        "a file on the workers says: UTF-8, a name or pattern a line (commas belong to the name); empty lines and "
        "lines that begin with # are passed over. It is read when a run begins; a run whose file changes stops.",
        "Name some to try a migration with a few devices first.",
        empty="all",
        examples=("d1001, d1002", "d10*, meters.*_old", "@/opt/airflow/tables.txt"),
    )
    exclude: str = _option(
        "",
        "Exclude",
        _SCOPE,
        "Not these super tables (with their subtables), subtables and normal tables, separated by commas; `*`, `?`, "
        "dots and `@` as in Tables.",
        "Name what may stay behind, such as tables of tests.",
        empty="none",
        examples=("test_*, d9999",),
    )
    start: str | None = _option(
        None,
        "Start",
        _SCOPE,
        "Rows from this moment on. A time without zone is UTC.",
        "Give one to leave old rows behind, or to copy period by period.",
        empty="the first row",
        format="date-time",
        examples=("2021-01-01T00:00:00Z",),
    )
    end: str | None = _option(
        None,
        "End",
        _SCOPE,
        "Rows before this moment. A time without zone is UTC.",
        "Give one to copy period by period.",
        empty="the moment at which the run was created, so that a retry sees the same rows",
        format="date-time",
        examples=("2022-01-01T00:00:00Z",),
    )
    workers: int = _option(
        2,
        "Workers",
        _READING,
        "Threads of each copy task; each holds one session at the source and one at the target.",
        "Give more when the servers are far away or have many cores, 1 for a small adapter of 2.6: its connection pool "
        "must hold workers x parallel tasks.",
        minimum=1,
        maximum=64,
        examples=("1", "8"),
    )
    strategy: str = _option(
        "auto",
        "Strategy",
        _READING,
        "How rows are read and written.",
        "Choose one only if you have measured that it is faster with your tables.",
        choices={
            "auto": "decided a batch, from its rows a subtable",
            "dense": "one query a subtable, rows as binary blocks",
            "sparse": "one query for many subtables, rows as INSERT statements; for few rows a subtable",
        },
    )
    max_rows_per_second: int = _option(
        0,
        "Rows a second",
        _WRITING,
        "At most so many rows a second, of the whole migration; 0 for no limit. Copy tasks cannot talk to each other: "
        "each has an equal part, the limit divided by the number of batches that may be copied at the same time. So "
        "the last ones do not use all of it. Without limits, too, a task goes slower by itself while a server says "
        "that it is busy, or takes ever longer to confirm what is written.",
        "Give a limit when others work with the servers and must not notice.",
        minimum=0,
        examples=("100000",),
    )
    max_bytes_per_second: int = _option(
        0,
        "Bytes a second",
        _WRITING,
        "At most so many bytes a second, of the blocks and statements that are written, of the whole migration; "
        "divided like the rows. 0 for no limit.",
        "Give a limit when the network between the servers is shared.",
        minimum=0,
        examples=("10000000",),
    )
    on_error: str = _option(
        "fail",
        "Refused rows",
        _WRITING,
        "What happens to a row that the target refuses: older than its KEEP, or a value that is too long.",
        "Choose dead_letter when a few bad rows must not hold up all others.",
        choices={
            "fail": "the copy task fails and names table, timestamp, column and value of the first one",
            "dead_letter": "such rows are kept as JSON lines at the dead letter path, all others arrive; the run ends "
            "red with their number, and TDengineReplayDeadLettersOperator brings them back later",
        },
    )
    dead_letter_path: str = _option(
        "",
        "Dead letter path",
        _WRITING,
        "Where refused rows are kept: a folder, or any URL of Airflow's object storage that all workers reach. Each "
        "run has a folder of its own in it.",
        "Give one with refused rows set to dead_letter, which needs it.",
        empty="none",
        examples=("file:///var/lib/airflow/dead_letters", "s3://aws_default@bucket/dead_letters"),
    )
    on_expired: str = _option(
        "fail",
        "Expired rows",
        _WRITING,
        "What happens to rows that are older than the target's KEEP; they are counted before anything is copied.",
        "Choose skip or raise_keep after a run has said how many rows they are.",
        choices={
            "fail": "the migration stops and says how many rows of which tables they are",
            "skip": "they stay behind, and their number is in the log",
            "raise_keep": "the target's KEEP is raised once, before copying, to hold them",
        },
    )
    allow_lossy_precision: bool = _option(
        False,
        "Allow coarser timestamps",
        _WRITING,
        "Copy into a database of a coarser precision, such as from ns to ms. Timestamps are cut; where rows of a table "
        "have one timestamp then, the last of them arrives, and the others are counted.",
        "Switch it on when the target is meant to be coarser; else such a target stops the migration.",
    )
    start_from: str | None = _option(
        None,
        "Start from",
        _REALTIME,
        "Rows from this moment on are followed; with mode both, rows before it are history. A time without zone is "
        "UTC.",
        "Give an earlier one when older rows are still arriving, or are missing in the target.",
        empty="the moment at which the run was created",
        format="date-time",
        examples=("2025-01-01T00:00:00Z",),
    )
    poll_interval: int = _option(
        5,
        "Poll interval",
        _REALTIME,
        "Seconds between two looks for new rows. A look is one query a super table or normal table.",
        "Give more seconds to spare the source, 1 for rows that must arrive soon.",
        minimum=1,
        maximum=86_400,
        examples=("1", "60"),
    )
    delay: int = _option(
        0,
        "Delay",
        _REALTIME,
        "Rows are copied when they are so many seconds old, by the clock of the Airflow worker.",
        "Give some for sources whose rows arrive out of order.",
        minimum=0,
        maximum=31_536_000,
        examples=("30",),
    )
    lookback: int = _option(
        10,
        "Lookback",
        _REALTIME,
        "So many seconds before those that were copied last are read and written again each time, which brings over "
        "rows that arrived late and values that were changed. Rows that are later still are not noticed.",
        "Set it to how late rows of your devices may be, but no longer, since all rows of that time are copied each "
        "time.",
        minimum=0,
        maximum=31_536_000,
        examples=("300",),
    )
    follow_shards: int = _option(
        1,
        "Shards",
        _REALTIME,
        "How many tasks follow, each a range of subtables by name, with a watermark of its own.",
        "Give more only where one task falls behind, which its log says.",
        minimum=1,
        maximum=64,
        examples=("4",),
    )
    schema_poll_interval: int = _option(
        5,
        "Schema poll interval",
        _REALTIME,
        "Seconds between two looks for new tables, columns and tags and for changed tag values, which read the tags "
        "of all subtables. They are rarer than that where a look takes longer than a tenth of it.",
        "Give more seconds where tables are seldom added.",
        minimum=1,
        maximum=86_400,
        examples=("60",),
    )
    on_schema_change: str = _option(
        "evolve",
        "Schema changes",
        _REALTIME,
        "What happens when tables, columns or tags come up in the source, or a tag's value changes, while it is "
        "followed.",
        "Choose fail where somebody has to agree to each change.",
        choices={
            "evolve": "the target gets the same; of new tables, all rows are copied, late ones too",
            "fail": "following stops and names each change",
        },
    )
    rename_stables: str = _option(
        "",
        "Rename super tables",
        _TRANSFORM,
        "New names of super tables, one rule a line: `old -> new`; `* -> site_*` (a prefix, `*` and `?` stand for "
        "what they matched); `/^old_/ -> new_` (a regular expression and its replacement, with `\\1` for groups); or "
        "`@names.csv`, a file with two columns, old and new. Names come before patterns; the first pattern that "
        "matches counts.",
        "Give rules when the new cluster has other names, or to keep several sources apart.",
        empty="the names of the source",
        format=_LINES,
        examples=("meters -> power_meters", "* -> beijing_*"),
    )
    rename_tables: str = _option(
        "",
        "Rename tables",
        _TRANSFORM,
        "New names of subtables and normal tables, with rules as for super tables.",
        "Give rules for names that TDengine 3 refuses (with a dot, of more than 192 bytes), and to merge databases "
        "that use the same names.",
        empty="the names of the source",
        format=_LINES,
        examples=("* -> beijing_*", "/\\./ -> _", "@names.csv"),
    )
    rename_columns: str = _option(
        "",
        "Rename columns and tags",
        _TRANSFORM,
        "New names of columns and tags, with rules as for super tables. A rule for one table says `table.column`.",
        "Give rules when the target's tables have other names for them.",
        empty="the names of the source",
        format=_LINES,
        examples=("meters.current -> amperes", "/^f_/ -> "),
    )
    add_tags: str = _option(
        "",
        "Constant tags",
        _TRANSFORM,
        "Tags that all subtables have in the target with one value, one a line: `site=beijing`, or with a type "
        "`line:INT=3`. A subtable with rows that the target has with another value of it belongs to another site: then "
        "nothing is written.",
        "Give one to say where rows came from when several databases become one.",
        empty="none",
        format=_LINES,
        examples=("site=beijing", "line:INT=3"),
    )
    columns: str = _option(
        "",
        "Columns",
        _TRANSFORM,
        "Only these columns (the primary key is always copied), separated by commas; `*` and `?` stand for any "
        "characters, `table.column` names a column of one table.",
        "Name some when only they are needed in the target.",
        empty="all",
        examples=("current, voltage", "meters.v*"),
    )
    exclude_columns: str = _option(
        "",
        "Exclude columns",
        _TRANSFORM,
        "Not these columns, named as above.",
        "Name those that may stay behind.",
        empty="none",
        examples=("debug_*",),
    )
    where: str = _option(
        "",
        "Row filter",
        _TRANSFORM,
        "Only rows that meet this condition on columns and tags, in the SQL of the source. Source and target are "
        "compared for these rows, so the target should hold no others.",
        "Give one to leave bad or unneeded rows behind.",
        empty="all rows",
        examples=("voltage > 0", "`phase` IS NOT NULL AND current < 100"),
    )
    verify: str = _option(
        "full",
        "Verification",
        _VERIFICATION,
        "What is compared after copying. A difference that no repair mends fails the run. Tags are compared at all "
        "levels, unless schema is none.",
        "Choose aggregate or count for comparisons without a copy that must be cheap, none only where something else "
        "compares.",
        choices={
            "full": "every row, by a digest: the copy adds up what it reads, so that only the target is read again; "
            "without a copy both sides are read",
            "aggregate": "rows, first and last timestamp of every table, and values, smallest, largest and sum of "
            "every column, as far as both servers know them",
            "count": "rows, first and last timestamp of every table",
            "none": "nothing; the run's colour then says nothing about completeness",
        },
    )
    repair_rounds: int = _option(
        2,
        "Repair rounds",
        _VERIFICATION,
        "How often tables that differ are mended and compared again: the part that differs is found by halving the "
        "period, and copied again.",
        "Choose 0 to leave differences as they are.",
        minimum=0,
        maximum=10,
    )
    certificate_path: str = _option(
        "",
        "Certificate",
        _VERIFICATION,
        "Where the result is kept as certificate.json and certificate.html: a folder, or any URL of Airflow's object "
        "storage. Each run has a folder of its own there, and in it each task that compares.",
        "Give one where somebody will ask for a proof.",
        empty="none is written",
        examples=("s3://aws_default@migrations/certificates", "file:///var/lib/airflow/certificates"),
    )
    delete_extra: bool = _option(
        False,
        "Delete extra rows",
        _VERIFICATION,
        "Whether a repair deletes rows of migrated tables that only the target has in the period.",
        "Leave it off where anything else writes into these tables of the target.",
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
        findings = [
            Finding(f"Option {name!r}", "there is no such option", f"The options are {', '.join(OPTIONS)}")
            for name in values.keys() - OPTIONS.keys()
        ]
        given, wrong = {}, set()
        for field in dataclasses.fields(cls):
            value = values.get(field.name)
            if isinstance(value, str):
                value = _untemplated(field, value.strip())
            if value is None:
                continue
            found = _check_secrets(field.name, value) if isinstance(value, str) else []
            if found := found or _check_value(field, value):
                findings += found
                wrong.add(field.name)
            else:
                given[field.name] = value
        options = cls(**given)  # type: ignore[arg-type]
        return options, [*findings, *options._contradictions(wrong)]

    def _contradictions(self, wrong: Set[str]) -> Iterator[Finding]:
        """What is missing, and what does not go together.

        Parameters:
            wrong: options that stand with their defaults, in place of what cannot be: nothing is said of them.
        """
        for name, option in OPTIONS.items():
            if option.required and name not in wrong and not getattr(self, name):
                yield Finding(f"Option {name!r}", "it is empty", "Give one; " + option.explanation.rstrip("."))
        for check, names in (
            (self._check_period, {"mode", "start", "end", "start_from"}),
            (self._check_mode, {"mode", "schema", "start", "end", "start_from"}),
            (self._check_database_options, {"database_options"}),
            (self._check_dead_letters, {"on_error", "dead_letter_path"}),
            (self._check_sides, {"source_conn_id", "source_database", "target_conn_id", "target_database"}),
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

    def _check_dead_letters(self) -> Iterator[Finding]:
        if self.on_error == "dead_letter" and not self.dead_letter_path:
            found = "it is empty, and on_error is dead_letter"
            yield Finding("Option 'dead_letter_path'", found, "Give a folder or an object storage URL")

    def _check_sides(self) -> Iterator[Finding]:
        same_database = self.target_database in ("", self.source_database)
        if self.source_conn_id == self.target_conn_id and same_database:
            found = f"both name {self.source_conn_id!r}, and the database {self.source_database!r}"
            yield onto_itself(found, "connection")

    def _check_mode(self) -> Iterator[Finding]:
        """Options that mean nothing in this mode, or something else than they seem to."""
        if not self.follows:
            if self.start_from:
                yield Finding("Option 'start_from'", "it is given, and mode is history", "Choose mode realtime or both")
            return
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
    def copies_history(self) -> bool:
        """Whether rows of before are copied."""
        return self.schema != "only" and self.mode != "realtime"

    @property
    def target(self) -> str:
        """The target database's name."""
        return self.target_database or self.source_database

    @property
    def label(self) -> str:
        """What the migration is called."""
        return self.name or f"{self.source_database} to {self.target}"

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

    def ended(self, created: datetime) -> MigrationOptions:
        """The same with an end of history: the moment of creation where none was given."""
        if self.window_end:
            return self
        moment = created.isoformat()
        return dataclasses.replace(self, start_from=moment) if self.follows else dataclasses.replace(self, end=moment)

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

    def to_dict(self) -> dict[str, str | int | bool | None]:
        """For JSON and for `checked`."""
        return dataclasses.asdict(self)


OPTIONS: dict[str, Option] = {
    field.name: cast(Option, field.metadata["option"]) for field in dataclasses.fields(MigrationOptions)
}

_KINDS: dict[type[object], str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}

_CONNECTIONS = ("source_conn_id", "target_conn_id")

# Signs that Airflow allows; of an address with a password, they lack the @ and the ? of a token.
_CONNECTION = re.compile(r"[\w#!()\-.:/\\]*")

_DATE = re.compile(r"\d{4}-?\d\d-?\d\d")


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


def _untemplated(field: dataclasses.Field[object], text: str) -> object:
    """The value that a template's text stands for: templates make text of numbers, booleans and None."""
    if text == "None":
        return None
    if isinstance(field.default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(field.default, int) and text.isdecimal():
        return int(text)
    return text


def _moment(text: str) -> datetime:
    """An aware moment of an ISO 8601 text with a date; UTC where it names no zone."""
    if not _DATE.match(text):
        raise ValueError(f"{text!r} names no date")
    parsed = pendulum.parse(text, tz="UTC")
    if not isinstance(parsed, pendulum.DateTime):
        raise ValueError(f"{text!r} is not a moment")
    return parsed


def _check_secrets(name: str, text: str) -> list[Finding]:
    """What must be in no option: options are logged, kept and shown to many."""
    if secrets_in(text):
        found = "it has a password or token, which is not shown here; options are kept and shown to many"
        action = "Put the address into an Airflow connection, and change that password"
        return [Finding(f"Option {name!r}", found, action)]
    if name in _CONNECTIONS and not is_connection(text):
        return [no_connection(name)]
    return []


def _check_value(field: dataclasses.Field[object], value: object) -> list[Finding]:
    """What is wrong with one value."""
    option = OPTIONS[field.name]
    name = f"Option {field.name!r}"
    expected = type(field.default) if field.default is not None else str
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        kind = _KINDS[expected]
        return [Finding(name, f"{value!r} is not {kind}", f"Give {kind}")]
    if option.choices and value not in option.choices:
        return [Finding(name, f"{value!r} is not one of its values", f"Choose one of {', '.join(option.choices)}")]
    if isinstance(value, int) and not isinstance(value, bool):
        low = value if option.minimum is None else option.minimum
        high = value if option.maximum is None else option.maximum
        if not low <= value <= high:
            wanted = f"of at least {low}" if option.maximum is None else f"from {low} to {high}"
            return [Finding(name, f"{value} is out of range", f"Give a number {wanted}")]
    if option.format == "date-time" and value:
        try:
            _moment(str(value))
        except (ParserError, ValueError):
            return [Finding(name, f"{value!r} is not a moment", "Give one such as 2021-01-01T00:00:00Z")]
    return []
