"""The REST interface: /rest/sql and its sisters, and /rest/login."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from airflow_provider_tdengine.testing.engine import Engine
from airflow_provider_tdengine.testing.faults import Faults
from airflow_provider_tdengine.testing.generations import BoxError
from airflow_provider_tdengine.testing.queries import Result
from airflow_provider_tdengine.testing.stored import Session
from airflow_provider_tdengine.testing.wire.answers import (
    TimeFormat,
    as_utf8,
    rest_affected,
    rest_error,
    rest_rows,
    times_as_integers,
    times_as_rfc3339,
    times_as_text,
    times_as_utc,
    times_in_zone,
)


class RestInterface:
    """REST over one engine.

    Parameters:
        engine: carries out statements.
        faults: what is to go wrong.
        token: accepted as `?token=` in addresses, None for no token.
    """

    def __init__(self, engine: Engine, faults: Faults, token: str | None) -> None:
        self.engine = engine
        self.faults = faults
        self.token = token
        self.generation = engine.generation
        self._logins: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        """What the interface answers to."""
        formats: dict[str, TimeFormat] = {"sql": times_as_rfc3339}
        if self.generation.number == 2:
            formats = {"sql": times_as_text, "sqlt": times_as_integers, "sqlutc": times_as_utc}
        routes = [web.get("/rest/login/{user}/{password}", self.login)]
        for path, times in formats.items():
            handler = _Handler(self, times)
            routes += [
                web.post(f"/rest/{path}", handler.answer),
                web.post(f"/rest/{path}/{{database}}", handler.answer),
            ]
        return routes

    async def login(self, request: web.Request) -> web.Response:
        """A token for `Authorization: Taosd`."""
        user = request.match_info["user"]
        try:
            self.engine.store.accounts.login(user, request.match_info["password"])
        except BoxError as error:
            return _json(rest_error(error, self.generation))
        token = secrets.token_urlsafe(24)
        self._logins[token] = user
        status = '"status":"succ",' if self.generation.number == 2 else ""
        return _json(f'{{{status}"code":0,"desc":"{token}"}}')

    def user_of(self, request: web.Request) -> str:
        """Who asks.

        Raises:
            BoxError: nobody, or somebody with a wrong password.
        """
        if self.token is not None and request.query.get("token") == self.token:
            return "root"
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "taosd" and credentials in self._logins:
            return self._logins[credentials]
        if scheme.lower() != "basic":
            raise self.generation.errors("no_login")
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise self.generation.errors("no_login") from error
        self.engine.store.accounts.login(user, password)
        return user


class _Handler:
    """One of the addresses, with its way to write timestamps."""

    def __init__(self, interface: RestInterface, times: TimeFormat) -> None:
        self.interface = interface
        self.times = times

    async def answer(self, request: web.Request) -> web.Response:
        response = await self._answer(request)
        moment = datetime.now(timezone.utc) + timedelta(seconds=self.interface.faults.clock)
        response.headers["Date"] = format_datetime(moment, usegmt=True)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        interface = self.interface
        generation = interface.generation
        sql = (await request.read()).decode("utf-8", "surrogateescape")
        if status := interface.faults.refusal():
            return web.Response(status=status)
        if interface.faults.seconds:
            await asyncio.sleep(interface.faults.seconds)
        try:
            session = Session(interface.user_of(request))
        except BoxError as error:
            status = generation.unauthorized_status if error.code == generation.errors("no_login").code else 200
            return _json(rest_error(error, generation), status)
        try:
            return _json(self.carry_out(request, session, sql))
        except BoxError as error:
            return _json(rest_error(error, generation))

    def carry_out(self, request: web.Request, session: Session, sql: str) -> str:
        interface = self.interface
        interface.faults.check(sql)
        database = request.match_info.get("database")
        if database is not None:
            if database not in interface.engine.store.databases:
                raise interface.generation.errors("database_missing")
            session.database = database
        times = self.times_for(request.query.get("tz"))
        answer = interface.engine.receive(sql, session)
        if isinstance(answer, int):
            return rest_affected(answer, interface.generation)
        if interface.faults.rest_rows is not None:
            answer = replace(answer, block=answer.block.take(slice(0, interface.faults.rest_rows)))
        return self.rows(answer, times)

    def rows(self, result: Result, times: TimeFormat) -> str:
        if result.is_data:
            self.interface.engine.handed_out(result.block.rows)
        return rest_rows(result, self.interface.generation, times)

    def times_for(self, zone: str | None) -> TimeFormat:
        if zone is None or self.interface.generation.number == 2:
            return self.times
        try:
            return times_in_zone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise BoxError(0xFFFF, f"unknown time zone {zone}") from error


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(body=as_utf8(text), status=status, content_type="application/json", charset="utf-8")
