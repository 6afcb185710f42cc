"""Model files that are safe to read, where they come from, and which of them is champion."""
