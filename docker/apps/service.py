"""What the services share: settings by environment, the database, the cache, and how
they answer when something is wrong."""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

SERVER = socket.gethostname()
log = logging.getLogger("uvicorn.error")

# A name or a short text that people read: one line, no control characters.
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f<>]+$")]


class Fields(BaseModel):
    """A request's body: no field but those named, no conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True)


def setting(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if not value:
        print(f"{name} is not set", file=sys.stderr)
        sys.exit(2)
    return value


def service(title: str) -> FastAPI:
    app = FastAPI(title=title)

    @app.get("/health")
    def health():
        # Only that the process serves; what it depends on has its own checks.
        return {"status": "ok", "server": SERVER}

    @app.middleware("http")
    async def served_by(request: Request, next_step):
        response = await next_step(request)
        response.headers["X-Served-By"] = SERVER
        return response

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError):
        fields = {".".join(str(part) for part in e["loc"][1:]) or "body": e["msg"] for e in error.errors()}
        return JSONResponse({"error": "invalid", "errors": fields}, 422)

    @app.exception_handler(SQLAlchemyError)
    def unavailable(_: Request, error: SQLAlchemyError):
        log.error("database: %s", error)
        return JSONResponse({"error": "the database is not available"}, 503)

    return app


def refuse(field: str, why: str, status: int = 422) -> JSONResponse:
    """The answer to a value that only the database could tell to be wrong."""
    return JSONResponse({"error": "invalid", "errors": {field: why}}, status)


def database() -> Engine:
    url = URL.create(
        "postgresql+psycopg", setting("DB_USER"), setting("DB_PASS"), setting("DB_HOST"),
        int(setting("DB_PORT", "5432")), setting("DB_NAME"),
    )
    # A request waits for a connection longer than a disk that stalls under the database,
    # but not as long as lb waits for the request (10 s).
    return create_engine(
        url, pool_pre_ping=True, pool_recycle=300, pool_timeout=8, pool_size=int(setting("DB_POOL", "16")),
        max_overflow=0, connect_args={"connect_timeout": 5},
    )


def is_reachable(engine: Engine) -> bool:
    try:
        with engine.connect() as db:
            db.execute(text("SELECT 1"))
        return True
    except SQLAlchemyError:
        return False


class Cache:
    """Redis, as far as it answers. After a failure it is left alone for a moment, so
    that not every request pays for its time-out."""

    PAUSE = 2.0

    def __init__(self):
        self.redis = redis.Redis(
            setting("REDIS_HOST"), int(setting("REDIS_PORT", "6379")), decode_responses=True,
            socket_connect_timeout=0.5, socket_timeout=0.5, retry=None,
        )
        self.away_until = 0.0

    def ask(self, question: Callable[[redis.Redis], Any], urgent: bool = False) -> Any | None:
        if time.monotonic() < self.away_until and not urgent:
            return None
        try:
            return question(self.redis)
        except redis.RedisError as error:
            self.away_until = time.monotonic() + self.PAUSE
            log.warning("no cache for %s s: %s", self.PAUSE, error)
            return None
