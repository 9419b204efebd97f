"""Sole owner of saved/: ids and paths, records, manifests, atomic writes."""
