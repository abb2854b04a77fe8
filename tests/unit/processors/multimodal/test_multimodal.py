"""Multimodal: an answer from any inputs, which names those that are missing; its parts add up to the risk."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor

from processors.local import claim_of, loaded, path_of, run_one
from processors.multimodal import Multimodal
from processors.multimodal.contract import MULTIMODAL, MultimodalInput, MultimodalOutput
from processors.multimodal.picture import LOWERS, RAISES
from processors.protocol import Processor
from processors.weights import sha256_of, weights_beside
from schemas.errors import InvalidInput
from schemas.states import State
from streams.testing import Flow

TABLE = "name,value,unit\nkappa,1.9,mg/dL\nlambda,2.1,mg/dL\ncreatinine,1.1,mg/dL\n"
THREE = ("mri_volume_mm3", "gene_probability", "proteins")


@pytest.fixture(scope="module")
def multimodal() -> Multimodal:
    made = loaded(Multimodal)
    assert isinstance(made, Multimodal)
    return made


@pytest.fixture
def whole(tmp_path: Path) -> MultimodalInput:
    (tmp_path / "table.csv").write_text(TABLE)
    return MultimodalInput(9000.0, 0.6, claim_of(tmp_path / "table.csv"), 71.0, "female")


def logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def test_multimodal_is_a_processor_that_knows_its_weights(multimodal: Multimodal) -> None:
    assert isinstance(multimodal, Processor)
    (file,) = weights_beside(Multimodal).glob("*.safetensors")
    assert multimodal.model_sha256 == sha256_of(file)


ALL = [*THREE, "age", "sex"]
SUBSETS = [
    kept for size in range(1, 6) for kept in itertools.combinations(ALL, size) if not {"age", "sex"}.issuperset(kept)
]


def test_every_subset_of_inputs_has_an_answer_that_names_what_is_missing_and_adds_up(
    multimodal: Multimodal, whole: MultimodalInput, tmp_path: Path
) -> None:
    assert len(SUBSETS) == 28
    for kept in SUBSETS:
        made = run_one(multimodal, replace(whole, **dict.fromkeys(set(ALL) - set(kept))), tmp_path)
        assert made.used == list(kept) == list(made.contributions)
        assert made.missing == [name for name in ALL if name not in kept]
        assert 0.0 < made.risk_low < made.risk < made.risk_high < 1.0
        assert logit(made.risk) == pytest.approx(made.baseline + sum(made.contributions.values()))


def test_a_flow_completes_with_each_input_missing(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    with Flow(Multimodal, contract=MULTIMODAL) as flow:
        table = asdict(flow.upload(tmp_path / "table.csv", "text/csv"))
        whole: dict[str, Any] = {"mri_volume_mm3": 9000.0, "gene_probability": 0.6, "proteins": table}
        jobs = {name: flow.submit("multimodal", whole | {name: None}, case_id="c1") for name in THREE}
        nothing = flow.submit("multimodal", {"age": 70.0})
        flow.settle()
        for name, job_id in jobs.items():
            view = flow.job(job_id)
            assert view.state == State.COMPLETED
            assert view.output is not None
            assert view.output["missing"] == [name, "age", "sex"]
        refused = flow.job(nothing).error
        assert refused is not None
        assert refused.code == "INVALID_INPUT"


def test_a_marker_that_the_table_lacks_is_named(multimodal: Multimodal, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,value,unit\nkappa,1.9,mg/dL\nCRP,3,mg/L\n")
    made = run_one(multimodal, MultimodalInput(proteins=claim_of(tmp_path / "table.csv")), tmp_path)
    assert made.missing == [
        "mri_volume_mm3",
        "gene_probability",
        "age",
        "sex",
        "proteins.lambda",
        "proteins.creatinine",
    ]


def test_the_report_and_the_picture_hold_the_answer(
    multimodal: Multimodal, whole: MultimodalInput, tmp_path: Path
) -> None:
    made = run_one(multimodal, replace(whole, gene_probability=None), tmp_path)
    report = json.loads(path_of(made.report).read_text())
    assert report["risk"] == made.risk
    assert report["missing"] == ["gene_probability"]
    assert "made up" in report["caution"]
    assert report["inputs"]["proteins_mg_dl"] == {"kappa": 1.9, "lambda": 2.1, "creatinine": 1.1}
    assert report["model"]["sha256"] == multimodal.model_sha256
    with Image.open(path_of(made.picture)) as image:
        assert image.format == "PNG"
        colours = {colour for _, colour in image.getcolors(1 << 16) or []}
        assert colours >= {ImageColor.getrgb(RAISES), ImageColor.getrgb(LOWERS)}


def test_more_of_each_risk_factor_raises_the_risk(
    multimodal: Multimodal, whole: MultimodalInput, tmp_path: Path
) -> None:
    (tmp_path / "high.csv").write_text(TABLE.replace("1.9", "4.9"))

    def risk(**changes: Any) -> float:
        made = run_one(multimodal, replace(whole, **changes), tmp_path)
        assert isinstance(made, MultimodalOutput)
        return made.risk

    higher: list[dict[str, Any]] = [
        {"mri_volume_mm3": 40_000.0},
        {"gene_probability": 0.9},
        {"proteins": claim_of(tmp_path / "high.csv")},
        {"age": 80.0},
        {"sex": "M"},
    ]
    for changes in higher:
        assert risk(**changes) > risk(), changes


def test_a_value_beyond_the_training_data_counts_as_its_end_and_is_named(
    multimodal: Multimodal, tmp_path: Path
) -> None:
    young, youngest = (run_one(multimodal, MultimodalInput(9000.0, age=age), tmp_path) for age in (20.0, 50.0))
    assert young.risk == youngest.risk
    assert (young.outside, youngest.outside) == (["age"], [])


def test_no_lesion_found_is_a_volume_like_any_other(multimodal: Multimodal, tmp_path: Path) -> None:
    made = run_one(multimodal, MultimodalInput(0.0), tmp_path)
    assert made.outside == []
    assert made.contributions["mri_volume_mm3"] < 0


@pytest.mark.parametrize(
    "given",
    [
        MultimodalInput(),
        MultimodalInput(age=70.0, sex="male"),
        MultimodalInput(-1.0),
        MultimodalInput(math.nan),
        MultimodalInput(math.inf),
        MultimodalInput(gene_probability=1.5),
        MultimodalInput(1.0, age=-3.0),
        MultimodalInput(1.0, sex="x"),
    ],
)
def test_an_input_that_is_no_measurement_is_refused(
    multimodal: Multimodal, given: MultimodalInput, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput):
        run_one(multimodal, given, tmp_path)
