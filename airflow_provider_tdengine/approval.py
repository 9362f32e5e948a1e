"""Questions to people, as Airflow shows them under Required Actions."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param

from airflow_provider_tdengine.operators.asking import APPROVAL_DAG, APPROVE_TASK

_DOC = """
Asks people whether something may be done, for migrations whose options say **ask**. Nobody triggers it by hand.

1. Each run is a question. Open its task `approve`, or **Required Actions**, and read what would be done.
2. Approve, and just that is done within seconds. Reject, and the task that asks fails, and says what was rejected.
3. To be asked again, clear the task that asks.
"""


def approval(task_id: str, subject: str, body: str) -> ApprovalOperator:
    """A task that asks a person. Rejected, it is red: skipped tasks would end the run as if it had been approved.

    Parameters:
        task_id: its name.
        subject: the question, templated.
        body: what there is to know, in Markdown, templated.
    """
    return ApprovalOperator(task_id=task_id, subject=subject, body=body, fail_on_reject=True, retries=0)


def approval_dag(**dag_arguments: Any) -> DAG:
    """The DAG whose runs are the questions of `operators.asking.AskingOperator`; an Airflow has one of it.

    Parameters:
        dag_arguments: of `DAG`, such as default_args with notifiers, or access_control.
    """
    arguments: dict[str, Any] = {
        "description": "Asks people whether a migration may delete rows or change the structure of its target",
        "doc_md": _DOC,
        "schedule": None,
        "catchup": False,
        "is_paused_upon_creation": False,
        "max_active_runs": 1000,
        "tags": [APPROVAL_DAG],
        "params": {name: Param("", type="string") for name in ("subject", "body")},
        **dag_arguments,
    }
    with DAG(APPROVAL_DAG, **arguments) as dag:
        approval(APPROVE_TASK, "{{ params.subject }}", "{{ params.body }}")
    return dag
