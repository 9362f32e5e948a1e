"""Writes docs/troubleshooting.md from the cases of tests/unit/migration/structure/test_findings.py.

`python docs/make_troubleshooting.py`; a test says when it is due. Each place that makes a finding has a case there, whose
sentence was seen, so the page has all of them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.unit.migration.structure.test_findings import CASES, PACKAGE, places  # noqa: E402

FILE = Path(__file__).parent / "troubleshooting.md"

HEAD = """\
# Troubleshooting

Search this page for the words of your message. A message says what it is about, what was found, and, after the arrow `→`, what
to do. It is the same in the task's log, on the Migrations page, in a dry run, and on the command line. All that stands in
the way is reported together, so repair all of it before you try again; then clear the red task, which goes on where it
stopped.

## Connections and servers

| message contains | cause, and what to do |
|---|---|
| `did not accept a connection within` | the server is off, or a firewall drops packets. [How long each wait may take](airflow.md#how-long-a-server-is-waited-for) |
| `Nothing listens at` | the port is that of taosAdapter (6041), not of taosd (6030); or the adapter is not running |
| `The host … is not known` | the name cannot be looked up on the worker, or is misspelled |
| `did not finish the TLS handshake`, `does not speak TLS` | `wss` and `https` are for servers with TLS, `ws` and `http` for those without |
| `The certificate of … is not trusted` | give the authority's certificate as **CA file**, and the host name that is in the certificate |
| `did not answer` … `within` | the statement takes longer than the connection's **Answer time-out** (300 s), or the server hangs |
| `refuses the account`, `refuses the token` | user, password or token of the connection; in 2.4 also a server whose taosd is away |
| `its connection pool is used up` | fewer `workers`, fewer batches at the same time, or a larger pool in the adapter: one of 2.6 has twice as many connections as cores |
| `this provider needs 2.4 or later` | upgrade that server to 2.4 or 2.6 first |
| `gave no sign of life`, `The session at … was lost` | a network on the way; the task waits five minutes for the server, then fails, and its retry goes on |
| `Testing connections is disabled in Airflow configuration` | Airflow's own switch, off by default: set `test_connection = Enabled` under `[core]` in `airflow.cfg`, or `AIRFLOW__CORE__TEST_CONNECTION=Enabled`, for the API server. Users who may edit connections can then make it connect anywhere, which is why it is off |

## In Airflow

| what you see | cause, and what to do |
|---|---|
| a run nobody triggered, right after a DAG was switched on | a DAG with a schedule runs at once when it is unpaused: [history](history.md#a-long-history-in-parts), [nightly](nightly.md) |
| `certify` failed, and nothing was compared | another task failed before; its log says why. Clear that one, and all that follows |
| `follow` is deferred for hours | that is how it waits for rows; the Migrations page shows its lag |
| a copy task reads everything again after a retry | Airflow 3.1 and 3.2 keep no checkpoints; 3.3 does |
| no **Migrations** in the navigation | the package is not installed where the API server runs, or Airflow is 3.1.0 |

What follows are all sentences, with examples in place of your names. This part of the page is made by
`python docs/make_troubleshooting.py`.
"""

HEADINGS = {
    "options": "Options",
    "catalog": "What the source holds",
    "rows": "Names, types and values",
    "structure": "Structure and rights",
    "planning": "Before anything is copied",
    "copying": "Copying and refused rows",
    "comparing": "Comparing",
    "offline": "Export and import",
    "following": "Following",
    "operators": "Tasks",
}
"""Folders of the package, in the order in which a migration meets them; what lies in no folder is about options."""

EXAMPLES = (
    ("mig_src", "power"),
    ("mig_dst", "power_new"),
    ("{source}", "ws://old-server:6041"),
    ("{target}", "ws://new-server:6041"),
    ("{folder}", "/data"),
    ("{quoted}", "`power`"),
    ("{error}", "…"),
)


def render() -> str:
    """The page."""
    said: dict[str, set[str]] = {}
    rooms = _rooms()
    for case in CASES:
        said.setdefault(rooms[case.place], set()).add(_sentence(case.sentence))
    lines = [HEAD]
    for room in HEADINGS:
        if room in said:
            lines += [f"## {HEADINGS[room]}", "", *(f"- {sentence}" for sentence in sorted(said[room])), ""]
    return "\n".join(lines)


def _rooms() -> dict[str, str]:
    """The folder of each place that makes a finding."""
    rooms = {}
    for (file, _), place in places().items():
        folder = Path(file).relative_to(PACKAGE).parent.name
        rooms[place] = folder if folder in HEADINGS else "options"
    return rooms


def _sentence(text: str) -> str:
    for word, example in EXAMPLES:
        text = text.replace(word, example)
    what, _, rest = text.partition(": ")
    return f"**{_escaped(what)}**: {_escaped(rest)}"


def _escaped(text: str) -> str:
    """As Markdown that shows the text as it is."""
    return re.sub(r"([\\`*\[\]<>#|])", r"\\\1", " ".join(text.split()))


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
