"""The shop's write side: adds items and updates them."""

from flask import jsonify, request

from items import parse
from service import service
from store import Store

app = service("admin-api")
store = Store()


@app.get("/items")
def items():
    found, source = store.items()
    return jsonify(items=found, source=source)


@app.post("/items")
def save():
    name, quantity, price = parse(request.get_json(silent=True), price_optional=True)
    saved, done = store.save(name, quantity, price)
    return jsonify(result=done, item=saved.json()), 201 if done == "added" else 200
