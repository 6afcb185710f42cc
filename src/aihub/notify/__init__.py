"""Tell people and programs what happened: who hears of what, when, and in which form. Knows no database."""
