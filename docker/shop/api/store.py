"""The items in MySQL, and the cache in front of them.

The cached list carries the generation it was read at. A write raises the generation,
so a list that was read before the write is never taken for one after it, however the
two interleave. Without a cache everything works, only slower: after a failure it is
left alone for a moment, so that not every request pays for its time-out.
"""

import json
import logging
import time
from decimal import Decimal

import redis
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError

from items import Invalid, Item, item
from service import setting

LIST, GENERATION = "items", "items:generation"
log = logging.getLogger("shop.store")


def database() -> Engine:
    url = URL.create(
        "mysql+pymysql", setting("DB_USER"), host=setting("DB_HOST"), port=int(setting("DB_PORT", "3306")),
        database=setting("DB_NAME"), query={"charset": "utf8mb4"},
    )
    return create_engine(
        url, pool_pre_ping=True, pool_recycle=int(setting("DB_RECYCLE", "300")), pool_timeout=6,
        pool_size=int(setting("THREADS", "16")), max_overflow=0,
        # As bytes: PyMySQL would encode a password's é as Latin-1.
        connect_args={"password": setting("DB_PASSWORD").encode(), "connect_timeout": 4, "read_timeout": 5, "write_timeout": 5},
    )


class Cache:
    """Redis, as far as it answers."""

    def __init__(self):
        self.redis = redis.Redis(
            setting("CACHE_HOST"), int(setting("CACHE_PORT", "6379")), decode_responses=True,
            socket_connect_timeout=0.3, socket_timeout=0.3, retry=None,
        )
        self.ttl = int(setting("CACHE_TTL", "30"))
        self.pause = float(setting("CACHE_PAUSE", "2"))
        self.away_until = 0.0

    def read(self) -> tuple[dict | None, str | None]:
        """The list if it is current, and the generation to store a new one under."""
        cached, generation = self._ask(lambda r: r.mget(LIST, GENERATION)) or (None, None)
        generation = generation or "0"
        try:
            known = json.loads(cached) if cached else None
        except ValueError:
            known = None
        if known and known.get("generation") == generation:
            return known, generation
        return None, generation

    def write(self, items: list[dict], generation: str) -> None:
        body = json.dumps({"generation": generation, "items": items})
        self._ask(lambda r: r.set(LIST, body, ex=self.ttl))

    def invalidate(self) -> None:
        # Tried even in a pause: the cache may be back for the other services already.
        # What it misses while it is away ends with the list's time to live.
        self._ask(lambda r: r.incr(GENERATION), urgent=True)

    def _ask(self, question, urgent=False):
        if time.monotonic() < self.away_until and not urgent:
            return None
        try:
            return question(self.redis)
        except redis.RedisError as error:
            self.away_until = time.monotonic() + self.pause
            log.warning("no cache for %s s: %s", self.pause, error)
            return None


class Store:
    def __init__(self):
        self.engine = database()
        self.cache = Cache()

    def items(self) -> tuple[list[dict], str]:
        """All items by name, and whether they came from the `cache` or the `database`."""
        known, generation = self.cache.read()
        if known:
            return known["items"], "cache"
        with self.engine.connect() as db:
            rows = db.execute(text("SELECT name, quantity, price FROM items ORDER BY name")).mappings().all()
        items = []
        for row in rows:
            try:
                items.append(item(row).json())
            except Invalid as invalid:
                log.error("left out of the list: row %r: %s", dict(row), invalid.errors)
        self.cache.write(items, generation)
        return items, "database"

    def save(self, name: str, quantity: int, price: Decimal | None) -> tuple[Item, str]:
        """Adds an item, or updates the one of that name; and says which of these it did.
        Without a price, an item keeps the one it has, and a new one is refused."""
        new = {"name": name, "quantity": quantity, "price": price}
        done = "updated" if self._update(new) else "added"
        if done == "added":
            if price is None:
                raise Invalid({"price": "is missing, and there is no item of that name yet"})
            try:
                with self.engine.begin() as db:
                    db.execute(text("INSERT INTO items (name, quantity, price) VALUES (:name, :quantity, :price)"), new)
            except IntegrityError:  # another request added it in between
                self._update(new)
                done = "updated"
        self.cache.invalidate()
        with self.engine.connect() as db:
            row = db.execute(text("SELECT name, quantity, price FROM items WHERE name = :name"), new).mappings().one()
        return item(row), done

    def _update(self, new: dict) -> bool:
        with self.engine.begin() as db:
            # SQLAlchemy asks MySQL to count the rows found, not only those changed.
            return db.execute(
                text("UPDATE items SET quantity = :quantity, price = COALESCE(:price, price) WHERE name = :name"), new
            ).rowcount > 0
