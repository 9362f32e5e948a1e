"""The ready-made DAGs, with forms that explain every option: a migration, also as a task group, and an assessment."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, TaskGroup

from airflow_provider_tdengine import TAG
from airflow_provider_tdengine.migration.assessment_options import ASSESSMENT_OPTIONS, AssessmentOptions
from airflow_provider_tdengine.migration.options import FIRST, OPTIONS, MigrationOptions, Option, without_dates
from airflow_provider_tdengine.operators.assess import TDengineAssessOperator
from airflow_provider_tdengine.operators.comparison import TDengineVerifyBatchOperator, TDengineVerifyOperator
from airflow_provider_tdengine.operators.dead_letters import TDengineDeadLettersOperator
from airflow_provider_tdengine.operators.follow import (
    LINGER,
    MOST_RETRIES,
    TDengineFinishOperator,
    TDengineFollowOperator,
    TDengineShardsOperator,
)
from airflow_provider_tdengine.operators.migration import (
    OptionValues,
    TDenginePlanOperator,
    TDengineRangeMigrationOperator,
    TDengineResolveOperator,
    TDengineSchemaSyncOperator,
)

_DESCRIPTION = "Copies a TDengine database into another one, and proves that every row arrived"

_DOC = """
Copies a TDengine database (2.4 or later, 3.0 or later) into another one (3.0 or later).

**What to do**

1. Make two connections of type TDengine under Admin, Connections: `tdengine_source` and `tdengine_target`.
2. Press **Trigger**, give the source database, and switch **dry run** on: the log of `plan` says what would be copied,
   how long that takes, and what stands in the way. Nothing is written.
3. Trigger it again without dry run. **Migrations**, in the navigation, shows how far it is; pause and resume it there.
4. Green: every row arrived; `certify` has the certificate. Red: the log of the red task says why, and what to do. A
   task that is cleared goes on where it stopped.

**What the tasks do**

- `resolve` checks the options and both servers.
- `sync_schema` creates what the target lacks.
- `plan` cuts the work into batches.
- `copy` copies the batches side by side.
- `verify` compares each of them, copies again what differs, and compares once more.
- `certify` adds up, and compares what no batch holds: tags, structure, tables that came later. A difference that stays
  makes the run red.
- `dead_letters` is red while rows wait that the target refused, and skipped when it took all of them.
- `follow`, with mode realtime or both, then copies rows as they arrive. While there are none it is deferred, which
  costs no worker; cleared, it goes on where it stopped. To end it, give `stop_at`, press Finish on the Migrations page,
  or mark it as success.
- `finish` then copies what has arrived by then, and compares all that was followed.
"""

_OWN = MigrationOptions().to_dict()
"""The options' own defaults."""

_SCHEDULED = """
This DAG has a **schedule**: as soon as it is switched on (unpaused), which the box below the trigger form does, too,
Airflow starts a run for the last interval, with the values of the DAG's file, and then one after each interval.

"""
"""What nobody expects who only wants to press Trigger (Airflow 3.3.2)."""

_OF_INTERVAL = {
    "start": "the start of the run's data interval, which is its logical date; that of a run of a backfill is its day",
    "end": "the end of the run's data interval, excluded",
}
"""What an empty period means where each run copies its interval."""

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}

_CODE, _MARKDOWN, _ESCAPED = re.compile(r"`([^`]+)`"), re.compile(r"([\\`*_\[\]<>#|~])"), r"\\\1"


def migration_params(defaults: Mapping[str, object] | None = None) -> dict[str, Param]:
    """The form: a Param for each option.

    Parameters:
        defaults: values by option name, in place of the options' own defaults.

    Raises:
        ValueError: there is no option of a name.
    """
    return _params(OPTIONS, _OWN, defaults or {})


def _explained(*, by_interval: bool, is_scheduled: bool) -> dict[str, Option]:
    """The options as the form of a DAG explains them."""
    options = dict(OPTIONS)
    for name, default in _OF_INTERVAL.items() if by_interval else ():
        options[name] = dataclasses.replace(options[name], default=default)
    if is_scheduled:
        first = next(iter(options))
        explanation = f"{options[first].explanation}\n{_SCHEDULED.rstrip()}"
        options[first] = dataclasses.replace(options[first], explanation=explanation)
    return options


def _params(options: Mapping[str, Option], own: Mapping[str, object], given: Mapping[str, object]) -> dict[str, Param]:
    """A Param for each option.

    Parameters:
        options: by name.
        own: their own defaults.
        given: values in place of these.
    """
    if unknown := given.keys() - options.keys():
        raise ValueError(f"there is no option {', '.join(sorted(unknown))}; the options are {', '.join(options)}")
    return {
        name: _param(option, own[name], without_dates(given.get(name, own[name]))) for name, option in options.items()
    }


def _param(option: Option, own: object, default: object) -> Param:
    kind = "string" if own is None else _TYPES[type(own)]
    schema: dict[str, Any] = {"title": option.title, "description_md": _description(option, own)}
    if option.section != FIRST:  # Airflow opens the section of those that name none.
        schema["section"] = option.section
    optional = kind == "string" and not option.required and not option.choices
    schema["type"] = [kind, "null"] if optional else kind
    if option.choices:
        schema["enum"] = list(option.choices)
    if option.examples:
        # Not "examples", which Airflow announces with "Start typing to see options", as if there were no others.
        schema["placeholder"] = option.examples[0]
    if option.format and option.format != "moment":
        # The picker of a date-time takes no -30d.
        schema["format"] = option.format
    if option.minimum is not None:
        schema["minimum"] = option.minimum
    if option.maximum is not None:
        schema["maximum"] = option.maximum
    if option.required:
        schema["minLength"] = 1
        if not default:
            return Param(**schema)
    return Param(default or None if optional else default, **schema)


def _description(option: Option, default: object) -> str:
    """What the form says under a field, in Markdown.

    Parameters:
        option: whose field it is.
        default: its default value, which the field shows unless it is empty.
    """
    said = f"Required. {option.explanation}" if option.required else option.explanation
    if default in ("", None):
        said += "" if option.required else f" Empty: {option.default}."
    elif not isinstance(default, bool) and not option.choices:
        said += f" Default: {option.default}."
    lines = [said]
    lines += [
        f"- `{value}`{' (default)' if value == default else ''}: {meaning}" for value, meaning in option.choices.items()
    ]
    parts = [_CODE.sub(lambda code: _bold(code[1]), line) for line in lines]
    if option.examples:
        parts.append(f"For example {', '.join(map(_bold, option.examples))}.")
    return "\n\n".join(parts)


def _bold(text: str) -> str:
    """Markdown for it. Not as code, whose boxes hide half of the lines above and below in the form."""
    return f"**{_MARKDOWN.sub(_ESCAPED, text.strip())}**"


def _workers(dag: DAG, options: OptionValues | None) -> int:
    """The workers of a batch, as far as they are known before a run: those of the options, or of the form."""
    given = options.get("workers") if options else dag.params.get("workers")
    return int(given) if isinstance(given, (int, str)) else MigrationOptions().workers


def migration(
    group_id: str = "migration",
    options: OptionValues | None = None,
    *,
    by_interval: bool = False,
    parallel_batches: int | None = 4,
    pool: str | None = None,
    shared: bool = False,
    linger: float = LINGER,
    ended_by: str | None = None,
    prefix_group_id: bool = True,
) -> TaskGroup:
    """The stages of a migration, for a DAG of your own.

    Parameters:
        group_id: the group's name.
        options: values by option name, templated; None takes them from the run's Params.
        by_interval: whether each run copies its data interval, where no start and no end are given.
        parallel_batches: how many batches are copied at the same time; each holds `workers` sessions at the source
            and as many at the target. None leaves it to Airflow's limits.
        pool: of Airflow, whose slots are the sessions that a server has for all migrations: each batch that is copied
            or compared takes as many as it has workers.
        shared: whether the limits on rows and bytes a second are of all runs of the DAG together, and not of each.
        linger: seconds after the last row for which `follow` stays in its worker, see `TDengineFollowOperator`.
        ended_by: the id of a task whose success ends following. Nobody is to write to the source any more then:
            `finish` compares all rows, and fails where others have come.
        prefix_group_id: whether task ids begin with the group's name.
    """
    with TaskGroup(group_id, prefix_group_id=prefix_group_id) as group:
        group.dag.tags.add(TAG)
        sessions = {"pool": pool, "pool_slots": _workers(group.dag, options)} if pool else {}
        resolve = TDengineResolveOperator(task_id="resolve", options=options, by_interval=by_interval)
        resolved: Any = resolve.output
        sync = TDengineSchemaSyncOperator(task_id="sync_schema", options=resolved)
        plan = TDenginePlanOperator(task_id="plan", options=resolved)
        copy = TDengineRangeMigrationOperator.partial(
            task_id="copy",
            options=resolved,
            parallel_batches=parallel_batches,
            shared=shared,
            max_active_tis_per_dagrun=parallel_batches,
            map_index_template=TDengineRangeMigrationOperator.map_index_template,
            **sessions,
        ).expand(batch=plan.output)
        copied: Any = copy.output
        verify = TDengineVerifyBatchOperator.partial(
            task_id="verify",
            options=resolved,
            parallel_batches=parallel_batches,
            max_active_tis_per_dagrun=parallel_batches,
            map_index_template=TDengineVerifyBatchOperator.map_index_template,
            **sessions,
        ).expand(copied=copied)
        # One at a time: Airflow fails a task that tells of a new asset while another one does (measured 3.3.2).
        batches: Any = plan.output
        compared: Any = verify.output
        certify = TDengineVerifyOperator(
            task_id="certify",
            options=resolved,
            batches=batches,
            compared=compared,
            copied=copied,
            max_active_tis_per_dag=1,
        )
        # A leaf of its own: it must not hide what the comparison finds, nor the other way round.
        dead_letters = TDengineDeadLettersOperator(
            task_id="dead_letters", options=resolved, copied=copied, trigger_rule="none_failed"
        )
        sync >> plan >> copy >> [verify, dead_letters]
        verify >> certify
        # With mode history both are skipped.
        shards = TDengineShardsOperator(task_id="shards", options=resolved)
        following = TDengineFollowOperator.partial(
            task_id="follow",
            options=resolved,
            linger=linger,
            ended_by=ended_by,
            map_index_template=TDengineFollowOperator.map_index_template,
        )
        # The retries of the DAG are what it may have in a row without coming any further; see there. It may be the
        # thousandth try in months, for which nobody is to wait longer than for the first one.
        own = {
            "fruitless_retries": following.kwargs["retries"],
            "retries": MOST_RETRIES,
            "retry_exponential_backoff": 0,
        }
        following.kwargs.update(own)
        follow = following.expand(shard=shards.output)
        divided: Any = shards.output
        finish = TDengineFinishOperator(
            task_id="finish", options=resolved, shards=divided, followed=follow.task_id, is_last=ended_by is not None
        )
        certify >> shards
        follow >> finish
    return group


def migration_dag(
    dag_id: str = "tdengine_migration",
    *,
    defaults: Mapping[str, object] | None = None,
    by_interval: bool = False,
    parallel_batches: int | None = 4,
    pool: str | None = None,
    shared: bool = False,
    linger: float = LINGER,
    **dag_arguments: Any,
) -> DAG:
    """A DAG that migrates what its trigger form says.

    Parameters:
        dag_id: the DAG's name.
        defaults: values by option name that the form shows first.
        by_interval: whether each run copies its data interval, where the form has no start and no end; for backfills.
        parallel_batches: how many batches are copied at the same time.
        pool: see `migration`.
        shared: see `migration`.
        linger: seconds after the last row for which `follow` stays in its worker.
        dag_arguments: of `DAG`, such as schedule, default_args, description or doc_md.

    Raises:
        ValueError: `defaults` names an option that does not exist.
    """
    arguments = {"description": _DESCRIPTION, "doc_md": _DOC, **dag_arguments}
    with form_dag(dag_id, defaults, arguments, by_interval=by_interval) as dag:
        migration(
            by_interval=by_interval,
            parallel_batches=parallel_batches,
            pool=pool,
            shared=shared,
            linger=linger,
            prefix_group_id=False,
        )
    return dag


def form_dag(
    dag_id: str,
    defaults: Mapping[str, object] | None,
    dag_arguments: Mapping[str, Any],
    *,
    by_interval: bool = False,
) -> DAG:
    """A DAG without tasks, with the form of a migration, which warns where there is a schedule.

    Parameters:
        dag_id: the DAG's name.
        defaults: values by option name that the form shows first.
        dag_arguments: of `DAG`.
        by_interval: whether each run copies its data interval.

    Raises:
        ValueError: `defaults` names an option that does not exist.
    """
    is_scheduled = dag_arguments.get("schedule") is not None
    options = _explained(by_interval=by_interval, is_scheduled=is_scheduled)
    document = (_SCHEDULED if is_scheduled else "") + (dag_arguments.get("doc_md") or "")
    return _dag(dag_id, _params(options, _OWN, defaults or {}), {**dag_arguments, "doc_md": document or None})


def _dag(dag_id: str, params: Mapping[str, Param], dag_arguments: Mapping[str, Any]) -> DAG:
    """A DAG that somebody triggers by a form."""
    arguments: dict[str, Any] = {
        "schedule": None,
        "catchup": False,
        **dag_arguments,
        "default_args": {"retries": 3, "retry_delay": timedelta(seconds=30), **dag_arguments.get("default_args", {})},
        "params": {**params, **dag_arguments.get("params", {})},
    }
    return DAG(dag_id, **arguments)


_ASSESSMENT_DESCRIPTION = "Looks at all databases of TDengine servers: how big, how long, what stands in the way"

_ASSESSMENT_DOC = """
Looks at all databases of one or several TDengine servers before they are migrated. Nothing is written to any of them,
unless **measure writing** is on: then some rows are copied into scratch databases of the target, which are dropped.

1. Make connections of type TDengine under Admin, Connections: `tdengine_source` and `tdengine_target`.
2. Press **Trigger**, give the window that you have, and a folder for the documents.
3. The log of `assess` has it in short; assessment.html in that folder is for people, assessment.json for programs.
"""


def assessment_dag(
    dag_id: str = "tdengine_assess", *, defaults: Mapping[str, object] | None = None, **dag_arguments: Any
) -> DAG:
    """A DAG that assesses the servers that its trigger form names.

    Parameters:
        dag_id: the DAG's name.
        defaults: values by the names in `migration.assessment_options.ASSESSMENT_OPTIONS` that the form shows first.
        dag_arguments: of `DAG`, such as schedule, default_args, description or doc_md.

    Raises:
        ValueError: `defaults` names an option that does not exist.
    """
    params = _params(ASSESSMENT_OPTIONS, dataclasses.asdict(AssessmentOptions()), defaults or {})
    own = {"description": _ASSESSMENT_DESCRIPTION, "doc_md": _ASSESSMENT_DOC, "tags": ["tdengine_assessment"]}
    with _dag(dag_id, params, {**own, **dag_arguments}) as dag:
        TDengineAssessOperator(task_id="assess")
    return dag
