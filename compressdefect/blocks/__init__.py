"""Building blocks, one per file, each with its closed-form cost beside its forward."""
