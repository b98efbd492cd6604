"""restaurant: dishes, and meals made of three of them. Which meals fit a diet is asked
of the diets service, through the load balancer."""

from urllib.parse import quote

import httpx
from fastapi import Query
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service import Fields, Name, database, refuse, service, setting

app = service("meals")
engine = database()
diets = httpx.Client(base_url=setting("DIETS_URL"), timeout=3)

COURSES = ("appetizer", "main", "dessert")
MEALS = """
    SELECT m.id, m.name, m.appetizer, m.main, m.dessert,
           sum(d.calories) AS calories, sum(d.sodium) AS sodium, sum(d.sugar) AS sugar
      FROM meals m JOIN dishes d ON d.id IN (m.appetizer, m.main, m.dessert)
     WHERE (CAST(:id AS integer) IS NULL OR m.id = :id)
     GROUP BY m.id
    HAVING sum(d.calories) <= :calories AND sum(d.sodium) <= :sodium AND sum(d.sugar) <= :sugar
     ORDER BY m.id
"""
ANY = {"id": None, "calories": 1_000_000, "sodium": 1_000_000, "sugar": 1_000_000}


class Dish(Fields):
    """A portion: kilocalories, milligrams of sodium, grams of sugar."""

    name: Name
    calories: int = Field(ge=0, le=10_000)
    sodium: int = Field(ge=0, le=10_000)
    sugar: int = Field(ge=0, le=10_000)


class Meal(Fields):
    name: Name
    appetizer: int
    main: int
    dessert: int


@app.get("/dishes")
def dishes():
    with engine.connect() as db:
        return [dict(row) for row in db.execute(text("SELECT * FROM dishes ORDER BY id")).mappings()]


@app.post("/dishes", status_code=201)
def add_dish(dish: Dish):
    try:
        with engine.begin() as db:
            return dict(db.execute(text(
                "INSERT INTO dishes (name, calories, sodium, sugar) VALUES (:name, :calories, :sodium, :sugar) RETURNING *"
            ), dish.model_dump()).mappings().one())
    except IntegrityError:
        return refuse("name", "there is a dish of that name", 409)


@app.get("/meals")
def meals(diet: str | None = Query(None, min_length=1, max_length=60)):
    limits = dict(ANY)
    if diet is not None:
        try:
            answer = diets.get(f"/diets/{quote(diet, safe='')}")
        except httpx.HTTPError:
            return JSONResponse({"error": "the diets are not available"}, 503)
        if answer.status_code == 404:
            return refuse("diet", "there is no diet of that name")
        if answer.status_code != 200:
            return JSONResponse({"error": "the diets are not available"}, 503)
        limits |= {key: answer.json()[key] for key in ("calories", "sodium", "sugar")}
    with engine.connect() as db:
        return [dict(row) for row in db.execute(text(MEALS), limits).mappings()]


@app.get("/meals/{meal}")
def meal(meal: int):
    with engine.connect() as db:
        row = db.execute(text(MEALS), ANY | {"id": meal}).mappings().one_or_none()
    return dict(row) if row else JSONResponse({"error": "there is no such meal"}, 404)


@app.post("/meals", status_code=201)
def add_meal(meal: Meal):
    new = meal.model_dump()
    with engine.connect() as db:
        known = set(db.execute(text("SELECT id FROM dishes WHERE id = ANY(:ids)"), {"ids": [new[c] for c in COURSES]}).scalars())
    for course in COURSES:
        if new[course] not in known:
            return refuse(course, "there is no such dish")
    if len(known) < len(COURSES):
        return refuse("main", "the three dishes must differ")
    try:
        with engine.begin() as db:
            return dict(db.execute(text(
                "INSERT INTO meals (name, appetizer, main, dessert) VALUES (:name, :appetizer, :main, :dessert) RETURNING *"
            ), new).mappings().one())
    except IntegrityError:
        return refuse("name", "there is a meal of that name", 409)
