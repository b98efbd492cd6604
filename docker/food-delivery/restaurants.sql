CREATE TABLE restaurants (
  id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name varchar(60) NOT NULL,
  city varchar(60) NOT NULL,
  UNIQUE (name, city)
);

CREATE TABLE menu_items (
  id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  restaurant integer NOT NULL REFERENCES restaurants,
  name       varchar(60) NOT NULL,
  price      numeric(5, 2) NOT NULL CHECK (price >= 0.01),
  UNIQUE (restaurant, name)
);

-- Orders this service was told of, by their numbers there.
CREATE TABLE received (
  id         bigint PRIMARY KEY,
  restaurant integer NOT NULL REFERENCES restaurants,
  lines      jsonb NOT NULL,
  state      varchar(20) NOT NULL DEFAULT 'placed'
);

INSERT INTO restaurants (name, city) VALUES ('Trattoria Verde', 'Bern'), ('Spice Route', 'Basel');
INSERT INTO menu_items (restaurant, name, price) VALUES
  (1, 'Margherita', 14.50), (1, 'Tagliatelle al pesto', 18.00), (1, 'Tiramisu', 7.50),
  (2, 'Palak paneer', 16.00), (2, 'Garlic naan', 4.50);
