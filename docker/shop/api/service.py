"""What both services share: settings by environment, errors as JSON, health."""

import os
import socket
import sys

from flask import Flask, jsonify
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from items import Invalid


def setting(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if not value:
        print(f"{name} is not set", file=sys.stderr)
        sys.exit(2)
    return value


def service(name: str) -> Flask:
    app = Flask(name)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    app.json.sort_keys = False
    server = socket.gethostname()

    @app.get("/health")
    def health():
        # Only that the process serves. Whether the database does is its own check's
        # answer: all instances leaving the rotation at once would help nobody.
        return jsonify(status="ok", server=server)

    @app.after_request
    def served_by(response):
        response.headers["X-Served-By"] = server
        return response

    @app.errorhandler(Invalid)
    def invalid(error):
        return jsonify(error="invalid", errors=error.errors), 422

    @app.errorhandler(HTTPException)
    def http(error):
        return jsonify(error=error.name.lower()), error.code

    @app.errorhandler(SQLAlchemyError)
    def database(error):
        app.logger.error("database: %s", error)
        return jsonify(error="the database is not available"), 503

    return app
