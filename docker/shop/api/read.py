"""The shop's read side. Its database user can only SELECT."""

from flask import jsonify

from service import service
from store import Store

app = service("api")
store = Store()


@app.get("/items")
def items():
    found, source = store.items()
    return jsonify(items=found, source=source)
