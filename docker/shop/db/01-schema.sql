-- What the services check is checked here as well.
CREATE TABLE items (
  -- Unicode 5.2: the older utf8mb4_unicode_ci takes all letters above U+FFFF for the same.
  name     VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci NOT NULL PRIMARY KEY,
  quantity INT UNSIGNED NOT NULL,
  price    DECIMAL(7, 2) NOT NULL,
  CONSTRAINT items_quantity CHECK (quantity <= 1000000),
  CONSTRAINT items_price CHECK (price >= 0.01)
);

INSERT INTO items (name, quantity, price) VALUES
  ('Apple juice, 1 l', 84, 2.40),
  ('Dark chocolate 85 %', 120, 1.95),
  ('Espresso beans, 500 g', 36, 9.80),
  ('Olive oil, 750 ml', 22, 11.50),
  ('Rye bread', 15, 3.60),
  ('Sea salt, 250 g', 48, 1.20);
