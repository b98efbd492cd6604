"""Requests to the published port, as a client sends them: the target goes out as written."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def server(self) -> str:
        """The instance that answered; empty where it was the load balancer itself."""
        return self.headers.get("x-served-by", "")


class Client:
    """One connection, kept alive while the other end keeps it."""

    def __init__(self, port: int, timeout: float = 15, keep: bool = True):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.keep = keep

    def request(self, method: str, target: str, body: bytes | None = None, headers: dict | None = None) -> Answer:
        try:
            self.connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                self.connection.putheader(name, value)
            if body is not None:
                self.connection.putheader("Content-Length", str(len(body)))
            if not self.keep:
                self.connection.putheader("Connection", "close")
            self.connection.endheaders(body)
            response = self.connection.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except Exception:
            self.connection.close()
            raise
        if not self.keep:
            self.connection.close()
        return answer

    def get(self, target: str, headers: dict | None = None) -> Answer:
        return self.request("GET", target, headers=headers)

    def form(self, target: str, fields: dict, headers: dict | None = None) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", target, urllib.parse.urlencode(fields).encode(), kind | (headers or {}))

    def send(self, method: str, target: str, value: object) -> Answer:
        return self.request(method, target, json.dumps(value).encode(), {"Content-Type": "application/json"})


def until(seconds: float, holds: Callable[[], object], pause: float = 0.2):
    """What `holds` returns as soon as that is true; its last value when time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = holds()
        except (OSError, http.client.HTTPException, ValueError):
            value = None
        if value or time.monotonic() > end:
            return value
        time.sleep(pause)
