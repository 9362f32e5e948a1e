"""What has another place in Airflow 3.1 than in later ones.

`airflow.providers.common.compat` knows these, too, but not in the versions that Airflow 3.1.0 to 3.1.5 were released
with.
"""

from __future__ import annotations

try:
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowSkipException,
        DagRunTriggerException,
    )
    from airflow.sdk.observability.stats import Stats
except ImportError:
    from airflow.configuration import conf
    from airflow.exceptions import (  # type: ignore[attr-defined, no-redef]
        AirflowException,
        AirflowFailException,
        AirflowSkipException,
        DagRunTriggerException,
    )
    from airflow.stats import Stats

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "DagRunTriggerException",
    "Stats",
    "conf",
]
