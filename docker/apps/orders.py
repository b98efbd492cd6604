"""food-delivery: placing an order and following it.

Prices are those of the restaurant's menu, from the shared cache or else from the
restaurant service; and the restaurant is told of the order before it counts as placed.
"""

import json
from decimal import Decimal
from typing import Annotated, Literal

import httpx
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import text

from service import SERVER, Cache, Fields, Name, database, is_reachable, refuse, service, setting

app = service("orders")
engine = database()
cache = Cache()
restaurants = httpx.Client(base_url=setting("GATEWAY_URL"), timeout=3)


class Line(Fields):
    item: int
    quantity: int = Field(ge=1, le=50)


class Order(Fields):
    restaurant: int = Field(ge=1)
    customer: Name
    address: Name
    lines: Annotated[list[Line], Field(min_length=1, max_length=50)]


class Progress(Fields):
    state: Literal["accepted", "cooking", "on its way", "delivered", "refused"]


@app.get("/status")
def status():
    up = is_reachable(engine)
    cached = bool(cache.ask(lambda r: r.ping()))
    return JSONResponse({"service": "orders", "server": SERVER, "database": up, "cache": cached}, 200 if up else 503)


@app.post("/orders", status_code=201)
def place(new: Order):
    try:
        menu = {item["id"]: item for item in _menu(new.restaurant)}
    except LookupError:
        return refuse("restaurant", "there is no such restaurant")
    except httpx.HTTPError:
        return JSONResponse({"error": "the restaurant can't be reached, nothing was ordered"}, 503)
    lines = []
    for number, line in enumerate(new.lines):
        if line.item not in menu:
            return refuse(f"lines.{number}.item", "is not on the restaurant's menu")
        item = menu[line.item]
        lines.append({"name": item["name"], "quantity": line.quantity, "price": item["price"]})
    total = sum(Decimal(line["price"]) * line["quantity"] for line in lines)

    with engine.begin() as db:
        order = db.execute(text(
            "INSERT INTO orders (restaurant, customer, address, lines, total) VALUES (:restaurant, :customer, :address, :lines, :total) RETURNING id"
        ), new.model_dump(exclude={"lines"}) | {"lines": json.dumps(lines), "total": total}).scalar_one()
        _note(db, order, "placed")
        # Inside the transaction: an order the restaurant doesn't know of is none.
        try:
            restaurants.post(f"/callbacks/restaurants/{new.restaurant}", json={"order": order, "lines": lines}).raise_for_status()
        except httpx.HTTPError:
            db.rollback()
            return JSONResponse({"error": "the restaurant can't be reached, nothing was ordered"}, 503)
    return {"order": order, "state": "placed", "total": str(total)}


@app.get("/orders/{order}")
def track(order: int):
    with engine.connect() as db:
        row = db.execute(text("SELECT id AS order, restaurant, lines, total FROM orders WHERE id = :id"), {"id": order}).mappings().one_or_none()
        if row is None:
            return JSONResponse({"error": "there is no such order"}, 404)
        states = db.execute(text("SELECT state, at FROM order_states WHERE order_id = :id ORDER BY id"), {"id": order}).mappings().all()
    return {**row, "total": str(row["total"]), "state": states[-1]["state"], "states": [dict(s) for s in states]}


@app.post("/callbacks/orders/{order}")
def progressed(order: int, new: Progress):
    """By the restaurant service: how far the order is."""
    with engine.begin() as db:
        if not db.execute(text("SELECT 1 FROM orders WHERE id = :id"), {"id": order}).scalar():
            return JSONResponse({"error": "there is no such order"}, 404)
        _note(db, order, new.state)
    return {"order": order, "state": new.state}


def _menu(restaurant: int) -> list[dict]:
    if known := cache.ask(lambda r: r.get(f"menu:{restaurant}")):
        return json.loads(known)
    answer = restaurants.get(f"/restaurants/{restaurant}/menu")
    if answer.status_code == 404:
        raise LookupError
    return answer.raise_for_status().json()


def _note(db, order: int, state: str) -> None:
    db.execute(text("INSERT INTO order_states (order_id, state) VALUES (:order, :state)"), {"order": order, "state": state})
