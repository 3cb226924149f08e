"""The constrained search."""
