"""The hub's own tables on SQLite and PostgreSQL, their migrations and their engine. Functions never commit."""
