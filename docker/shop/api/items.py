"""What an item is. The one place that knows; used for what clients send and for
what the database returns."""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

NAME_LENGTH = 40
MAX_QUANTITY = 1_000_000
MAX_PRICE = Decimal("99999.99")

# Letters and digits of any script with what is written on them (Unicode's categories L,
# N and M), inner blanks, and the marks found in names of goods.
NAME_CATEGORIES, NAME_MARKS = "LNM", " '&.,()+/%-"
# Digits as programs write them: Python alone would take 1_0 and ١٠ as well.
PRICE = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class Invalid(ValueError):
    """Why, by the name of the field."""

    def __init__(self, errors: dict[str, str]):
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True)
class Item:
    name: str
    quantity: int
    price: Decimal

    def json(self) -> dict:
        # A decimal as a string: a float can't hold 0.10.
        return {"name": self.name, "quantity": self.quantity, "price": f"{self.price:.2f}"}


def parse(fields: object, *, price_optional: bool = False) -> tuple[str, int, Decimal | None]:
    """Name, quantity and price of untrusted `fields`, all their errors at once."""
    if not isinstance(fields, dict):
        raise Invalid({"": "must be a JSON object with name, quantity and price"})
    errors: dict[str, str] = {f: "is not a field" for f in sorted(set(fields) - {"name", "quantity", "price"}, key=str)}
    values = {}
    for field, check in (("name", _name), ("quantity", _quantity), ("price", _price)):
        try:
            values[field] = check(fields.get(field))
        except ValueError as error:
            errors[field] = str(error)
    if price_optional and fields.get("price") in (None, ""):
        errors.pop("price", None)
    if errors:
        raise Invalid(errors)
    return values["name"], values["quantity"], values.get("price")


def item(row: dict) -> Item:
    """An item of a database row; rows are checked as strictly as forms."""
    found = Item(*parse(dict(row)))
    if found.name != row["name"]:
        raise Invalid({"name": "is not as this service stores names"})
    return found


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    # However the letter was typed, it is one: é, not e and an accent.
    name = unicodedata.normalize("NFC", " ".join(value.split()))
    if not name:
        raise ValueError("is missing")
    if len(name) > NAME_LENGTH:
        raise ValueError(f"must have at most {NAME_LENGTH} characters, has {len(name)}")
    if not name[0].isalnum() or not all(c in NAME_MARKS or unicodedata.category(c)[0] in NAME_CATEGORIES for c in name):
        raise ValueError("must begin with a letter or digit and hold only letters, digits, blanks and ' & . , ( ) + / % -")
    return name


def _quantity(value: object) -> int:
    if value in (None, ""):
        raise ValueError("is missing")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    if not 0 <= value <= MAX_QUANTITY:
        raise ValueError(f"must be between 0 and {MAX_QUANTITY}")
    return value


def _price(value: object) -> Decimal:
    if value in (None, ""):
        raise ValueError("is missing")
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise ValueError("must be a number such as 12.50")
    written = str(value).strip()
    if not PRICE.fullmatch(written):
        raise ValueError("must be a number such as 12.50")
    price = Decimal(written)
    if not Decimal("0.01") <= price <= MAX_PRICE:
        raise ValueError(f"must be between 0.01 and {MAX_PRICE}")
    if price != round(price, 2):
        raise ValueError("must have at most two decimals")
    return price
