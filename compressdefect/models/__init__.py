"""Families of networks: how a genotype becomes a module."""
