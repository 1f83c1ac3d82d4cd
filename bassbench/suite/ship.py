"""Makes what the package ships (`bassbench.suite.shipped`) anew, after anything it depends on has changed:

    torchrun --nproc-per-node 2 -m -- bassbench.suite.ship

What is at hand in the cache is taken from there (with an empty BASSBENCH_CACHE nothing is); what was shipped before is
not. It goes on where it was cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from bassbench.embedders.shipped import SHIPPED, shipped_embeddings
from bassbench.errors import exit_on_bad_input
from bassbench.results.rows import Row, RowStore
from bassbench.suite.evaluation import (
    Candidate,
    Evaluation,
    anchor_folder,
    anchor_sources,
    make_plan,
    needs_sets,
    processes,
    summarise,
)
from bassbench.suite.run_folder import ROWS, ClipKey, ClipRow, ClipRowStore
from bassbench.suite.shipped import shipped, write_shipped
from bassbench.suite.sources import AnchorSource, ClipPlan
from bassbench.suite.suite import (
    GATE,
    Measure,
    Plan,
    Share,
    clip_values,
    embed,
    measure_clips,
    of_reference,
    of_source,
)

COUNTS: tuple[int | None, ...] = (12, None)
"""Numbers of clips for which the anchors' set metrics are shipped; None: what is scored by default."""


@dataclass(frozen=True)
class Ship:
    """Measure the anchors of splits of the song bank at the default protocol, and write what the package ships."""

    splits: tuple[str, ...] = ("test",)
    """Splits of the song bank."""
    output: Path = SHIPPED
    """The file."""

    def run(self) -> None:
        """Measure what is missing in the cache, and write the file.

        Raises:
            BadInputError: an unknown split, or a file that cannot be written.
        """
        state = processes()
        if state.is_main_process:
            SHIPPED.unlink(missing_ok=True)
        state.wait_for_everyone()
        shipped.cache_clear()
        shipped_embeddings.cache_clear()
        plans = default_plans(self.splits)
        for plan in plans:
            measure(plan, Share(state.process_index, state.num_processes))
        state.wait_for_everyone()
        if state.is_main_process:
            collect(plans, self.output)
            print(f"{self.output}: {self.output.stat().st_size / 1e6:.1f} MB")


def default_plans(splits: Sequence[str], counts: Sequence[int | None] = COUNTS) -> list[Plan]:
    """What is measured by default of each split, at each number of clips."""
    return [make_plan(Evaluation(data=split, clips=clips), playing=False) for split in splits for clips in counts]


def default_anchors(clips: ClipPlan) -> list[AnchorSource]:
    """The anchors of a system without a codec."""

    def no_source(clips: ClipPlan, folder: Path) -> AnchorSource:
        raise NotImplementedError  # nothing is played here

    return anchor_sources(Candidate("", "", {}, no_source), clips)


def measure(plan: Plan, share: Share) -> None:
    """Leave in the cache all that is shipped of a plan, but for summary rows."""
    embed(plan, of_reference(plan), share, "real bass of the reference")
    store = ClipRowStore(anchor_folder(plan))
    for anchor in default_anchors(plan.clips):
        measure_clips(plan, anchor, store, share)
        if needs_sets(plan, anchor, RowStore(store.folder / ROWS)):
            embed(plan, of_source(plan, anchor), share, anchor.name)


def collect(plans: Sequence[Plan], output: Path) -> None:
    """Sum up what `measure` left of the plans, and write it all."""
    clips: dict[ClipKey, ClipRow] = {}
    rows: dict[str, Row] = {}
    embeddings: dict[str, np.ndarray] = {}
    for plan in plans:
        store = ClipRowStore(anchor_folder(plan))
        found = store.read()
        metrics: list[Measure] = [GATE, *plan.clip_metrics]
        wanted = of_reference(plan)
        for anchor in default_anchors(plan.clips):
            rows |= {row.key: row for row in summarise(plan, anchor, store, RowStore(store.folder / ROWS))}
            for metric in metrics:
                clips |= {row.key: row for row in clip_values(plan, anchor, found, metric) or []}
            wanted += of_source(plan, anchor)
        embeddings |= {one.name: one.get(plan.device) for one in wanted}
    write_shipped(output, clips.values(), rows.values(), embeddings)


def main() -> None:
    """Entry point of `python -m bassbench.suite.ship`."""
    with exit_on_bad_input():
        tyro.cli(Ship, description=__doc__).run()


if __name__ == "__main__":
    main()
