"""restaurant: diets, each the most a meal may hold."""

from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service import Fields, Name, database, refuse, service

app = service("diets")
engine = database()


class Diet(Fields):
    name: Name
    calories: int = Field(ge=0, le=10_000)
    sodium: int = Field(ge=0, le=10_000)
    sugar: int = Field(ge=0, le=10_000)


@app.get("/diets")
def diets():
    with engine.connect() as db:
        return [dict(row) for row in db.execute(text("SELECT * FROM diets ORDER BY name")).mappings()]


@app.get("/diets/{name:path}")   # a name may hold a slash
def diet(name: str):
    with engine.connect() as db:
        row = db.execute(text("SELECT * FROM diets WHERE name = :name"), {"name": name}).mappings().one_or_none()
    return dict(row) if row else JSONResponse({"error": "there is no such diet"}, 404)


@app.post("/diets", status_code=201)
def add(diet: Diet):
    try:
        with engine.begin() as db:
            return dict(db.execute(text(
                "INSERT INTO diets (name, calories, sodium, sugar) VALUES (:name, :calories, :sodium, :sugar) RETURNING *"
            ), diet.model_dump()).mappings().one())
    except IntegrityError:
        return refuse("name", "there is a diet of that name", 409)
