"""Airflow's REST API as somebody uses it whose API server is killed now and then: asked until it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import httpx

_PATIENCE = 300.0
"""Seconds until an API server has to answer again: it starts in ten, on a machine that is busy in sixty."""


class _Persistent(httpx.BaseTransport):
    """Asks again while there is no server, or one that has no database."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = self._inner.handle_request(request)
                if answer.status_code < 500:
                    return answer
                answer.close()
                said = f"status {answer.status_code}"
            except httpx.TransportError as error:
                said = str(error)
            if time.monotonic() > deadline:
                raise httpx.ConnectError(f"Airflow does not answer {request.method} {request.url.path}: {said}")
            time.sleep(1)

    def close(self) -> None:
        self._inner.close()


class _Login(httpx.Auth):
    """Logs in at first, and again where a token is not taken any more."""

    requires_response_body = True

    def __init__(self, address: str, password: str) -> None:
        self._address, self._login = address, {"username": "admin", "password": password}
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for _ in range(2):
            if not self._token:
                answer = yield httpx.Request("POST", f"{self._address}/auth/token", json=self._login)
                self._token = str(answer.json()["access_token"])
            request.headers["Authorization"] = f"Bearer {self._token}"
            answer = yield request
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                return
            self._token = ""


class Api:
    """What the soak asks of Airflow.

    Parameters:
        address: of the API server.
        password: of its user admin.
    """

    def __init__(self, address: str, password: str) -> None:
        self._http = httpx.Client(base_url=address, transport=_Persistent(), auth=_Login(address, password), timeout=60)

    def close(self) -> None:
        self._http.close()

    def unpause(self, dag: str) -> None:
        self._http.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}).raise_for_status()

    def trigger(self, dag: str, run: str, conf: dict[str, object]) -> None:
        """Start a run, unless there is one of this id: an answer may have been lost."""
        body = {"dag_run_id": run, "logical_date": None, "conf": conf}
        answer = self._http.post(f"/api/v2/dags/{dag}/dagRuns", json=body)
        if answer.status_code != httpx.codes.CONFLICT:
            answer.raise_for_status()

    def state(self, dag: str, run: str) -> str:
        return str(self._http.get(f"/api/v2/dags/{dag}/dagRuns/{run}").raise_for_status().json()["state"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        answer = self._http.get(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances", params={"limit": 100})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["task_instances"]
        return found

    def running(self) -> list[dict[str, Any]]:
        """Task instances that run, of all runs."""
        answer = self._http.get("/api/v2/dags/~/dagRuns/~/taskInstances", params={"state": "running"})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["task_instances"]
        return found

    def clear_failed(self, dag: str, run: str) -> None:
        body = {"dry_run": False, "dag_run_id": run, "only_failed": True}
        self._http.post(f"/api/v2/dags/{dag}/clearTaskInstances", json=body).raise_for_status()

    def finish(self, dag: str, run: str) -> None:
        """What the button Finish does."""
        address = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/follow"
        self._http.patch(address, json={"new_state": "success"}).raise_for_status()

    def log(self, dag: str, run: str, task: dict[str, Any]) -> str:
        """What a task said in its last attempt, as JSON; empty where its log has gone."""
        place = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        answer = self._http.get(place, params={"map_index": task["map_index"], "full_content": True})
        return answer.text if answer.is_success else ""

    def findings(self, dag: str, run: str, task: dict[str, Any]) -> list[str]:
        """Why a task failed, in its own words."""
        place = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task['task_id']}/xcomEntries/findings"
        answer = self._http.get(place, params={"map_index": task["map_index"], "deserialize": True})
        return [f"{one['object']}: {one['found']}" for one in answer.json()["value"]] if answer.is_success else []

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether something came about in time."""
        deadline = time.monotonic() + seconds
        while not (is_so := condition()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return is_so
