"""Alembic's scripts, shipped in the package so that an installed hub can migrate its database."""
