"""Estimates of fine-tuned performance from gradients."""
