"""Loading models and generating with them."""
