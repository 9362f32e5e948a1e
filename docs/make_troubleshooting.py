"""Writes all sentences of findings into docs/troubleshooting.md, below what people have written there.

`python docs/make_troubleshooting.py`; a test says when it is due. They are those of the cases in
tests/unit/migration/structure/test_findings.py, which has one for each place that makes a finding.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.unit.migration.structure.test_findings import CASES, PACKAGE, places  # noqa: E402

FILE = Path(__file__).parent / "troubleshooting.md"

MARK = "<!-- What follows is made by docs/make_troubleshooting.py -->\n\n"

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
    lines = []
    for room, heading in HEADINGS.items():
        if room in said:
            lines += [f"## {heading}", "", *(f"- {sentence}" for sentence in sorted(said[room])), ""]
    written, _, _ = FILE.read_text(encoding="utf-8").partition(MARK)
    return written + MARK + "\n".join(lines)


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
