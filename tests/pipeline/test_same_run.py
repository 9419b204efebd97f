from dataclasses import replace

from finetune_cot.artifacts.manifest import start
from finetune_cot.config.options import to_plain
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.pipeline.same_run import difference


def test_an_option_that_came_later_had_its_default() -> None:
    manifest = start("sample-truth", to_plain(SampleTruthConfig())).manifest()
    older = replace(manifest, config={k: v for k, v in manifest.config.items() if k != "train_layers"})
    assert difference(older, SampleTruthConfig(), {}, ()) is None
    chosen = SampleTruthConfig(train_layers=("q_proj",))
    assert difference(older, chosen, {}, ()) == "--train-layers was None, not ['q_proj']"
