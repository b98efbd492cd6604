CREATE TABLE orders (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  restaurant integer NOT NULL,
  customer   varchar(60) NOT NULL,
  address    varchar(60) NOT NULL,
  lines      jsonb NOT NULL,
  total      numeric(9, 2) NOT NULL CHECK (total > 0)
);

CREATE TABLE order_states (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES orders,
  state    varchar(20) NOT NULL,
  at       timestamptz NOT NULL DEFAULT now()
);
