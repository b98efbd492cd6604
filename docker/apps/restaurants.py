"""food-delivery: restaurants, their menus, and the orders they were told of.

Customers browse, restaurants keep their menus and say how far an order is. What an
order's new state is goes back to the ordering service by a call of its own.
"""

import json
from decimal import Decimal
from typing import Annotated, Literal

import httpx
from fastapi import Query
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service import SERVER, Cache, Fields, Name, database, is_reachable, refuse, service, setting

app = service("restaurants")
engine = database()
cache = Cache()
orders = httpx.Client(base_url=setting("GATEWAY_URL"), timeout=3)

MENU_SECONDS = 60
NO_RESTAURANT = {"error": "there is no such restaurant"}


class Restaurant(Fields):
    name: Name
    city: Name


class MenuItem(Fields):
    name: Name
    price: Annotated[Decimal, Field(ge=Decimal("0.01"), le=Decimal("999.99"), decimal_places=2, strict=False)]


class Ordered(Fields):
    order: int
    lines: list[dict]


class Progress(Fields):
    state: Literal["accepted", "cooking", "on its way", "delivered", "refused"]


@app.get("/status")
def status():
    up = is_reachable(engine)
    cached = bool(cache.ask(lambda r: r.ping()))
    return JSONResponse({"service": "restaurants", "server": SERVER, "database": up, "cache": cached}, 200 if up else 503)


@app.get("/restaurants")
def browse(city: str | None = Query(None, max_length=60)):
    with engine.connect() as db:
        rows = db.execute(text(
            "SELECT id, name, city FROM restaurants WHERE CAST(:city AS text) IS NULL OR city = :city ORDER BY name"
        ), {"city": city})
        return [dict(row) for row in rows.mappings()]


@app.post("/restaurants", status_code=201)
def add(new: Restaurant):
    try:
        with engine.begin() as db:
            return dict(db.execute(text("INSERT INTO restaurants (name, city) VALUES (:name, :city) RETURNING *"), new.model_dump()).mappings().one())
    except IntegrityError:
        return refuse("name", "there is a restaurant of that name in that city", 409)


@app.get("/restaurants/{restaurant}/menu")
def menu(restaurant: int):
    key = f"menu:{restaurant}"
    if known := cache.ask(lambda r: r.get(key)):
        return json.loads(known)
    with engine.connect() as db:
        if not db.execute(text("SELECT 1 FROM restaurants WHERE id = :id"), {"id": restaurant}).scalar():
            return JSONResponse(NO_RESTAURANT, 404)
        rows = db.execute(text("SELECT id, name, price FROM menu_items WHERE restaurant = :id ORDER BY id"), {"id": restaurant})
        # Prices as text: a float can't hold 0.10.
        found = [{**row, "price": str(row["price"])} for row in rows.mappings()]
    cache.ask(lambda r: r.set(key, json.dumps(found), ex=MENU_SECONDS))
    return found


@app.post("/restaurants/{restaurant}/menu", status_code=201)
def add_item(restaurant: int, new: MenuItem):
    return _write_item(
        restaurant, "INSERT INTO menu_items (restaurant, name, price) VALUES (:restaurant, :name, :price) RETURNING id, name, price", new, None)


@app.put("/restaurants/{restaurant}/menu/{item}")
def change_item(restaurant: int, item: int, new: MenuItem):
    return _write_item(
        restaurant, "UPDATE menu_items SET name = :name, price = :price WHERE id = :item AND restaurant = :restaurant RETURNING id, name, price",
        new, item)


@app.get("/restaurants/{restaurant}/orders")
def received(restaurant: int):
    with engine.connect() as db:
        rows = db.execute(text("SELECT id, lines, state FROM received WHERE restaurant = :id ORDER BY id"), {"id": restaurant})
        return [dict(row) for row in rows.mappings()]


@app.put("/restaurants/{restaurant}/orders/{order}")
def progress(restaurant: int, order: int, new: Progress):
    with engine.begin() as db:
        found = db.execute(text("UPDATE received SET state = :state WHERE id = :order AND restaurant = :restaurant"),
                           {"state": new.state, "order": order, "restaurant": restaurant}).rowcount
        if not found:
            return JSONResponse({"error": "there is no such order"}, 404)
        # Inside the transaction: neither side changes without the other.
        try:
            orders.post(f"/callbacks/orders/{order}", json={"state": new.state}).raise_for_status()
        except httpx.HTTPError:
            db.rollback()
            return JSONResponse({"error": "the ordering service is not available, nothing was changed"}, 503)
    return {"order": order, "state": new.state}


@app.post("/callbacks/restaurants/{restaurant}", status_code=201)
def ordered(restaurant: int, new: Ordered):
    """By the ordering service: somebody ordered. A repetition changes nothing."""
    try:
        with engine.begin() as db:
            db.execute(text("INSERT INTO received (id, restaurant, lines) VALUES (:order, :restaurant, :lines) ON CONFLICT (id) DO NOTHING"),
                       {"order": new.order, "restaurant": restaurant, "lines": json.dumps(new.lines)})
    except IntegrityError:
        return JSONResponse(NO_RESTAURANT, 404)
    return {"order": new.order}


def _write_item(restaurant: int, statement: str, new: MenuItem, item: int | None):
    try:
        with engine.begin() as db:
            row = db.execute(text(statement), new.model_dump() | {"restaurant": restaurant, "item": item}).mappings().one_or_none()
    except IntegrityError as error:
        if "foreign key" in str(error.orig):
            return JSONResponse(NO_RESTAURANT, 404)
        return refuse("name", "the menu has an item of that name", 409)
    cache.ask(lambda r: r.delete(f"menu:{restaurant}"), urgent=True)
    return jsonable_encoder({**row, "price": str(row["price"])}) if row else JSONResponse({"error": "there is no such item"}, 404)
