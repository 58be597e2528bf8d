-- +goose Up

-- The generation that programs must know to use the schema. Steps that programs before
-- them cannot live with raise it.
CREATE TABLE schema_generation (
	id         boolean PRIMARY KEY DEFAULT true CHECK (id),
	generation integer NOT NULL
);
INSERT INTO schema_generation (generation) VALUES (1);
