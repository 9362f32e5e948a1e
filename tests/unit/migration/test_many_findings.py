"""Many tables with the same mistake are a few sentences, in messages as well as in XCom."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_provider_tdengine.migration.findings import Finding, Findings, MigrationStopped, Severity, sent, stop_on
from airflow_provider_tdengine.migration.planning import preview
from airflow_provider_tdengine.migration.rows import Transform

from .conftest import SOURCE, TARGET, BoxPair, Pair, T

MANY = 1_000


@pytest.fixture
def dotted(faulty: BoxPair) -> BoxPair:
    """Subtables whose names TDengine 3 refuses; or, from 3.x, would after they are renamed."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int)",
    )
    for start in range(0, MANY, 100):
        tables = " ".join(f"{SOURCE}.d{i} using {SOURCE}.m tags ({i})" for i in range(start, start + 100))
        faulty.sql(f"create table {tables}")
    return faulty


def test_a_thousand_names_with_a_dot(dotted: BoxPair) -> None:
    found = preview(*dotted.catalogs, dotted.options(rename_tables="/^d/ -> 10.0."))
    assert len(found.blockers) == 10
    *first, last = found.blockers
    assert all(finding.object.startswith("Table '10.0.") for finding in first)
    assert f"and {MANY - 10} more ('10.0." in last.object
    assert len(json.dumps(found.to_dict())) < 10_000
    with pytest.raises(MigrationStopped) as stopped:
        dotted.sync(rename_tables="/^d/ -> 10.0.")
    assert len(str(stopped.value)) < 5_000
    assert dotted.catalogs[1].database() is None


def test_a_thousand_devices_of_another_site(dotted: BoxPair) -> None:
    dotted.sync()
    dotted.target.execute(f"insert into {TARGET}." + f" {TARGET}.".join(f"d{i} values ({T}, 1)" for i in range(MANY)))
    dotted.target.execute(f"alter stable {TARGET}.m add tag site int")
    with pytest.raises(MigrationStopped) as stopped:
        dotted.sync(add_tags="site:INT=1")
    assert str(stopped.value).startswith("10 findings:\n")
    assert f" and {MANY - 10} more (" in str(stopped.value)


def alike(number: int, severity: Severity = Severity.BLOCKER) -> Iterator[Finding]:
    return (Finding(f"Table 'd{i}'", f"its tag is {i}", "Do something", severity, "tags") for i in range(number))


def test_a_few_are_said_as_they_are() -> None:
    few = [*alike(10), Finding("Option 'x'", "it is empty", "Give one")]
    assert Findings(few).said() == few


def test_of_many_the_number_and_names_are_said() -> None:
    said = [str(finding) for finding in Findings(alike(12)).said()]
    assert said[2] == "Table 'd2': its tag is 2. Do something."
    assert said[9:] == ["Table 'd9' and 2 more ('d10', 'd11'): its tag is 9. Do something."]
    assert Findings(alike(100)).said()[9].object.endswith("'d29', …)")


def test_what_was_said_can_be_said_again() -> None:
    said = Findings(alike(100)).said()
    assert Findings(said).said() == said
    with pytest.raises(MigrationStopped) as stopped:
        stop_on([*said, *alike(3, Severity.WARNING)])
    assert stopped.value.findings == said


_HUNDRED_THOUSAND = """
import tracemalloc
from airflow_provider_tdengine.migration.findings import Finding, Findings, Severity
tracemalloc.start()
many = (Finding(f"Table 'd{i}'", f"its tag is {i}", "Do something", Severity.BLOCKER, "tags") for i in range(100_000))
assert len(Findings(many).said()) == 10
print(tracemalloc.get_traced_memory()[1])
"""


def test_many_findings_take_little_memory() -> None:
    """In a process of its own: threads of other tests' boxes need memory, too."""
    said = subprocess.run([sys.executable, "-c", _HUNDRED_THOUSAND], check=True, capture_output=True, text=True)
    assert int(said.stdout) < 100_000


def test_what_is_sent_is_bounded_and_begins_with_what_stands_in_the_way() -> None:
    findings = [Finding(f"View 'v{i}'", f"it is {i}", "x" * 5_000, Severity.WARNING) for i in range(500)]
    findings.append(Finding("Option 'x'", "it is empty", "Give one"))
    out = sent(findings)
    assert len(json.dumps(out)) < 100 * 700
    assert out[0] == Finding("Option 'x'", "it is empty", "Give one").to_dict()
    assert out[-1] == {
        "object": "401 more findings",
        "found": "they are left out here",
        "action": "The log of the task has them",
        "severity": "warning",
    }


def test_a_rule_that_gives_all_tables_one_name(pair: Pair) -> None:
    names = [f"d{i}" for i in range(MANY)]
    (finding,) = Transform.of(pair.options(rename_tables="/.*/ -> x")).collisions(lambda: names)
    assert finding.object.startswith("Tables 'd0', ")
    assert finding.object.endswith(f" and {MANY - 10} more")
    twins = [name + letter for name in names for letter in "ab"]
    pairs = list(Transform.of(pair.options(rename_tables="/[ab]$/ -> ")).collisions(lambda: twins))
    assert len(pairs) == 11
    assert str(pairs[-1]).startswith(f"{MANY - 10} more names: several tables would be called so in the target")
