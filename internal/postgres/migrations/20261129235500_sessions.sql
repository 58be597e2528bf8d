-- +goose Up

-- Browsers that have logged in, by the SHA-256 of their tokens.
CREATE TABLE keys_sessions (
	token   bytea PRIMARY KEY,
	secret  bytea NOT NULL, -- the SHA-256 of that of the key
	expires bigint NOT NULL -- seconds since 1970
);
CREATE INDEX keys_sessions_expires ON keys_sessions (expires);
