"""The fixtures of the package itself, and a box with a small database in each generation."""

from collections.abc import Iterator

import pytest

from airflow_provider_tdengine.testing import TDengineBox
from airflow_provider_tdengine.testing.fixtures import make_tdengine_box, tdengine_2, tdengine_3

__all__ = ["make_tdengine_box", "tdengine_2", "tdengine_3"]

T = 1609459200000


@pytest.fixture(params=["2.4.0.18", "3.3.3.0"])
def box(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    """A box with d.s (ts, v, t; tag g): a has rows 0..2 s, b has rows 1..3 s, c has none."""
    with TDengineBox(version=request.param) as box:
        box.execute("create database d keep 36500")
        box.execute("create stable d.s (ts timestamp, v int, t nchar(10)) tags (g int, n binary(10))")
        box.execute(
            "create table d.a using d.s tags (1, 'one') d.b using d.s tags (2, 'two') d.c using d.s tags (3, null)"
        )
        box.execute(f"insert into d.a values ({T}, 1, 'x') ({T + 1000}, null, '你好') ({T + 2000}, 3, null)")
        box.execute(f"insert into d.b values ({T + 1000}, 10, 'y') ({T + 2000}, 20, 'z') ({T + 3000}, 30, 'it''s')")
        yield box
