"""The HTTP API: parse, call what decides, render. Nothing here knows how a job runs or when a version may be deployed."""
