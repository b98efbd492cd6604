"""A steady load: virtual users who ask, wait and ask again, and count what fails."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from .web import Answer, Client

Journey = Callable[[Client, random.Random], Answer]


class Load:
    """`with Load(port, journey) as load:` runs until the block ends. A request fails by
    an error or by a status of 400 and above. Every second user opens a new connection
    for each request, the others keep theirs."""

    def __init__(self, port: int, journey: Journey | str, users: int = 6, think: float = 0.03):
        target = journey
        self.journey = (lambda client, _: client.get(target)) if isinstance(target, str) else journey
        self.port, self.think = port, think
        self.seconds: list[float] = []
        self.servers: Counter[str] = Counter()
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._users = [threading.Thread(target=self._user, args=(n,), daemon=True) for n in range(users)]

    def __enter__(self) -> "Load":
        self._started = time.monotonic()
        for user in self._users:
            user.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for user in self._users:
            user.join(30)

    @property
    def requests(self) -> int:
        return len(self.seconds)

    def percentile(self, percent: float) -> float:
        """Seconds within which that share of the requests was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0

    def __str__(self) -> str:
        text = f"{self.requests} requests, {len(self.failed)} failed, p50 {self.percentile(50) * 1000:.0f} ms, p99 {self.percentile(99) * 1000:.0f} ms, slowest {self.percentile(100) * 1000:.0f} ms"
        if self.failed:
            text += f"; {dict(Counter(f.split(' s ', 1)[1] for f in self.failed).most_common(4))}, first at {self.failed[0].split(' ')[0]} s"
        return text

    def _user(self, number: int) -> None:
        client, dice = Client(self.port, keep=number % 2 == 0), random.Random(number)
        self._stop.wait(dice.random() * self.think)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                answer = self.journey(client, dice)
                problem = f"status {answer.status} {answer.text[:80]}" if answer.status >= 400 else None
                self.servers[answer.server] += 1
            except Exception as error:  # noqa: BLE001: a client that gets no answer doesn't care why
                problem = f"{type(error).__name__} {error}"
            ended = time.monotonic()
            self.seconds.append(ended - began)
            if problem:
                self.failed.append(f"{ended - self._started:.1f} s {problem}")
            self._stop.wait(self.think * (0.5 + dice.random()))
