"""Asking a person, in Airflow, whether something may be done.

Each question is a run of a DAG of its own, `approval.approval_dag`: Airflow 3.3.2 shows the first question of a task
for good, whatever it asks later, after a clear or a retry, too (measured). The run is called by what it asks, so that a
task that is tried again and comes to the same question finds its answer, and one that comes to another, or was cleared,
asks anew: what was approved once may have been carried out, and undone by somebody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.triggers.external_task import DagStateTrigger
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.utils.state import DagRunState

from airflow_provider_tdengine.compat import DagRunTriggerException
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import ASK, MigrationOptions
from airflow_provider_tdengine.migration.storage import digest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.comparing import Comparison, Deletion

log = logging.getLogger(__name__)

APPROVAL_DAG = "tdengine_approval"
"""The DAG whose runs are questions."""

APPROVE_TASK = "approve"
"""The task of that DAG which takes the answer."""

_DELETED = "deleted"
"""The XCom of a task that says how many rows it has deleted since they were approved."""

_ANSWERED = [DagRunState.SUCCESS, DagRunState.FAILED]

_SHOWN, _CHARACTERS = 200, 300
"""Lines of a question, and characters of each; the log of the task that asks has all."""


class AskingOperator(BaseOperator):
    """What operators have in common that may ask; whoever asks nothing waits for nobody.

    They ask in the thread that runs the task: of Airflow 3.1, one takes the answer that is meant for another one.
    """

    def is_approved(
        self,
        context: Context,
        subject: str,
        rejected: str,
        told: Sequence[str],
        shown: Sequence[str] | None = None,
        meant: Sequence[object] = (),
    ) -> bool:
        """Whether a person has approved; where nobody has answered yet, the task waits for that in the triggerer.

        Parameters:
            context: of the task.
            subject: the question.
            rejected: what it means to reject.
            told: what would be done, a line for each thing; the log has it.
            shown: the same in short; None for all of it.
            meant: what else an answer is for, as JSON can say it: that of another question does not count.

        Raises:
            MigrationStopped: there is no DAG for questions, or it is paused.
        """
        instance, run = context["ti"], context["dag_run"]
        # A clear changes max_tries, a retry does not. Sorted: no server lists its tables in an order.
        asks = [run.dag_id, run.run_id, self.task_id, instance.map_index, instance.max_tries]
        question = [*asks, subject, sorted(told), meant]
        asked = f"asked__{digest(question)[:32]}"

        answer = _answer(context, asked)
        if answer:
            log.info("Approved: run %s of DAG %s", asked, APPROVAL_DAG)
            return True
        if answer is not None:
            found = f"Run {asked} of DAG {APPROVAL_DAG} was rejected, or has ended without an answer"
            again = f"to be asked again, clear this task. {rejected}"
            log.warning("%s", wording.folded([f"{found}; {again}"]))
            return False
        log.info("%s\n%s", subject, "\n".join(told))
        if instance.get_dr_count(dag_id=APPROVAL_DAG, run_ids=[asked]):
            # It was asked by an earlier try.
            self.defer(
                trigger=DagStateTrigger(APPROVAL_DAG, states=_ANSWERED, run_ids=[asked]), method_name="execute_complete"
            )
        check_dag(context)
        log.info("A person is asked under Required Actions: run %s of DAG %s", asked, APPROVAL_DAG)
        raise DagRunTriggerException(
            trigger_dag_id=APPROVAL_DAG,
            dag_run_id=asked,
            conf={"subject": subject, "body": _body(context, self.task_id, rejected, shown or told)},
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=False,
            wait_for_completion=True,
            allowed_states=[DagRunState.SUCCESS],
            failed_states=[DagRunState.FAILED],
            poke_interval=5,
            deferrable=True,
        )

    def execute_complete(self, context: Context, event: object) -> object:
        """Go on when a question has been answered; the answer is looked up where it is needed."""
        return self.execute(context)

    def compared_as_approved(
        self,
        context: Context,
        options: MigrationOptions,
        comparison: Comparison,
        compare: Callable[[frozenset[Deletion]], Comparison],
    ) -> Comparison:
        """What a comparison comes to when what it would delete has been approved, or rejected.

        Parameters:
            context: of the task.
            options: of the migration.
            comparison: what it has come to before anybody is asked.
            compare: compares, mends, and deletes what has been approved; it counts what it has deleted this time.
        """
        from airflow_provider_tdengine.migration.comparing import Deletion, by_table

        approved, before = frozenset[Deletion](), comparison.deleted
        deleted, name = self._deleted(context) if options.delete_extra == ASK else {}, options.source_database
        while (asked := frozenset(comparison.deletions)) - approved:
            listed, waiting = sum(one.rows for one in asked), wording.number(comparison.waiting, "row")
            rows = waiting if listed == comparison.waiting else f"{listed:,} of {waiting}"
            subject = f"Delete {rows} of {options.target} that {options.source_database} does not have?"
            rejected = "Rejected, they stay, and are a difference."
            told = [str(one) for one in sorted(asked)]
            meant = [asdict(one) for one in sorted(asked)]
            if not self.is_approved(context, subject, rejected, told, by_table(asked), meant):
                break
            # What is asked for may differ from one comparison to the next, and come back.
            approved |= asked
            comparison = compare(approved)
            deleted[name] = deleted.get(name, 0) + comparison.deleted
            # The next question may end this process; what it has pushed stays until the answer.
            context["ti"].xcom_push(_DELETED, deleted)
        comparison.deleted = before + deleted.get(name, 0)
        return comparison

    def _deleted(self, context: Context) -> dict[str, int]:
        """Rows that this try has deleted before it waited for an answer, by source database."""
        instance = context["ti"]
        pushed = instance.xcom_pull(task_ids=[self.task_id], key=_DELETED, map_indexes=instance.map_index)
        return next((dict(one) for one in pushed if one), {})


def _answer(context: Context, asked: str) -> bool | None:
    """Whether a run of the DAG of questions has been approved; None where it has not ended, or is not there.

    Parameters:
        context: of a task.
        asked: the run.
    """
    instance, states = context["ti"], [state.value for state in _ANSWERED]
    if not instance.get_dr_count(dag_id=APPROVAL_DAG, run_ids=[asked], states=states):
        return None
    # The run's state says less: it is a success, too, when somebody marks it as one, or skips the task.
    given = instance.xcom_pull(dag_id=APPROVAL_DAG, run_id=asked, task_ids=APPROVE_TASK, map_indexes=None)
    return isinstance(given, dict) and given.get("chosen_options") == [ApprovalOperator.APPROVE]


def check_dag(context: Context) -> None:
    """See that questions can be asked.

    Raises:
        MigrationStopped: there is no DAG for them, or it is paused.
    """
    get_dag = getattr(context["ti"], "get_dag", None)
    if get_dag is None:  # Airflow 3.1 tells no task of DAGs; it fails when it asks.
        return
    try:
        if not get_dag(APPROVAL_DAG).is_paused:
            return
        found, action = "it is paused", "Switch it on"
    except AirflowRuntimeError:
        found, action = "it is not there", "Copy example_dags/tdengine_approval.py into the DAG folder"
    raise MigrationStopped(
        [Finding(f"DAG {APPROVAL_DAG!r}, whose runs ask people", found, f"{action}, then clear this task")]
    )


def _body(context: Context, task: str, rejected: str, told: Sequence[str]) -> str:
    """The question in Markdown."""
    run = context["dag_run"]
    # Names may hold anything, a line's end, too.
    lines = [wording.beginning(" ".join(line.split()), _CHARACTERS) for line in told[:_SHOWN]]
    more = [f"and {len(told) - _SHOWN:,} more, which the log of that task names"] if len(told) > _SHOWN else []
    asks = f"Asked by task **{task}** of DAG **{run.dag_id}**, run {run.run_id}, whose log has all of it. {rejected}"
    return "\n".join(["~~~", *lines, *more, "~~~", "", asks])
