"""`airflow-tdengine assess`: whole servers, in tables for people or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_provider_tdengine.cli_servers import client_of, is_address
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.assessment_options import ASSESSMENT_OPTIONS, AssessmentOptions
from airflow_provider_tdengine.migration.planning import (
    database_line,
    databases_meant,
    finding_lines,
    survey,
    survey_document,
    target_lines,
    write_assessment,
)
from airflow_provider_tdengine.screen import Screen

_FAILED = 1


class AssessCommand:
    """One call of `assess`.

    Parameters:
        arguments: what was given.
        screen: where to write to.

    Raises:
        TDengineError: all that is wrong with options, servers and names.
    """

    def __init__(self, arguments: argparse.Namespace, screen: Screen) -> None:
        given = {name: value for name in ASSESSMENT_OPTIONS if (value := getattr(arguments, name)) is not None}
        sources = [str(one) for one in given.get("source_conn_ids", AssessmentOptions().sources)]
        target = str(given.get("target_conn_id", AssessmentOptions().target_conn_id))
        # Options are kept in documents; URLs have passwords.
        names = [f"source{place}" if is_address(one) else one for place, one in enumerate(sources, 1)]
        given |= {"source_conn_ids": ", ".join(names), "target_conn_id": "target" if is_address(target) else target}
        self._options = AssessmentOptions.checked(given)
        self._sources = {name: client_of(one) for name, one in zip(names, sources, strict=True)}
        self._target = client_of(target)
        self._meant = databases_meant(self._sources, self._target, self._options)
        self._screen = screen
        self._as_json = arguments.json

    def run(self) -> int:
        """Look, and say what was found.

        Returns:
            The exit status: 1 where something stands in the way of a database.

        Raises:
            TDengineError: a server does not answer any more.
        """
        options = self._options
        found = survey(self._meant, self._sources, self._target, options, datetime.now(timezone.utc))
        document = survey_document(found, datetime.now(timezone.utc))
        if self._as_json:
            print(json.dumps(document, default=str))
        else:
            _show(document, self._screen)
        if options.certificate_path:
            self._screen.line(f"    {write_assessment(document, Path(options.certificate_path))}")
        return _FAILED if found.blockers else 0


def _show(document: Mapping[str, Any], screen: Screen) -> None:
    """Tables of databases, of the order, and of what the target needs; then the findings."""
    databases: Sequence[Mapping[str, Any]] = document["databases"]
    screen.heading(f"{document['assessment']}: {document['words']}")
    lines = [database_line(one) for one in databases]
    heads = {"name": "database", "rows": "rows", "tables": "tables", "on_disk": "on disk", "daily": "a day"}
    heads |= {"time": "time", "found": "found"}
    screen.table(
        [(head, name != "name") for name, head in heads.items()],
        [[f"{line[name]:,}" if isinstance(line[name], int) else str(line[name]) for name in heads] for line in lines],
    )
    screen.line(
        "  (on disk: under, where the source says only how long values are; found: blockers / warnings / notes)"
    )
    screen.heading("When each is copied")
    screen.line(f"  {document['schedule']['words']}")
    slots = [
        [
            slot["database"],
            wording.duration(slot["begin"]) if slot["begin"] else "at once",
            wording.duration(slot["end"]),
            "" if slot["fits"] else "does not fit",
        ]
        for slot in document["schedule"]["slots"]
    ]
    screen.table([("database", False), ("begins after", True), ("ends after", True), ("", False)], slots)
    screen.line(f"  {document['speed']['how']}")
    screen.heading("What the target needs")
    proposed = [
        [
            one["target"]["database"],
            str(line["precision"]),
            str(line["keep"]),
            str(one["proposal"]["vgroups"]),
            f"{one['proposal']['buffer']} MB",
            *(wording.size(one["proposal"][name]) for name in ("memory", "disk", "disk_in_a_year")),
        ]
        for one, line in zip(databases, lines, strict=True)
        if one["proposal"]
    ]
    wanted = ["database", "precision", "KEEP", "VGROUPS", "BUFFER", "memory", "disk", "disk in a year"]
    screen.table([(head, head not in ("database", "precision")) for head in wanted], proposed)
    for line in target_lines(document):
        screen.line(line)
    screen.line()
    for line in finding_lines(document):
        screen.line(line)
