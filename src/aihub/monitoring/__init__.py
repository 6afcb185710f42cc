"""Watching what serves: predictions and actuals in, windows of sums, performance, drift, data quality and rules out."""
