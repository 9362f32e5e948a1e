"""Options as people and templates give them."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from airflow_provider_tdengine.dags import migration_params
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.options import OPTIONS, MigrationOptions

REQUIRED = {"source_conn_id": "a", "target_conn_id": "b", "source_database": "power"}


def sentence(**values: object) -> str:
    with pytest.raises(MigrationStopped) as stopped:
        MigrationOptions.checked({**REQUIRED, **values})
    return str(stopped.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mode": "realtimes"}, "'realtimes' is not one of its values. Choose one of history, realtime, both."),
        ({"on_schema_change": "ignore"}, "'ignore' is not one of its values. Choose one of evolve, ask, fail."),
        ({"create_database": "maybe"}, "'maybe' is not true or false. Give true or false."),
        ({"end": "12:00"}, "'12:00' is not a moment. Give one such as 2021-01-01T00:00:00Z, or -30d."),
        ({"workers": True}, "True is not a whole number. Give a whole number."),
        ({"stables": 1}, "1 is not text. Give text."),
        ({"database_options": "KEEP 10w"}, "'10w' is not a number of days, nor one with m, h or d. "),
        ({"database_options": "VGROUPS 2 = 3"}, "'= 3' is not an option with its value. "),
        ({"database_options": "VGROUPS 2 vgroups 3"}, "VGROUPS is there twice. "),
        ({"database_options": "PRECISION 's'"}, "PRECISION 's' is none of 'ms', 'us' and 'ns'. "),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_options_do_not_take(values: dict[str, object], expected: str) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        MigrationOptions.checked({**REQUIRED, **values})
    assert str(stopped.value).startswith(f"Option {next(iter(values))!r}: {expected}")


@pytest.mark.parametrize(
    ("values", "side"),
    [
        ({"source_database": "a, b", "results_database": "b"}, "target"),
        ({"source_database": "a, b", "target_database": "*_new", "results_database": "a_new"}, "target"),
        ({"target_conn_id": "a", "target_database": "b", "results_database": "power"}, "source"),
    ],
    ids=["target of a fleet", "renamed target of a fleet", "source"],
)
def test_results_have_a_database_of_their_own(values: dict[str, object], side: str) -> None:
    found = f"it is {values['results_database']!r}, the {side} database"
    assert sentence(**values) == f"Option 'results_database': {found}. Give a database of its own."


@pytest.mark.parametrize("given", [True, "True", "true"])
def test_a_choice_takes_what_was_a_boolean(given: object) -> None:
    """A follow that has been deferred for months has options of before."""
    assert (
        MigrationOptions.checked({"source_database": "a", "target_database": "b", "delete_extra": given}).delete_extra
        == "true"
    )


def test_text_from_templates() -> None:
    options = MigrationOptions.checked(
        {**REQUIRED, "workers": "3", "create_database": "False", "start": "None", "end": ""}
    )
    assert (options.workers, options.create_database, options.start) == (3, False, None)
    assert options.window_end is None
    realtime = MigrationOptions.checked({**REQUIRED, "mode": "realtime", "poll_interval": "0.25", "delay": 3})
    assert (realtime.poll_interval, realtime.delay) == (0.25, 3)


def test_moments_may_be_those_of_yaml() -> None:
    moments = {"start": date(2022, 1, 1), "end": datetime(2022, 1, 2, tzinfo=timezone.utc)}
    options = MigrationOptions.checked({**REQUIRED, **moments})
    assert (options.start, options.end) == ("2022-01-01", "2022-01-02T00:00:00+00:00")
    form = migration_params(moments)
    assert (form["start"].value, form["end"].value) == (options.start, options.end)


def test_moments_may_be_said_as_how_long_before_the_creation_they_are() -> None:
    created = datetime(2022, 3, 1, tzinfo=timezone.utc)
    options = MigrationOptions.checked({**REQUIRED, "start": "-4w", "end": "-36h"}).ended(created)
    assert (options.start, options.end) == ("2022-02-01T00:00:00+00:00", "2022-02-27T12:00:00+00:00")
    both = MigrationOptions.checked({**REQUIRED, "mode": "both", "start": "-90d", "start_from": "-90s"})
    assert both.ended(created).start_from == "2022-02-28T23:58:30+00:00"
    for wrong in ("-3y", "-d", "30d", "-999999999w"):
        with pytest.raises(MigrationStopped, match=f"Option 'start': '{wrong}' is not a moment"):
            MigrationOptions.checked({**REQUIRED, "start": wrong})
    with pytest.raises(MigrationStopped, match="Options 'start' and 'end': start -1d is not before end -2d"):
        MigrationOptions.checked({**REQUIRED, "start": "-1d", "end": "-2d"})
    with pytest.raises(MigrationStopped, match="Option 'stop_at': it is given, and mode is history"):
        MigrationOptions.checked({**REQUIRED, "stop_at": "2022-01-01"})


def test_every_option_is_explained() -> None:
    for name, option in OPTIONS.items():
        assert option.title, name
        assert option.explanation.endswith("."), name
        assert option.section, name


def test_the_period_of_a_run_is_its_interval_or_what_is_given() -> None:
    start, end = datetime(2021, 1, 1, tzinfo=timezone.utc), datetime(2021, 1, 2, tzinfo=timezone.utc)
    options = MigrationOptions(source_database="power")
    of_run = options.of_interval(start, end)
    assert (of_run.window_start, of_run.window_end) == (start, end)
    given = MigrationOptions(source_database="power", start="2020-01-01")
    assert given.of_interval(start, end) == given.of_interval(None, None) == given
    with pytest.raises(MigrationStopped, match="The run's data interval: it goes from 2021-01-01"):
        options.of_interval(start, start)
