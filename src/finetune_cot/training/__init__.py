"""Fine-tuning with Lightning, PEFT and the adapters library."""
