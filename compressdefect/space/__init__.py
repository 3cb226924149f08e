"""Spaces, domains and genotypes: designs as plain data."""
