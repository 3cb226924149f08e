"""Data that is rendered, not read."""
