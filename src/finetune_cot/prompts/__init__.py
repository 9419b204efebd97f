"""Templates that turn samples into prompts and labels."""
