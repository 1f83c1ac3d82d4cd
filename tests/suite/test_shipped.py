"""What the package ships is found where the cache would have it, and is what would be computed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_suite import PLUGIN, installed, numbers, run

from bassbench.embedders import shipped as embeddings_module
from bassbench.embedders.embedder import embed
from bassbench.embedders.shipped import read_embeddings, shipped_embeddings
from bassbench.errors import BadInputError
from bassbench.suite import shipped as rows_module
from bassbench.suite.evaluation import Evaluation, make_plan, measurements
from bassbench.suite.ship import collect, default_anchors, default_plans, measure
from bassbench.suite.shipped import read_shipped, shipped, write_shipped
from bassbench.suite.sources import AnchorSource
from bassbench.suite.suite import GATE, Share, of_reference, real_basses, row_key

METRICS = "FAD,KAD,prompt adherence,tiny level"


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What would be shipped of the tiny data at seven clips."""
    path = tmp_path_factory.mktemp("shipped") / "shipped.zip"
    with installed(PLUGIN):
        options = Evaluation(data="tiny", embedder="tiny", pair_embedder="tiny", clips=7, metrics=METRICS)
        plan = make_plan(options, playing=False)
        measure(plan, Share())
        collect([plan], path)
        yield path


def test_with_an_empty_cache_nothing_that_is_shipped_is_computed(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: AnchorSource, index: int) -> None:
        raise AssertionError(f"{source.name} of clip {index} was made")

    computed = numbers(run(tmp_path / "computed", metrics=METRICS))
    for module in (rows_module, embeddings_module):
        monkeypatch.setattr(module, "SHIPPED", tiny_file)
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(AnchorSource, "give", refuse)
    shipped.cache_clear()
    shipped_embeddings.cache_clear()
    try:
        assert numbers(run(tmp_path / "shipped", metrics=METRICS)) == computed
        with pytest.raises(AssertionError, match="was made"):  # other data: nothing is found, all is computed
            run(tmp_path / "seed", "--seed", "1", metrics=METRICS)
    finally:
        shipped.cache_clear()
        shipped_embeddings.cache_clear()


def test_equal_numbers_give_an_equal_file(tiny_file: Path, tmp_path: Path) -> None:
    there = read_shipped(tiny_file)
    embeddings = read_embeddings(tiny_file)
    write_shipped(tmp_path / "again.zip", there.clips.values(), there.rows.values(), embeddings)
    assert (tmp_path / "again.zip").read_bytes() == tiny_file.read_bytes()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "shipped.zip").write_bytes(b"not a zip")
    with pytest.raises(BadInputError, match=r"shipped\.zip"):
        read_shipped(tmp_path / "shipped.zip")
    with pytest.raises(BadInputError, match=r"shipped\.zip"):
        read_embeddings(tmp_path / "shipped.zip")


def test_all_of_the_default_protocol_is_shipped() -> None:
    """If this fails what is shipped is of another version: run `bassbench.suite.ship` again."""
    there = shipped()
    for plan in default_plans(("test",)):
        assert {one.name for one in of_reference(plan)} <= shipped_embeddings().keys()
        for anchor in default_anchors(plan.pieces):
            metrics = [GATE, *plan.clip_metrics]
            keys = {row_key(plan, anchor, i, metric) for i in range(len(plan.pieces.entries)) for metric in metrics}
            assert keys <= there.clips.keys()
            assert {m.key for m in measurements(plan, anchor)} <= there.rows.keys()


def test_what_is_shipped_is_what_is_computed() -> None:
    (plan,) = default_plans(("test",), (12,))
    real = real_basses(plan)[0]
    computed = embed(real.make(), 44_100, real.embedder)
    np.testing.assert_allclose(shipped_embeddings()[real.name], computed, atol=1e-3 * np.abs(computed).max())
    for anchor in default_anchors(plan.pieces)[:2]:
        scored = anchor.give(0)
        for metric in plan.clip_metrics:
            value = shipped().clips[row_key(plan, anchor, 0, metric)].value
            assert value == pytest.approx(metric.measure(scored), rel=1e-3, abs=1e-3, nan_ok=True), metric.name
