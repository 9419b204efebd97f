"""Options of the ``ftcot data`` commands."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import positive
from finetune_cot.config.options import command_config, option


@command_config
class DataListConfig:
    """Every data set that is at hand, with its number of samples."""

    data_dir: Path = shared.data_dir()


@command_config
class DataShowConfig:
    """A few samples as a model sees them, prompt and label marked."""

    dataset_key: str = shared.dataset_key(argument=True)
    data_path: str | None = option(
        None, "Instruction data to show instead: a file, folder or Hugging Face data set."
    )
    task_field: str = shared.task_field()
    template: str | None = option(
        None,
        "Template to show; by default ft_cot_token where there are rationales.",
        choices=("ft_token", "ft_natural", "ft_cot_token", "ft_cot_natural", "zs", "zs_cot", "fs_cot"),
    )
    model_type: str = option("decoder", "Kind of model.", choices=("decoder", "encoder_decoder"))
    limit: int = option(3, "How many samples.", check=positive)
    data_dir: Path = shared.data_dir()


@command_config
class DataImportConfig:
    """A file of yours, or a published archive, becomes a data set of the data folder."""

    source: str | None = option(None, "File, folder or archive to read.", argument=True)
    dataset_key: str | None = shared.dataset_key(None, "Name of the new data set; by default the file's.")
    kind: str = option(
        "auto",
        "What the source is.",
        choices=("auto", "reasoning", "instruction", "alpaca-pickle", "reasoning-teacher"),
    )
    question_field: str = option("question", "Column with the question.")
    answer_field: str = option("answer", "Column with the answer.")
    rationale_field: str = option("rationale", "Column with the rationale, where there is one.")
    overwrite: bool = shared.overwrite("a data set")
    saved_dir: Path = shared.saved_dir()
    data_dir: Path = shared.data_dir()


@command_config
class DataFetchConfig:
    """A published data set is downloaded and brought into the common form."""

    dataset_key: str | None = shared.dataset_key(None, "Data set to fetch.", argument=True)
    overwrite: bool = shared.overwrite("a data set")
    data_dir: Path = shared.data_dir()


@command_config
class DataGenerateConfig:
    """More samples of a bundled task, from a seed, as a data set of the data folder."""

    dataset_key: str = shared.dataset_key(help="Bundled data set to draw from.", argument=True)
    num_samples: int = option(1000, "Samples of each task.", check=positive)
    name: str | None = option(None, "Name of the new data set; by default <key>_<samples>.")
    seed: int = shared.seed()
    overwrite: bool = shared.overwrite("a data set")
    data_dir: Path = shared.data_dir()
