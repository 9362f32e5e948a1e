"""The verdict: one sentence for each thing that a comparison may come to, and numbers that add up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.migration.comparing import Kind, Verdict

ALL = Verdict(tables=2, rows=20, arrived=10, refused=1, expired=4, collisions=5, after_end=1000, vanished=1)


@pytest.mark.parametrize(
    ("verdict", "kind", "label", "words"),
    [
        (Verdict(3, 3000, 3000), Kind.EQUAL, "equal", "Equal: 3,000 rows in 3 tables"),
        (Verdict(1, 1, 1), Kind.EQUAL, "equal", "Equal: 1 row in 1 table"),
        (Verdict(), Kind.EQUAL, "equal", "Equal: 0 rows in 0 tables"),
        (Verdict(3, 9, 9, reread=2), Kind.EQUAL, "equal", "Equal: 9 rows in 3 tables"),
        (Verdict(3, 9, 9, as_of=1.6e9), Kind.EQUAL, "equal", "Equal as copied: 9 rows in 3 tables"),
        # The rows that were refused may have been among those that were compared, or not.
        (Verdict(1, 3, 2, refused=1), Kind.EQUAL_BUT, "1 row refused", "2 of 3 rows arrived, 1 refused"),
        (Verdict(1, 2, 2, refused=1), Kind.EQUAL_BUT, "1 row refused", "2 of 3 rows arrived, 1 refused"),
        (
            Verdict(1, 1200, 0, refused=1200),
            Kind.EQUAL_BUT,
            "1,200 rows refused",
            "0 of 1,200 rows arrived, 1,200 refused",
        ),
        (
            Verdict(2, 3, 3, expired=4),
            Kind.EQUAL_BUT,
            "equal but for 4 expired rows",
            "Equal but for 4 expired rows: 3 of 7 rows in 2 tables",
        ),
        (
            Verdict(2, 3, 3, expired=4, as_of=1.6e9),
            Kind.EQUAL_BUT,
            "equal but for 4 expired rows",
            "Equal as copied but for 4 expired rows: 3 of 7 rows in 2 tables",
        ),
        (
            Verdict(1, 10, 5, collisions=5),
            Kind.EQUAL_BUT,
            "equal but for 5 rows for which a later one stands",
            "Equal but for 5 rows for which a later one stands: 5 of 10 rows in 1 table",
        ),
        (
            Verdict(1, 1, 1, after_end=1000),
            Kind.EQUAL_BUT,
            "equal but for 1,000 rows at or after the end of history",
            "Equal but for 1,000 rows at or after the end of history: 1 row in 1 table",
        ),
        (
            Verdict(2, 8, 8, vanished=1),
            Kind.EQUAL_BUT,
            "equal but for 1 table that vanished from the source",
            "Equal but for 1 table that vanished from the source: 8 rows in 2 tables",
        ),
        (
            ALL,
            Kind.EQUAL_BUT,
            "1 row refused",
            "10 of 20 rows arrived, 1 refused; left out as well: 4 expired rows, 5 rows for which a later one stands, "
            "1,000 rows at or after the end of history and 1 table that vanished from the source",
        ),
        (Verdict(3, 9, 9, different=1), Kind.DIFFERENT, "different", "Different: 1 of 3 tables"),
        (
            Verdict(1, 9, 8, different=1, missing=1),
            Kind.DIFFERENT,
            "different",
            "Different: 1 of 1 table; of their rows 1 missing",
        ),
        (
            Verdict(3, 3000, 2999, refused=2, different=2, missing=1200, changed=2, extra=9),
            Kind.DIFFERENT,
            "different",
            "Different: 2 of 3 tables; of their rows 1,200 missing, 2 changed, 9 only in the target; 2 rows refused",
        ),
        # Super tables that the target lacks have no tables with rows that were compared.
        (Verdict(0, different=1), Kind.DIFFERENT, "different", "Different: 1 table"),
        (Verdict(1, different=2), Kind.DIFFERENT, "different", "Different: 2 tables"),
        # Nothing was found, and the numbers say otherwise.
        (Verdict(1, 3, 2), Kind.DIFFERENT, "different", "Different: 3 rows in the source, 2 in the target"),
        (Verdict(1, 1, 2), Kind.DIFFERENT, "different", "Different: 1 row in the source, 2 in the target"),
        (
            Verdict(1, 9, 2, refused=1),
            Kind.DIFFERENT,
            "different",
            "Different: 9 rows in the source, 2 in the target; 1 row refused",
        ),
        (
            Verdict(not_compared="verify is none"),
            Kind.NOT_COMPARED,
            "not compared",
            "Not compared: verify is none",
        ),
        (Verdict(3, 9, 9, different=1, not_compared="x"), Kind.DIFFERENT, "different", "Different: 1 of 3 tables"),
    ],
)
def test_what_is_said(verdict: Verdict, kind: Kind, label: str, words: str) -> None:
    assert (verdict.kind, verdict.label, verdict.words) == (kind, label, words)
    assert verdict.is_equal is (kind is Kind.EQUAL)
    assert verdict.is_whole is (kind in (Kind.EQUAL, Kind.EQUAL_BUT) and not verdict.refused)
    told = verdict.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert (told["kind"], told["words"], told["refused"]) == (kind.value, words, verdict.refused)


@pytest.mark.parametrize(
    ("verdict", "note"),
    [
        (Verdict(refused=1), "The target refused 1 row; dead letters keep them."),
        (Verdict(expired=4), "Left out as one side does not keep rows that old, or soon will not: 4 rows."),
        (
            Verdict(collisions=1),
            "1 row of the source has the timestamp of a later one when it is cut to the target's precision; "
            "the later one is there.",
        ),
        (
            Verdict(after_end=2),
            "At or after the end of history, where this run was created, the source has 2 rows: give a later end, "
            "or follow them with mode both.",
        ),
        (Verdict(vanished=1), "Since the migration was planned, 1 table vanished from the source."),
        (
            Verdict(as_of=1.6e9),
            "The target has what the source had when it was copied, from 2020-09-13 12:26:40 UTC on. Values that were "
            "changed there since have not been compared.",
        ),
        (Verdict(reread=2), "The source of 2 batches changed after it was copied, and was read again."),
    ],
)
def test_each_thing_that_was_left_out_has_a_note(verdict: Verdict, note: str) -> None:
    assert verdict.notes == [note]


def test_all_notes_in_order() -> None:
    assert [note.split()[0] for note in ALL.notes] == ["The", "Left", "5", "At", "Since"]
    assert Verdict(3, 9, 9, different=1, as_of=1.6e9).notes == []


_NUMBER = st.integers(0, 5)


@given(
    st.builds(
        Verdict,
        rows=_NUMBER,
        arrived=_NUMBER,
        refused=_NUMBER,
        expired=_NUMBER,
        collisions=_NUMBER,
        after_end=_NUMBER,
        vanished=_NUMBER,
        different=_NUMBER,
        not_compared=st.sampled_from(["", "verify is none"]),
    )
)
def test_nothing_is_called_equal_that_is_not(verdict: Verdict) -> None:
    lacking = verdict.rows - verdict.arrived
    if verdict.words.startswith("Equal:"):
        left_out = verdict.refused, verdict.expired, verdict.collisions, verdict.after_end, verdict.vanished
        assert (lacking, *left_out) == (0, 0, 0, 0, 0, 0)
    if "qual" in verdict.words + verdict.label:
        assert (verdict.refused, verdict.different, verdict.not_compared) == (0, 0, "")
        assert 0 <= lacking <= verdict.expired + verdict.collisions


def test_databases_of_a_fleet_are_equal_together_only_where_each_is() -> None:
    equal = Verdict(3, 100, 100, as_of=5.0)
    whole = Verdict.of({"a": equal, "b": Verdict(1, 10, 9, expired=1)}, [])
    assert whole.words == "Equal as copied but for 1 expired row: 109 of 110 rows in 4 tables"
    # What one has too much is not what the other one lacks.
    apart = Verdict.of({"a": Verdict(1, 10, 11), "b": Verdict(1, 10, 9)}, [])
    assert apart.kind is Kind.DIFFERENT
    broken = Verdict.of({"a": equal}, ["c", "d"])
    assert (broken.kind, broken.words) == (Kind.NOT_COMPARED, "Not compared: c, d, of 3 databases")
