"""Record what real servers answer where generations differ in ways that comparing source and target has to know.

    python quirks.py http://localhost:6041 quirks-3.x.jsonl      drops and creates the database contract_quirks

One line a statement: {"step", "sql", "status", "body"}; `body` is the text as it came, valid JSON or not.
Needs `requests`.
"""

import json
import random
import sys
from collections.abc import Iterator

T = 1609459200000
UNSIGNED = ["tinyint unsigned", "smallint unsigned", "int unsigned", "bigint unsigned"]
COLUMNS = [*(f"u{i}" for i in range(4)), "f", "d", "i", "b", "s", "t2"]

ZERO = "0,0,0,0,-0.0,-0.0,0,false,'',0"
NULL = ",".join(["null"] * 10)
HIGH = "254,65534,4294967294,18446744073709551614,3.4e38,1.7e308,9223372036854775807,true,'zz',1"
LOW = "0,0,0,0,-3.4e38,-1.7e308,-9223372036854775807,false,'a',-1"
TABLES = {
    "zeros": [ZERO, ZERO],
    "nulls": [NULL, NULL],
    "highs": [HIGH, HIGH, HIGH],
    "lows": [LOW, LOW],
    "mixed": [HIGH, LOW, NULL, ZERO],
    "none": [],
}


def steps(generation: int) -> Iterator[tuple[str, str]]:
    """The statements, each with its name."""
    by_table = "group by tbname" if generation == 2 else "partition by tbname"
    yield "drop", "drop database if exists contract_quirks"
    yield "create", "create database contract_quirks precision 'ms' keep 36500"
    # Aggregates at the edges of types
    unsigned = ", ".join(f"u{i} {kind}" for i, kind in enumerate(UNSIGNED))
    yield (
        "edges",
        f"create stable contract_quirks.edges (ts timestamp, {unsigned}"
        ", f float, d double, i bigint, b bool, s nchar(4), t2 timestamp) tags (g int)",
    )
    for name, rows in TABLES.items():
        yield f"make_{name}", f"create table contract_quirks.{name} using contract_quirks.edges tags (1)"
        for k, row in enumerate(rows):
            yield f"fill_{name}_{k}", f"insert into contract_quirks.{name} values ({T + k},{row})"
    for function in ("count", "min", "max", "sum", "first", "last"):
        for column in COLUMNS:
            if function in ("min", "max", "sum") and column in ("b", "s", "t2"):
                continue
            sql = f"select tbname, {function}({column}) from contract_quirks.edges {by_table}"
            yield f"{function}_{column}", sql
    yield "sum_alone", "select sum(d) from contract_quirks.highs"
    for name in ("zeros", "highs", "mixed", "none"):
        yield f"alone_{name}", f"select count(u3), min(u3), max(u3), sum(u3) from contract_quirks.{name}"
    # The order of names, and ranges of them
    yield "order", "create stable contract_quirks.many (ts timestamp, v int) tags (g int)"
    numbers = list(range(23))
    random.Random(5).shuffle(numbers)
    for k in numbers:
        values = f"({T},{k})({T + 1},null)"
        yield (
            f"order_{k}",
            f"insert into contract_quirks.`s{k}` using contract_quirks.many tags ({k}) values {values}",
        )
    yield "order_rows", f"select tbname, count(*) from contract_quirks.many {by_table}"
    distinct = "" if generation == 2 else "distinct "
    yield "order_tags", f"select {distinct}tbname, g from contract_quirks.many"
    yield "order_range", "select tbname, ts from contract_quirks.many where tbname >= 's0' and tbname <= 's22'"
    yield "order_list", "select tbname, ts from contract_quirks.many where tbname in ('s0','s9','s22')"
    # Upper case without quotes, and quoted where that is known
    yield "case", "create database if not exists Contract_QUIRKS"
    yield "case_show", "show databases"
    yield "case_table", "create table contract_quirks.MixedCase (ts timestamp, v int)"
    yield "case_tables", "show contract_quirks.tables" if generation == 2 else "show tables from contract_quirks"
    # JSON tags with DISTINCT
    yield "json", "create stable contract_quirks.js (ts timestamp, v int) tags (info json)"
    yield (
        "json_row",
        f"insert into contract_quirks.j1 using contract_quirks.js tags ('{{\"a\":1}}') values ({T},1)",
    )
    yield "json_distinct", "select distinct tbname, info from contract_quirks.js"
    yield "json_tags", "select tags tbname, info from contract_quirks.js"
    yield "json_plain", "select tbname, info from contract_quirks.js"
    yield "drop_again", "drop database contract_quirks"


def main() -> None:
    """Record a server."""
    import requests  # noqa: PLC0415

    url, path = sys.argv[1:3]

    def post(sql: str) -> requests.Response:
        return requests.post(f"{url}/rest/sql", data=sql.encode(), auth=("root", "taosdata"), timeout=30)

    version = post("select server_version()").json()["data"][0][0]
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps({"step": "meta", "version": version}) + "\n")
        for step, sql in steps(int(version.split(".")[0])):
            answer = post(sql)
            line = {"step": step, "sql": sql, "status": answer.status_code, "body": answer.text}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
