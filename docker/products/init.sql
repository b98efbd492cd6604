CREATE TABLE products (
  id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name  varchar(60) NOT NULL UNIQUE,
  price numeric(7, 2) NOT NULL CHECK (price >= 0.01),
  stock integer NOT NULL CHECK (stock BETWEEN 0 AND 1000000)
);

INSERT INTO products (name, price, stock)
SELECT format('Product %s', n), 1 + n * 0.25, n % 50 FROM generate_series(1, 500) AS n;
