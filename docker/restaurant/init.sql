-- A portion: kilocalories, milligrams of sodium, grams of sugar.
CREATE TABLE dishes (
  id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name     varchar(60) NOT NULL UNIQUE,
  calories integer NOT NULL CHECK (calories BETWEEN 0 AND 10000),
  sodium   integer NOT NULL CHECK (sodium BETWEEN 0 AND 10000),
  sugar    integer NOT NULL CHECK (sugar BETWEEN 0 AND 10000)
);

CREATE TABLE meals (
  id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name      varchar(60) NOT NULL UNIQUE,
  appetizer integer NOT NULL REFERENCES dishes,
  main      integer NOT NULL REFERENCES dishes,
  dessert   integer NOT NULL REFERENCES dishes
);

CREATE TABLE diets (
  name     varchar(60) PRIMARY KEY,
  calories integer NOT NULL CHECK (calories BETWEEN 0 AND 10000),
  sodium   integer NOT NULL CHECK (sodium BETWEEN 0 AND 10000),
  sugar    integer NOT NULL CHECK (sugar BETWEEN 0 AND 10000)
);

INSERT INTO dishes (name, calories, sodium, sugar) VALUES
  ('Tomato soup', 90, 480, 6), ('Lentil curry', 420, 620, 8), ('Fruit salad', 120, 5, 22),
  ('Bruschetta', 180, 390, 3), ('Beef lasagne', 650, 980, 9), ('Chocolate cake', 480, 310, 38);
INSERT INTO meals (name, appetizer, main, dessert) VALUES ('Light lunch', 1, 2, 3), ('Sunday dinner', 4, 5, 6);
INSERT INTO diets (name, calories, sodium, sugar) VALUES ('low sugar', 900, 2000, 40), ('anything', 10000, 10000, 10000);
