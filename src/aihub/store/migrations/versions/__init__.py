"""One module per revision, forward and back."""
