"""Fine-tuning with Lightning and PEFT."""
