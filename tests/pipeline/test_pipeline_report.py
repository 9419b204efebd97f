import csv
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from finetune_cot.artifacts import completions as completion_files
from finetune_cot.artifacts.finetune_data import FinetuneRow, write_finetune_json
from finetune_cot.artifacts.ids import CompletionId, FinetuneDataId, ModelMetadataId, ResultsId
from finetune_cot.artifacts.manifest import read_manifest, start, verify_outputs
from finetune_cot.artifacts.results import ResultRow, append_result
from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import ArtifactError, FtcotError, UsageError
from finetune_cot.pipeline.report import ReportResult, report
from finetune_cot.reporting import gather
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Sample
from finetune_cot.tasks.splits import load_split
from tests.reporting.made_up import write_completions, write_epochs, write_student_metadata
from tests.reporting.made_up_estimates import ESTIMATES, NAME, TASKS, write_approximation, write_comparison

DATASET = "bundled_one_step_word_problem"
BASE = CompletionId("m", "zs_cot", DATASET)
STUDENT = CompletionId("m", "ft_cot_token", DATASET, DATASET, "lora")

FIRST = ("In short", "How far to trust it", "What to do next")


def part(name: str) -> list[Sample]:
    dataset = load_dataset(DATASET, None)
    split = load_split(dataset, None)
    return dataset.select(split.train if name == "train" else split.test)


def run(saved_dir: Path, **options: object) -> ReportResult:
    values = {
        "saved_dir": saved_dir,
        "data_dir": saved_dir / "no_data",
        "figure_format": ("none",),
        "page": False,
    }
    return report(ReportConfig(**(values | options)))  # type: ignore[arg-type]


def rows(result: ReportResult, table: str) -> list[dict[str, str]]:
    with (result.path / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_everything(saved_dir: Path) -> None:
    test = part("test")
    wrong = {test[0].sample_index, test[1].sample_index}
    write_completions(saved_dir, BASE, test, lambda index, _: index in wrong)
    write_completions(saved_dir, STUDENT, test, lambda index, _: index not in wrong)
    write_completions(saved_dir, CompletionId("teacher", "zs_cot", DATASET), part("train"), lambda *_: True)
    write_student_metadata(saved_dir, ModelMetadataId("m", DATASET, "lora"))
    write_epochs(
        saved_dir, f"{DATASET}_m_lora_r_4_run_0", [(2.0, 1.5, {DATASET: 1.5}), (1.0, 1.2, {DATASET: 1.2})]
    )
    row = FinetuneRow(0, 0, DATASET, "q", "r", "1")
    data = FinetuneDataId("custom", "mine").path(saved_dir)
    counts = {"duplicates": 3}
    write_finetune_json(
        data, [row], {"teacher": "teacher", "counts": counts}, start("x", {}).manifest(), False
    )
    append_result(ResultsId("Alpaca_m").path(saved_dir), ResultRow((0, 2), 1.5, {"add": 1.25}))


def test_everything_saved_is_reported(saved_dir: Path) -> None:
    write_everything(saved_dir)
    result = run(saved_dir, figure_format=("png", "svg"))
    n = len(part("test"))
    assert [(row.method, row.n, row.accuracy) for row in result.accuracy] == [
        ("zero-shot-CoT", n, pytest.approx(2 / n)),
        ("fine-tune-CoT (token)", n, pytest.approx(1 - 2 / n)),
    ]
    assert result.left_out == []
    text = result.report_md.read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        *FIRST,
        "Accuracy",
        "Accuracy in detail",
        "Completions of other parts",
        "Data sets",
        "Accuracy by teacher and training data",
        "Lengths of completions",
        "Training",
        "Students",
        "Training data",
        "Losses by subset of tasks",
        "Cost and time",
        "Where it comes from",
        "Not measured yet",
    ]
    assert rows(result, "other_parts")[0]["model"] == "teacher"
    assert rows(result, "training_data")[0] | {} == {
        **dict.fromkeys(("rejected_incorrect", "rejected_incomplete"), ""),
        **{"finetune_key": "mine", "teacher": "teacher", "samples": "1", "questions": "1", "rationales": "1"},
        **{"duplicates": "3", "tasks": DATASET},
    }
    assert [row["dev_loss"] for row in rows(result, "losses_by_epoch")] == ["1.5", "1.2"]
    assert rows(result, "results") == [
        {"name": "Alpaca_m", "task_indices": "0 2", "dev_samples": "", "loss": "1.5"}
    ]


def test_estimates_are_told_of_beside_the_truth(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    write_comparison(saved_dir, 20, TASKS[:6], repeated=0, estimates="E_dim_9_run_0", truth_name="E")
    write_approximation(saved_dir)
    result = run(saved_dir, figure_format=("png",))
    assert result.left_out == []
    first, second = result.comparisons
    assert (first.name, first.truth, first.estimator) == (ESTIMATES, NAME, "gradex")
    assert (second.name, second.noise_floor) == ("E_dim_9_run_0", None)
    assert first.subsets > second.subsets
    assert (result.spearman, result.pearson) == (first.agreement.spearman, first.agreement.pearson)
    assert (result.spearman or 0) > 0.8
    assert 0 < (result.relative_error_mean or 0) < (result.relative_error_max or 0)
    assert list(result.baselines) == ["additive datamodel", "target is in the subset", "gradient cosine"]
    assert result.baselines["gradient cosine"].relative_error_mean is None
    assert result.noise_floor is not None
    assert (result.noise_floor.runs, result.noise_floor.subsets) == (2, 6)
    assert result.speedup == first.speedup is not None
    text = result.report_md.read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        *FIRST,
        "Estimate versus truth: E_dim_9_run_0",
        f"Estimate versus truth: {ESTIMATES}",
        "What an estimate costs",
        "Approximation error",
        *(f"Task affinity: {name}" for name in ("E", "E_dim_9_run_0", NAME, ESTIMATES)),
        "Losses by subset of tasks",
        "Cost and time",
        "Where it comes from",
        "Not measured yet",
    ]
    assert len(result.figures) == 9
    overview = rows(result, f"agreement_{ESTIMATES}")
    assert [float(row["all"]) for row in overview[:1]] == [result.spearman]
    inputs = read_manifest(result.path / "manifest.json").inputs
    assert {f"results/{ESTIMATES}/cosine.csv", f"results/{NAME}_run_2/results.csv"} <= inputs.keys()
    only = run(saved_dir, results="E_dim_9_run_0")
    assert [item.name for item in only.comparisons] == ["E_dim_9_run_0"]
    assert only.spearman == second.agreement.spearman


def test_where_there_is_nothing_to_compare_nothing_is_told(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    (saved_dir / "results" / NAME / "results.csv").unlink()
    result = run(saved_dir)
    assert (result.spearman, result.noise_floor, result.speedup) == (None, None, None)
    assert (result.baselines, result.comparisons) == ({}, [])
    with pytest.raises(ArtifactError, match="holds no estimates of subsets whose truth is there"):
        run(saved_dir, results=ESTIMATES)


def test_torn_estimates_hide_nothing_else(saved_dir: Path) -> None:
    write_comparison(saved_dir)
    write_comparison(saved_dir, estimates="E_dim_9_run_0", truth_name="E")
    (saved_dir / "results" / ESTIMATES / "estimates.json").write_text("{")
    (saved_dir / "gradients" / ESTIMATES / "approximation.json").write_text('{"distances": [1]}')
    (saved_dir / "results" / "E_dim_9_run_0" / "cosine.csv").write_text("torn")
    result = run(saved_dir)
    assert [item.name for item in result.comparisons] == ["E_dim_9_run_0"]
    assert sorted(item.what for item in result.left_out) == [
        f"gradients/{ESTIMATES}/approximation.json",
        "results/E_dim_9_run_0/cosine.csv",
        "results/E_dim_9_run_0/estimates.json",
        f"results/{ESTIMATES}/estimates.json",
    ]
    with pytest.raises(ArtifactError, match="is torn or no JSON"):
        run(saved_dir, results=ESTIMATES)


def test_every_link_leads_to_a_file_and_every_file_is_told_of(saved_dir: Path) -> None:
    write_everything(saved_dir)
    write_comparison(saved_dir)
    write_approximation(saved_dir)
    odd = CompletionId("a|b$c$(x)", "zs", DATASET)
    write_completions(saved_dir, odd, part("test"), lambda *_: True)
    result = run(saved_dir, figure_format=("svg", "png"))
    text = result.report_md.read_text(encoding="utf-8")
    linked = {unquote(link) for link in re.findall(r"\]\(([^)]+)\)", text)}
    files = {path.name for path in result.path.iterdir()}
    assert linked <= files
    assert (
        {path.name for path in result.tables} == {name for name in files if name.endswith(".csv")} <= linked
    )
    assert {path.name for path in result.figures} == {
        name for name in files if name.endswith((".png", ".svg"))
    }
    assert {name for name in linked if name.endswith(".svg")} == {
        name for name in files if name.endswith(".svg")
    }


def test_the_manifest_replays_the_report_and_knows_its_files(saved_dir: Path) -> None:
    write_everything(saved_dir)
    result = run(saved_dir)
    manifest = read_manifest(result.path / "manifest.json")
    verify_outputs(result.path, manifest)
    assert manifest.command == "report"
    assert manifest.config["split"] == "test"
    assert BASE.path(saved_dir).relative_to(saved_dir).as_posix() in manifest.inputs
    first = {path.name: path.read_bytes() for path in result.path.iterdir() if path.name != "manifest.json"}
    run(saved_dir)
    again = {path.name: path.read_bytes() for path in result.path.iterdir() if path.name != "manifest.json"}
    assert first == again


def test_torn_files_are_named_and_hide_nothing(saved_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_everything(saved_dir)
    folder = saved_dir / "completion_data"
    torn = {
        folder / "B_m__C_zs" / f"D_{DATASET}.json": '{"data": {"0": [',
        folder / "B_m__C_zs" / "D_edited.json": '{"metadata": {"sha256": "0"}, "data": {}}',
        folder / "B_m__C_zs" / "D_empty.json": '{"data": {}}',
        folder / "B_m__C_zs" / "notes.json": "{}",
        folder / "B_m__C_unheard" / f"D_{DATASET}.json": '{"data": {}}',
        saved_dir / "model_metadata" / "B_m" / "F_x__T_y.json": "[]",
        saved_dir / "model_metadata" / "B_m" / "F_x__T_z.json": json.dumps(
            {**dict.fromkeys(("model_key", "finetune_key", "train_key", "method", "template"), "x")}
            | {"checkpoints": {}, "training_samples": 1, "rationales_per_question": "8"}
        ),
        saved_dir / "checkpoints" / "x_run_0" / "epochs.csv": "epoch,step\n",
        saved_dir / "finetune_data" / "P_custom" / "F_x.json": "{",
        saved_dir / "results" / "x" / "results.csv": "loss\n1\n",
        saved_dir / "results" / "y" / "results.csv": "\xff",
    }
    for path, text in torn.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    result = run(saved_dir)
    names = {path.relative_to(saved_dir).as_posix() for path in torn}
    assert {item.what for item in result.left_out} == names
    assert len(result.accuracy) == 2
    told = capsys.readouterr().err
    text = result.report_md.read_text(encoding="utf-8")
    assert "## Left out" in text
    assert all(f"left out: {name}: " in told for name in names)
    assert {row["what"] for row in rows(result, "left_out")} == names


def test_a_run_under_way_is_reported_as_far_as_it_is(saved_dir: Path) -> None:
    path = write_completions(saved_dir, BASE, part("test")[:7], lambda *_: True)
    content = completion_files.read_completions(path)
    path.unlink()
    with completion_files.open_completions(path, dict(content.metadata), [], "teach") as store:
        store.append(content.completions)
        result = run(saved_dir)
    assert [(row.n, row.accuracy) for row in result.accuracy] == [(7, 1.0)]
    assert "†" in result.report_md.read_text(encoding="utf-8")


def test_both_orders_of_a_published_name_are_one_student(saved_dir: Path) -> None:
    path = write_completions(saved_dir, STUDENT, part("test"), lambda *_: True)
    older = path.with_name(f"D_{DATASET}__F_{DATASET}__T_lora.json")
    older.write_bytes(path.read_bytes())
    result = run(saved_dir)
    assert len(result.accuracy) == 1
    assert [item.what for item in result.left_out] == [path.relative_to(saved_dir).as_posix()]
    assert "holds the same as" in result.left_out[0].reason


def test_the_best_epoch_is_shown_under_its_own_label_on_test_alone(saved_dir: Path) -> None:
    test = part("test")
    for epoch, right in ((1, 2), (2, 30), (3, 10)):
        chosen = {sample.sample_index for sample in test[:right]}
        id = CompletionId("m", "ft_cot_token", DATASET, DATASET, "lora", epoch)
        write_completions(saved_dir, id, test, lambda index, _, chosen=chosen: index in chosen)  # type: ignore[misc]
    label = "## Best on test (paper's protocol)"
    result = run(saved_dir)
    assert label in result.report_md.read_text(encoding="utf-8")
    assert result.accuracy[0].accuracy == pytest.approx(10 / len(test))
    assert rows(result, "best_on_test")[0]["best_epoch"] == "2"
    assert label not in run(saved_dir, split="all").report_md.read_text(encoding="utf-8")


def test_a_file_is_read_once(saved_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_everything(saved_dir)
    read: list[Path] = []
    real = completion_files.read_completions
    monkeypatch.setattr(gather, "read_completions", lambda path: read.append(path) or real(path))
    run(saved_dir)
    assert len(read) == 3
    assert len(set(read)) == 3


def test_runs_are_shown_by_name_and_number(saved_dir: Path) -> None:
    names = ["a_run_10", "a_run_2", "a_run_10_run_0"]
    for name in names:
        write_epochs(saved_dir, name, [(2.0, 1.5, {})])
    result = run(saved_dir, figure_format=("svg",))
    assert [(row["name"], row["run"]) for row in rows(result, "training")] == [
        ("a", "2"),
        ("a", "10"),
        ("a_run_10", "0"),
    ]
    assert [path.name for path in result.figures] == ["loss_a.svg", "loss_a_run_10.svg"]


def test_only_one_data_set(saved_dir: Path) -> None:
    write_everything(saved_dir)
    other = CompletionId("m", "zs", "bundled_coin_flip")
    write_completions(saved_dir, other, load_dataset("bundled_coin_flip", None).samples, lambda *_: True)
    result = run(saved_dir, dataset_key="bundled_coin_flip")
    assert [row.dataset for row in result.accuracy] == ["bundled_coin_flip"]
    with pytest.raises(ArtifactError, match="holds no completions of gsm8k"):
        run(saved_dir, dataset_key="gsm8k")


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_nothing_saved_says_what_to_run_first(tmp_path: Path, what: str) -> None:
    saved_dir = tmp_path / "saved"
    if what == "empty":
        saved_dir.mkdir()
    with pytest.raises(ArtifactError, match="nothing to report yet; run `ftcot demo`"):
        run(saved_dir)
    assert list(tmp_path.rglob("*")) == ([saved_dir] if what == "empty" else [])


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"name": "../out"}, UsageError), ({"name": "a b"}, UsageError), ({"checker": "none"}, UsageError)],
)
def test_wrong_options_are_refused_before_anything_is_written(
    saved_dir: Path, options: dict[str, str], kind: type[FtcotError]
) -> None:
    write_everything(saved_dir)
    with pytest.raises(kind):
        run(saved_dir, **options)
    assert not (saved_dir / "reports").exists()


def test_a_folder_that_is_no_report_is_left_alone(saved_dir: Path) -> None:
    write_everything(saved_dir)
    notes = saved_dir / "reports" / "report" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError, match="is no report"):
        run(saved_dir)
    assert notes.read_text(encoding="utf-8") == "mine"


def test_published_completions(shared_data: Path, saved_dir: Path) -> None:
    for path in shared_data.glob("completion_data/*/*.json"):
        copy = saved_dir / path.relative_to(shared_data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    result = run(saved_dir, data_dir=shared_data, split="all")
    counts = {row["dataset"]: (row["correct"], row["n"]) for row in rows(result, "accuracy_detail")}
    expected = {"multiarith": (472, 600), "addsub": (282, 395), "coin_flip": (457, 500)}
    assert counts == {
        key: (str(correct), str(n))
        for key, (correct, n) in (expected | {"date_understanding": (249, 369)}).items()
    }
    without = run(saved_dir, name="without")
    assert {row.dataset: row.accuracy for row in without.accuracy} == {
        row.dataset: row.accuracy for row in result.accuracy
    }
    assert len(without.left_out) == 4


def test_json_of_the_command(saved_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from finetune_cot.cli.main import main

    write_everything(saved_dir)
    arguments = ["report", "--saved-dir", str(saved_dir), "--figure-format", "none", "--json"]
    main(arguments)
    shown = json.loads(capsys.readouterr().out)
    assert {"path", "tables", "figures", "accuracy", "left_out", "schema_version"} <= shown.keys()
