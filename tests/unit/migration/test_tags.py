"""Tag values as SQL says them, and as they are compared."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.schema import same_tag, tag_literal

JSON, DOUBLE = Field("j", Type.JSON), Field("d", Type.DOUBLE, 8)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ('{"b":1,"a":"x"}', '{"a":"x","b":1}', True),
        ('{"big":9007199254740992}', '{"big":9.00719925474099e+15}', True),
        ('{"n":3}', '{"n":3.0000001}', False),
        ('{"n":1}', '{"n":true}', False),
        ('{"n":0}', '{"n":false}', False),
        ('{"n":0}', '{"n":null}', False),
        ('{"n":""}', '{"n":null}', True),
        ('{"n":1}', '{"m":1}', False),
        ('{"n":{"x":1}}', '{"n":{"x":2}}', False),
        ("{}", None, True),
        ("", None, True),
        ("null", None, True),
        ('{"n":1}', None, False),
    ],
)
def test_json_tags(ours: Value, theirs: Value, same: bool) -> None:
    assert same_tag(JSON, ours, theirs) is same


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (DOUBLE, 5e-324, "refuse 5e-324, the value of tag 'd'"),
        (DOUBLE, float("inf"), "inf cannot be written in SQL"),
        (JSON, '{"a":[1,{"e":1e300}]}', "the number in .*, the value of tag 'j', is too large for TDengine 3"),
        (Field("g", Type.GEOMETRY, 21), b"\1", r"a value of tag 'g' of type GEOMETRY\(21\) has no text in SQL"),
    ],
)
def test_what_has_no_text(tag: Field, value: Value, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        tag_literal(tag, value)


def test_varbinary_is_written_in_hexadecimal() -> None:
    assert tag_literal(Field("v", Type.VARBINARY, 8), b"\0\xff") == "'\\x00ff'"
