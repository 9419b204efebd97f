"""Fine-tune small models on a teacher's reasoning, and choose the data worth fine-tuning on."""

__version__ = "0.1.0"
