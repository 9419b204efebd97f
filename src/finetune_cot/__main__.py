"""``python -m finetune_cot`` is ``ftcot``."""

from finetune_cot.cli.main import entry

entry()
