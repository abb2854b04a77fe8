"""The parts of the backend: what each service has, and what its routes get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from sluice_client import Client

from backend.database import Database
from backend.settings import Settings


def _nothing(_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Part:
    """A service. `name`: of its jobs, and the path of its pages: `/NAME` and `/NAME/{job id}`. `title`: in the menu.

    `tables`: statements that make its tables. `templates`: folder of its templates. `install`: mounts more than routes.
    `on_start`: is called with the application's state (`settings`, `database`, `sluice`) before the first request, `refresh`
    before jobs are listed, for a part whose jobs end without a callback.
    """

    name: str
    title: str
    router: APIRouter
    tables: str = ""
    templates: str = ""
    install: Callable[[FastAPI], None] = _nothing
    on_start: Callable[[Any], None] = _nothing
    refresh: Callable[[Any], None] = _nothing


def _settings(request: Request) -> Settings:
    return request.app.state.settings


def _database(request: Request) -> Database:
    return request.app.state.database


def _sluice(request: Request) -> Client:
    return request.app.state.sluice


#: Parameters of routes.
Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
Sluice = Annotated[Client, Depends(_sluice)]
