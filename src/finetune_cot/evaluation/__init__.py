"""Answer checking and scores."""
