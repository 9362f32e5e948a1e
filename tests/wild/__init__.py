"""The wild test: random databases migrated by the command line, and compared by somebody who knows nothing of it.

    python -m tests.wild --source URL --target URL --seeds 0-99 --faults

A seed is a database (`generator`). It is filled, migrated with `airflow-tdengine`, and both sides are read and
compared (`comparer`, over `server`, which share no code with the package). Then the target is damaged (`faults`):
`verify` has to name each damaged table, and `migrate` to mend it (`driver`).
"""
