"""three-webs: a guest book in PostgreSQL and a count of visits in Redis, with the
instance that answered and what the load balancer says of the client."""

from pathlib import Path
from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy import text

from service import SERVER, Cache, database, service

AUTHOR_LENGTH, TEXT_LENGTH = 40, 280

app = service("guest book")
engine = database()
cache = Cache()
pages = Jinja2Templates(Path(__file__).parent / "templates")


@app.get("/")
def page(request: Request):
    visits = cache.ask(lambda r: r.hincrby("visits", SERVER, 1) and r.hgetall("visits"))
    return show(request, visits)


@app.post("/")
def sign(request: Request, author: Annotated[str, Form()] = "", message: Annotated[str, Form()] = ""):
    values = {"author": " ".join(author.split()), "message": " ".join(message.split())}
    errors = {}
    for field, longest in (("author", AUTHOR_LENGTH), ("message", TEXT_LENGTH)):
        if not values[field].isprintable() or not values[field]:
            errors[field] = "Please fill this in."
        elif len(values[field]) > longest:
            errors[field] = f"At most {longest} characters, please; these are {len(values[field])}."
    if errors:
        return show(request, cache.ask(lambda r: r.hgetall("visits")), values, errors, 422)
    with engine.begin() as db:
        db.execute(text("INSERT INTO entries (author, message) VALUES (:author, :message)"), values)
    return RedirectResponse("/", 303)


@app.get("/entries")
def entries():
    return JSONResponse([{**e, "signed": e["signed"].isoformat()} for e in latest()])


def latest() -> list[dict]:
    with engine.connect() as db:
        rows = db.execute(text("SELECT author, message, signed FROM entries ORDER BY id DESC LIMIT 50")).mappings()
        return [dict(row) for row in rows]


def show(request: Request, visits: dict | None, values: dict | None = None, errors: dict | None = None, status: int = 200):
    return pages.TemplateResponse(request, "guestbook.html", {
        "server": SERVER,
        "forwarded": {name: request.headers.get(f"x-forwarded-{name}", "") for name in ("for", "proto", "host")},
        "visits": {name: int(count) for name, count in sorted((visits or {}).items())},
        "entries": latest(),
        "values": values or {},
        "errors": errors or {},
    }, status)
