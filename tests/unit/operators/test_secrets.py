"""A password is in nothing that is written: not on the screen, in logs, XComs, rendered templates, files, exceptions.

Failing commands and operators are given passwords where they belong, and where they do not.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.options import OPTIONS
from airflow_provider_tdengine.operators.dead_letters import TDengineReplayDeadLettersOperator
from airflow_provider_tdengine.operators.migration import TDengineResolveOperator

from .conftest import SECRET, Plant
from .test_stages import Run, run

__all__ = ["run"]

MARK = "m4rked-w0rd"

URLS = ["ws://root:{}@127.0.0.1:1/x", "ws:/root:{}@127.0.0.1", "ws//root:{}@h", "ws://127.0.0.1:1/?token={}"]

WRITTEN = ("root:{}@h", "ws:root:{}@h", "root:{}/x@h:6041")
"""What is no address, where one is expected."""


@pytest.fixture
def searched(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., None]]:
    """Searches all that was written since it was called last, and what it is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retry, "FIRST_CONTACT", 0.0)
    caplog.set_level("DEBUG")

    def search(*more: object) -> None:
        said = capfd.readouterr()
        logged = [record.getMessage() + (record.exc_text or "") for record in caplog.records]
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        texts = [said.out, said.err, *logged, *map(str, tmp_path.rglob("*")), *map(str, more)]
        texts += [file.read_text(encoding="utf-8", errors="replace") for file in files]
        for text in texts:
            assert MARK not in text
            assert SECRET not in text
        caplog.clear()

    yield search
    search()


def failed(action: Callable[[], object]) -> str:
    """All that Python says of how something fails."""
    with pytest.raises((Exception, SystemExit)) as caught:
        action()
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def status(*arguments: str) -> object:
    """Of the command line, whoever ends it."""
    try:
        return cli.main(arguments)
    except SystemExit as ended:
        return ended.code


# --- Where none belongs


@pytest.mark.parametrize("url", [*URLS, *WRITTEN])
def test_an_address_in_any_option_of_the_command_line(url: str, searched: Callable[..., None]) -> None:
    text = url.format(MARK)
    sides = {"source_conn_id": "ws://127.0.0.1:1", "target_conn_id": "ws://127.0.0.1:1", "source_database": "a"}
    for name, option in OPTIONS.items():
        if url in WRITTEN and not name.endswith("conn_id"):
            continue
        given = [f"--{one.replace('_', '-')}={value}" for one, value in {**sides, name: text}.items()]
        assert status("plan", "--state", "x", *given) == cli._USAGE, option
    if url in URLS:
        for wrong in (["migrate", "--state", text, "--source-database", "a"], ["plan", text], [text], [f"--{text}"]):
            assert status(*wrong) == cli._USAGE
    searched()


@pytest.mark.parametrize("url", [*URLS, *WRITTEN])
def test_an_address_in_any_option_of_an_operator(url: str, searched: Callable[..., None]) -> None:
    text = url.format(MARK)
    for name in OPTIONS:
        if url in WRITTEN and not name.endswith("conn_id"):
            continue
        options: dict[str, Any] = {"source_database": "a", "target_database": "b", name: text}
        operator = TDengineResolveOperator(task_id="resolve", options=options)
        context: Any = {}
        if url in URLS:
            operator.render_template_fields(context)
            searched(_serialize_rendered_fields(operator))
        searched(failed(lambda operator=operator, context=context: operator.execute(context)))  # type: ignore[misc]
    letters = TDengineReplayDeadLettersOperator(task_id="x", path="file:///x", target_database="b", target_conn_id=text)
    searched(failed(lambda: letters.execute({})))


@pytest.mark.parametrize("field", ["host", "login", "schema", "protocol", "timeout", "verify", "timezone", "ca_file"])
@pytest.mark.parametrize("url", [*URLS, *WRITTEN])
def test_an_address_in_any_field_of_a_connection(
    field: str, url: str, searched: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if field in ("login", "schema", "ca_file") and url in WRITTEN:
        return
    values: dict[str, Any] = {"conn_type": "tdengine", "host": "127.0.0.1", "port": 1, "extra": {"connect_timeout": 1}}
    text = url.format(MARK)
    if field in ("host", "login", "schema"):
        values[field] = text
    else:
        values["extra"] |= {field: text, **({"protocol": "wss"} if field == "ca_file" else {})}
    monkeypatch.setattr(TDengineHook, "connection", property(lambda hook: _Connection(values)))
    monkeypatch.setattr(TDengineHook, "connection_extra", property(lambda hook: values["extra"]))
    hook = TDengineHook("plain")
    searched(hook.test_connection())
    if field == "timezone":
        searched(failed(lambda: hook.time_zone))


class _Connection:
    """A connection's fields, as Airflow gives them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.host, self.port = values["host"], values["port"]
        self.login, self.password, self.schema = values.get("login"), None, values.get("schema")


# --- Where it belongs


def test_a_run_that_goes_well_and_refuses_rows(run: Run, searched: Callable[..., None], tmp_path: Path) -> None:
    run.options |= {
        "on_error": "dead_letter",
        "dead_letter_path": f"file://{tmp_path}/letters",
        "certificate_path": f"file://{tmp_path}/proof",
    }
    run.plant.source.execute("create table plant.far (ts timestamp, due timestamp)")
    run.plant.source.execute("insert into plant.far values (1609459200000, 9999999999999)")
    run.plant.target.execute("create database follower precision 'ns' keep 36500")
    run.options["dry_run"] = True
    run.resolve()
    run.plan()
    assert list(tmp_path.rglob("assessment.html"))
    searched(run.xcoms)
    run.options["dry_run"] = False
    run.all()
    assert list(tmp_path.rglob("*.jsonl"))
    assert list(tmp_path.rglob("certificate.html"))
    searched(run.xcoms, [store.text for store in run.stores.values()], run.resolved)


def url(box: Any, user: str, password: str) -> str:
    return str(box.url).replace("http://", f"ws://{user}:{password}@")


def test_what_an_account_may_not_do_and_a_wrong_password(
    plant: Plant, searched: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for box in (plant.source, plant.target):
        password = f"pass '{MARK}'" + ("" if box.version.startswith("2") else " sysinfo 0")
        box.execute(f"create user nobody {password}")
    root = [url(box, "root", SECRET) for box in (plant.source, plant.target)]
    stranger = [url(box, "nobody", MARK) for box in (plant.source, plant.target)]
    wrong = [url(box, "root", MARK) for box in (plant.source, plant.target)]
    for source, target in ((root[0], stranger[1]), (wrong[0], root[1]), (root[0], wrong[1]), (wrong[0], stranger[1])):
        sides = [f"--source-conn-id={source}", f"--target-conn-id={target}"]
        for command in ("plan", "migrate", "verify", "status"):
            given = [*sides, "--source-database=plant", "--target-database=other", "--schema=always"]
            assert cli.main([command, "--verbose", "--state=state", *given]) != 0 or command in ("plan", "status")
    searched()
    for side, box in (("SOURCE", plant.source), ("TARGET", plant.target)):
        monkeypatch.setenv(f"AIRFLOW_CONN_TDENGINE_{side}", url(box, "nobody", MARK).replace("ws://", "tdengine://"))
    operator = TDengineResolveOperator(task_id="resolve", options={**plant.options, "schema": "none"})
    context: Any = {"dag_run": None}
    searched(failed(lambda: operator.execute(context)))


def test_an_interrupted_command_leaves_none(
    plant: Plant, searched: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **named: object) -> object:
        raise TDengineError(f"it ends, with ws://root:{SECRET}@h")

    plant.source.execute("insert into plant.d0 values (1609459200000, 1.5)")
    monkeypatch.setattr(cli, "copy_batch", interrupted)
    addresses = [url(box, "root", SECRET) for box in (plant.source, plant.target)]
    sides = [f"--source-conn-id={addresses[0]}", f"--target-conn-id={addresses[1]}"]
    databases = ["--source-database=plant", "--target-database=follower"]
    assert cli.main(["migrate", "--verbose", *sides, *databases]) == 1
    assert list(Path().rglob("plan.json"))
    searched()
