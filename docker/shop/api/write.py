"""The shop's write side: adds items and updates them, for who has the token."""

import hmac

from flask import jsonify, request

from items import parse
from service import service, setting
from store import Store

app = service("admin-api")
store = Store()
expected = f"Bearer {setting('API_TOKEN')}".encode()


@app.before_request
def authorise():
    # The customers' pages share a network with the administration's, and reach this as well.
    if request.endpoint != "health" and not hmac.compare_digest(request.headers.get("Authorization", "").encode("latin-1"), expected):
        return jsonify(error="the token is missing or wrong"), 401


@app.get("/items")
def items():
    found, source = store.items()
    return jsonify(items=found, source=source)


@app.post("/items")
def save():
    name, quantity, price = parse(request.get_json(silent=True), price_optional=True)
    saved, done = store.save(name, quantity, price)
    return jsonify(result=done, item=saved.json()), 201 if done == "added" else 200
