"""Tokenized, length-grouped batches."""
