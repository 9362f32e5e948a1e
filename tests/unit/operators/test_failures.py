"""How a task fails: what is known in sentences, each on lines of its own; all else as it is."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_tdengine.client.errors import ServerBusy, StatementRejected
from airflow_provider_tdengine.compat import AirflowException, AirflowFailException
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.operators.migration import clear_failures

FINDINGS = [
    Finding("Option 'stables'", "the database has no super table 'metres'", "It has meters"),
    Finding("Connection 'x'", "it is " + "long " * 30 + "ws://root:taosdata@h:6041", "Create it"),
]


def test_causes_and_remedies_have_lines_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AirflowFailException) as raised, clear_failures():
        raise MigrationStopped(FINDINGS)
    (text,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    lines = text.split("\n")
    assert lines[:3] == [
        "2 findings:",
        "Option 'stables': the database has no super table 'metres'.",
        "  → It has meters.",
    ]
    assert lines[-1] == "  → Create it."
    assert max(map(len, lines)) <= 125
    assert "taosdata" not in text
    # Whoever is told of the exception reads the same.
    assert str(raised.value).splitlines()[:3] == lines[:3]


@pytest.mark.parametrize(
    ("error", "kind"), [(ServerBusy("busy"), AirflowException), (StatementRejected("no"), AirflowFailException)]
)
def test_a_sentence_needs_no_traceback(
    error: Exception, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AirflowException) as raised, clear_failures():
        raise error
    assert type(raised.value) is kind, "Airflow tries again what a retry can cure"
    assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)
    traced = [record.levelno for record in caplog.records if record.exc_info]
    assert traced == [logging.DEBUG]


def test_what_is_not_known_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), clear_failures():
        print(1 // 0)
    assert not caplog.records
