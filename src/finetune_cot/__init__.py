"""Fine-tune small models on a teacher's reasoning, and choose the data worth fine-tuning on."""

import logging

__version__ = "0.1.0"

# Where it is installed, PEFT imports it, and it tells of a kernel that nothing here asks for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
