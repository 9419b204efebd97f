"""Whether an artifact that is there was made by the same config from the same inputs."""

from collections.abc import Collection, Mapping
from typing import Any

from finetune_cot.artifacts.manifest import Manifest
from finetune_cot.config.options import flag, to_plain


def difference(
    manifest: Manifest, config: Any, inputs: Mapping[str, str], without_effect: Collection[str]
) -> str | None:
    """What tells a command from the one that wrote a manifest; None where they would make the same.

    Args:
        manifest: What is there.
        config: The command's config.
        inputs: Digests of what it works on, by name.
        without_effect: Options that do not count, or count by the inputs that they lead to.
    """
    # An option that a manifest does not know came later, and what it was made with is the default.
    before = {**to_plain(type(config)()), **manifest.config}
    for name, value in to_plain(config).items():
        if name not in without_effect and before[name] != value:
            return f"{flag(name)} was {before[name]}, not {value}"
    for name in sorted(manifest.inputs.keys() | inputs.keys()):
        if manifest.inputs.get(name) != inputs.get(name):
            return f"the {name} were others"
    return None
