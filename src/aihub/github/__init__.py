"""GitHub's side of a delivery: who a workflow is, what it is told, and what people see there."""
