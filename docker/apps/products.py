"""products: a catalogue of products."""

from decimal import Decimal
from typing import Annotated

from fastapi import Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service import Fields, Name, database, refuse, service

app = service("products")
engine = database()

MISSING = {"error": "there is no such product"}


class Product(Fields):
    name: Name
    # Strict JSON has no decimals: a string ("12.50") or a number.
    price: Annotated[Decimal, Field(ge=Decimal("0.01"), le=Decimal("99999.99"), decimal_places=2, strict=False)]
    stock: int = Field(ge=0, le=1_000_000)


@app.get("/products")
def products(after: int = Query(0, ge=0), limit: int = Query(20, ge=1, le=100)):
    with engine.connect() as db:
        rows = db.execute(text("SELECT * FROM products WHERE id > :after ORDER BY id LIMIT :limit"), {"after": after, "limit": limit})
        return [shown(row) for row in rows.mappings()]


@app.get("/products/{product}")
def product(product: int):
    with engine.connect() as db:
        row = db.execute(text("SELECT * FROM products WHERE id = :id"), {"id": product}).mappings().one_or_none()
    return shown(row) if row else JSONResponse(MISSING, 404)


@app.post("/products", status_code=201)
def add(new: Product):
    return _write("INSERT INTO products (name, price, stock) VALUES (:name, :price, :stock) RETURNING *", new.model_dump())


@app.put("/products/{product}")
def update(product: int, new: Product):
    return _write(
        "UPDATE products SET name = :name, price = :price, stock = :stock WHERE id = :id RETURNING *",
        new.model_dump() | {"id": product},
    )


@app.delete("/products/{product}")
def remove(product: int):
    with engine.begin() as db:
        found = db.execute(text("DELETE FROM products WHERE id = :id"), {"id": product}).rowcount
    return Response(status_code=204) if found else JSONResponse(MISSING, 404)


def shown(row) -> dict:
    """A product as clients see it, its price as text: a float can't hold 0.10."""
    return {**row, "price": str(row["price"])}


def _write(statement: str, values: dict):
    try:
        with engine.begin() as db:
            row = db.execute(text(statement), values).mappings().one_or_none()
    except IntegrityError:
        return refuse("name", "there is a product of that name", 409)
    return shown(row) if row else JSONResponse(MISSING, 404)
