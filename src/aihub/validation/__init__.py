"""Validation: profiles, drift, checks, gate and reports. Pure: imports numpy and narwhals, nothing else eagerly."""
