"""The embedded engine: asks core what next, does it, commits the answer."""
