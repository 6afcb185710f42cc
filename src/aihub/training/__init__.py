"""Training: from a config and a prepared table to a model that was judged on rows it had not seen."""
