"""Training, validation and the figures that decide."""
