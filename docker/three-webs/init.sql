CREATE TABLE entries (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  author  varchar(40) NOT NULL,
  message varchar(280) NOT NULL,
  signed  timestamptz NOT NULL DEFAULT now()
);
