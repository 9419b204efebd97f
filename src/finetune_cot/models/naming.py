"""Names of weights in files."""


def weight_name(parameter_name: str) -> str:
    """Name of a parameter in a file, without what PEFT adds to it.

    ``...lora_A.default.weight`` is ``...lora_A.weight`` there, and a head that is trained with an adapter,
    ``score.modules_to_save.default.weight``, is ``score.weight``.
    """
    return parameter_name.replace(".modules_to_save.default.", ".").replace(".default.", ".")
