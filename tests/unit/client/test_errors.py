"""Errors: one class a kind of failure, with what a person and a retry need to know, and without secrets."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_tdengine.client import errors
from airflow_provider_tdengine.client.errors import (
    CODES,
    AlreadyExists,
    AuthenticationFailed,
    BlockError,
    ConnectionFailed,
    DatabaseMissing,
    RowRejected,
    ServerBusy,
    StatementRejected,
    TableMissing,
    TDengineError,
    Timeout,
    error_for,
    shorten,
)

from .client_recordings import VERSIONS, rest_bodies

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TDengineError)
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling(kind: type[TDengineError]) -> None:
    # Airflow hands errors from one process to another.
    error = pickle.loads(pickle.dumps(kind("What was wrong", code=0x0360, statement="select 1")))
    assert type(error) is kind
    assert str(error) == "What was wrong [code 864, 0x0360] in: select 1"
    assert (error.message, error.code, error.statement) == ("What was wrong", 864, "select 1")
    assert error.retryable is kind.retryable


def test_a_retry_helps_where_the_server_was_away_or_busy_and_nowhere_else() -> None:
    may = {kind.__name__ for kind in KINDS if kind.retryable}
    assert may == {"ConnectionFailed", "Timeout", "ServerBusy", "IncompleteResult"}


def test_an_error_says_only_what_it_has() -> None:
    assert str(TDengineError("Only this")) == "Only this"
    assert str(TDengineError("This", code=65535)) == "This [code 65535, 0xFFFF]"
    assert str(TDengineError("This", statement="select\n  1")) == "This in: select 1"


@pytest.mark.parametrize("length", [0, 1, 299, 300, 301, 599, 600, 601, 1_000_000])
def test_statements_are_shown_short_and_in_one_line(length: int) -> None:
    shown = shorten("x" * length)
    if length <= 300:
        assert shown == "x" * length
    else:
        assert shown == f"{'x' * 300}… ({length} characters)"
    assert "\n" not in shorten("select 1,\n  2\n" * 100)
    assert len(shorten(" " * 500 + "a" * 500)) < 350


@pytest.mark.parametrize(
    "statement",
    [
        "create user bob pass 'hush-hush'",
        "CREATE USER bob PASS 'hush-\\'hush' SYSINFO 1",
        'alter user root  pass\n"hush-hush"',
        "create user " + "b" * 585 + " pass 'hush-hush-hush'",
        "create user " + "b" * 270 + " pass 'hush-hush-hush'",
    ],
)
def test_passwords_in_statements_are_not_shown(statement: str) -> None:
    for shown in (shorten(statement), str(TDengineError("m", statement=statement))):
        assert "hush" not in shown
        assert "user" in shown.lower()


def test_pass_as_a_name_is_no_password() -> None:
    assert shorten("select pass from t where a = 'b'") == "select pass from t where a = 'b'"


RECORDED = {
    "wrong_password": AuthenticationFailed,
    "no_login": AuthenticationFailed,
    "syntax_error": StatementRejected,
    "create_db_again": AlreadyExists,
    "create_stable_again": AlreadyExists,
    "create_child_again": AlreadyExists,
    "insert_out_of_keep": RowRejected,
    "insert_too_long": RowRejected,
    "describe_missing": TableMissing,
    "count_missing": TableMissing,
    "add_column_again": AlreadyExists,
    "drop_missing": TableMissing,
}


def refusals() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What each version answered to these steps; some carry a few of them out."""
    for version in VERSIONS:
        for step in RECORDED:
            body = json.loads(next(line["body"] for line in rest_bodies(version) if line["step"] == step))
            if body.get("code"):
                yield version, step, body


@pytest.mark.parametrize(("version", "step", "body"), refusals())
def test_recorded_errors_are_of_their_kind(version: str, step: str, body: dict[str, Any]) -> None:
    kind = RECORDED[step]
    error = error_for(body["code"], body["desc"], "some statement")
    # 2.x refuses a value like any other mistake in a statement.
    expected = (kind, StatementRejected) if version < "3" and kind in (RowRejected, AlreadyExists) else (kind,)
    assert type(error) in expected
    assert body["desc"] in str(error)
    assert f"code {body['code']}" in str(error)
    # A wrong password and a taosd that is away are one answer of the adapter of 2.4.
    assert error.retryable is (version == "2.4.0.18" and step == "wrong_password")


def test_a_missing_database_and_a_missing_table_share_a_code_and_are_told_apart() -> None:
    assert type(error_for(9826, "Fail to get table info, error: Database not exist")) is DatabaseMissing
    assert type(error_for(9826, "Fail to get table info, error: Table does not exist")) is TableMissing


def test_a_refused_login_of_2_4_is_told_from_other_failures_of_its_adapter() -> None:
    refused = "factory is not able to fill the pool: [0x20b] invalid connection"
    assert type(error_for(65535, refused)) is AuthenticationFailed
    assert type(error_for(65535, "result is nil")) is StatementRejected


@pytest.mark.parametrize("code", [0x80000360 - (1 << 32), 0x80000360, 0x0360])
def test_codes_come_with_or_without_their_sign_bits(code: int) -> None:
    error = error_for(code, "Table already exists")
    assert type(error) is AlreadyExists
    assert error.code == 0x0360


def test_codes_of_kinds_that_pass_are_retryable() -> None:
    for code, kind in CODES.items():
        assert error_for(code, "x").retryable is (kind in (ConnectionFailed, ServerBusy, Timeout))
    assert not error_for(0x7777, "unknown").retryable
    assert not BlockError("x").retryable
