"""What was checked, said as it happens."""

import sys
import time
from contextlib import contextmanager


class Report:
    def __init__(self, topology: str):
        self.topology = topology
        self.started = time.monotonic()
        self.checks = 0
        self.failures: list[str] = []

    def step(self, what: str) -> None:
        self._say(f"-- {what}")

    def note(self, what: str) -> None:
        self._say(f"   {what}")

    def check(self, promise: str, holds: object, found: object = "") -> bool:
        """One promise; what was found instead is printed where it doesn't hold."""
        self.checks += 1
        if holds:
            self._say(f"ok {promise}")
        else:
            self.failures.append(promise)
            self._say(f"FAILED {promise}" + (f": {found}" if found != "" else ""))
        return bool(holds)

    def equal(self, promise: str, found: object, expected: object) -> bool:
        return self.check(promise, found == expected, f"{found!r}, not {expected!r}")

    @contextmanager
    def guarded(self, what: str):
        """A part whose failure is reported and doesn't keep the next from being tried."""
        self.step(what)
        try:
            yield
        except Exception as error:  # noqa: BLE001: whatever it is, it is a failed check
            self.failures.append(what)
            self._say(f"FAILED {what}: {type(error).__name__}: {error}")

    def _say(self, text: str) -> None:
        print(f"{self.topology} {time.monotonic() - self.started:6.1f} s  {text}", flush=True)
        sys.stdout.flush()
