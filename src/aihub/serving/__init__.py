"""Answering with what is deployed: compiled versions, the pool that swaps them, and the log of every answer."""
