"""One function per command: read artifacts, compute, write artifacts."""

import logging

# Where it is installed, PEFT imports it, and it tells of a kernel that nothing here asks for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
