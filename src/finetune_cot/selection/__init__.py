"""Choosing the data sources worth training on."""
