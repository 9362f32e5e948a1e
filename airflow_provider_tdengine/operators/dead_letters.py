"""Rows that the target refused: the task that makes them visible, and the one that brings them back."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

from airflow.sdk import BaseOperator, ObjectStoragePath

from airflow_provider_tdengine.compat import AirflowSkipException
from airflow_provider_tdengine.migration.wording import number
from airflow_provider_tdengine.operators.migration import MigrationOperator, clear_failures, client, failure, told

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Refused rows of a batch that are not in its folder.

    Parameters:
        place: the folder.
        rejected: how many rows the copy task said to be there.
        seen: how many there are on this host, those that were brought back included.
    """

    place: str
    rejected: int
    seen: int


class TDengineDeadLettersOperator(MigrationOperator):
    """Fails when rows that the target refused have not arrived since, naming tables and their number.

    It is skipped when none was refused, and green when all were brought back. What lies in files is held against what
    the copy tasks say: files of a `file://` path are not seen from another host. A task of its own, so that the grid
    shows at once why a run is red whose rows have else arrived.

    The XCom `letters` has the folder, the number of rows that wait, and the first of them.

    Parameters:
        copied: what each copy task returned, templated; None where that is not known, and only files count.
        options: as of all stages.
    """

    template_fields: Sequence[str] = ("options", "copied")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "copied": "json"}

    def __init__(self, *, copied: Iterable[Mapping[str, Any] | None] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.copied = copied

    def execute(self, context: Context) -> None:
        """Count them."""
        from airflow_provider_tdengine.migration.copying import first_letters, kept, known

        options = self.migration_options(context)
        folder = self.dead_letter_folder(options, context)
        if folder is None:
            raise AirflowSkipException("Refused rows fail the copy: there are no dead letters")
        # Databases of a fleet may have tables of the same names.
        folders = {f"{name}.": folder / quote(name, safe="") for name in options.databases if options.is_fleet}
        folders = folders or {"": folder}
        batches = [part for batch in self.copied or () if batch for part in batch.get("parts", [batch])]
        rejecting = [batch for batch in batches if batch.get("rejected")]
        reported = sum(int(str(batch["rejected"])) for batch in rejecting)
        with clear_failures():
            waiting = {f"{of}{table}": len(times) for of, own in folders.items() for table, times in kept(own).items()}
            unseen = [batch for batch in map(_held_against_files, rejecting) if batch.seen < batch.rejected]
            refused = max(reported, sum(map(known, folders.values())))
            examples = first_letters(folder, _SHOWN)
        if not refused:
            raise AirflowSkipException("There are no dead letters")
        rows = sum(waiting.values())
        counts = [("refused by the target", refused), ("waiting here", rows), ("on other hosts", _elsewhere(unseen))]
        told("Dead letters", [*((name, f"{count:,}") for name, count in counts), ("folder", str(folder))])
        if not waiting and not unseen:
            log.info("All of them have been brought back")
            return
        letters = {"folder": str(folder), "rows": rows, "first": examples}
        context["ti"].xcom_push("letters", letters)
        said = _waiting_in_words(waiting, folder, is_fleet=options.is_fleet) if waiting else []
        said += _unseen_in_words(unseen, reported, folder) if unseen else []
        raise failure(said)


def _waiting_in_words(waiting: Mapping[str, int], folder: Path, *, is_fleet: bool) -> list[str]:
    which = "the folder of each database in it" if is_fleet else "that folder"
    return [
        f"The target refused {number(sum(waiting.values()), 'row')}; dead letters keep them in",
        f"  {folder}",
        *_first([f"{table}: {number(rows, 'row')}" for table, rows in sorted(waiting.items())], "tables"),
        "  → Each line of its files says why. Fix the cause",
        f"  → Run TDengineReplayDeadLettersOperator on {which}, then clear verify and this task",
    ]


def _unseen_in_words(unseen: Sequence[_Unseen], reported: int, folder: Path) -> list[str]:
    here = reported - _elsewhere(unseen)
    places = [f"{one.place}: {number(one.rejected, 'row')}, {one.seen:,} of them here" for one in unseen]
    return [
        f"The copy tasks report {number(reported, 'refused row')}; {here:,} of them are in {folder} on this host "
        f"({platform.node()}). The others were kept on the hosts of the copy tasks, in:",
        *_first(places, "folders"),
        "  → Bring them back on those hosts and mark this task as success, or run the migration again with a "
        "dead_letter_path that all workers share, such as the URL of an object storage",
    ]


def _elsewhere(unseen: Sequence[_Unseen]) -> int:
    """Refused rows that are not seen here."""
    return sum(batch.rejected - batch.seen for batch in unseen)


def _held_against_files(batch: Mapping[str, object]) -> _Unseen:
    from airflow_provider_tdengine.migration.copying import known

    place = str(batch["dead_letters"])
    return _Unseen(place, int(str(batch["rejected"])), known(cast(Path, ObjectStoragePath(place))))


def _first(lines: Sequence[str], what: str) -> list[str]:
    more = [f"and {len(lines) - _SHOWN:,} more {what}"] if len(lines) > _SHOWN else []
    return [f"  {line}" for line in (*lines[:_SHOWN], *more)]


class TDengineReplayDeadLettersOperator(BaseOperator):
    """Writes dead letters into the target after their cause is mended; fails while the target still refuses some.

    Parameters:
        path: the folder that the migration's `dead_letters` task named, of several databases the one of
            `target_database` in it; a folder with several runs in it will do.
        target_conn_id: the Airflow connection of the target.
        target_database: the target database.

    Returns:
        How many rows arrived.
    """

    template_fields: Sequence[str] = ("path", "target_conn_id", "target_database")
    ui_color = MigrationOperator.ui_color

    def __init__(
        self, *, path: str, target_database: str, target_conn_id: str = "tdengine_target", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.target_conn_id = target_conn_id
        self.target_database = target_database

    def execute(self, context: Context) -> int:
        """Write them; those that arrive are put aside, in files `*.arrived`."""
        from airflow_provider_tdengine.migration.catalog import Catalog
        from airflow_provider_tdengine.migration.copying import replay

        with clear_failures():
            target = Catalog(client(self.target_conn_id, "target_conn_id"), self.target_database)
            done = replay(cast(Path, ObjectStoragePath(self.path)), target)
        if done.remaining:
            still = f"{number(done.arrived, 'row')} arrived, {done.remaining:,} are still refused, the first ones:"
            raise failure([still, *(f"  {reason}" for reason in done.reasons)])
        log.info("Arrived: %s", number(done.arrived, "row"))
        return done.arrived
