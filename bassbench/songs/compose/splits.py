"""Deals groove components and progression families to the splits, then gives every song its slot."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bassbench.songs.compose.grooves import PROBE_BARS, Groove, components, main_grooves, without_twins
from bassbench.songs.compose.progressions import TEMPLATES, Template, drawn_template, families

SEED = 2402
# Of seven small components (or families) these many stay in training; validation and test need variety more
# than numbers.
DEAL = ("train", "test", "train", "validation", "train", "test", "train")


@dataclass(frozen=True)
class Slot:
    """One song to be composed: its split, and what it may draw from."""

    name: str
    split: str
    number: int
    program: int
    tonic: int
    component: str
    grooves: tuple[Groove, ...]
    helpers: tuple[Groove, ...]
    templates: tuple[Template, ...]


def weight(groove: Groove) -> float:
    """How often a groove is drawn: dense lines more (as people play), two-beat and plain quarters less."""
    if groove.beats_per_bar == 3:
        # A waltz's bass is sparse by nature, and waltzes are few.
        return 1.0
    (pattern, count), *_ = Counter(groove.patterns).most_common(1)
    if groove.density <= 0.55:
        return 0.1
    if pattern == tuple(range(0, groove.beats_per_bar * 12, 12)) and count >= PROBE_BARS * 3 // 4:
        return 0.3
    return float(np.clip(groove.density, 0.6, 2.0)) ** 2.5


def deal(groups: dict[str, list[str]], order: Callable[[str], Any]) -> dict[str, str]:
    """Split of every group's root: groups of more than two go to training, the rest in turn, sorted by `order`."""
    small = sorted((root for root in groups if len(groups[root]) <= 2), key=order)
    splits = {root: DEAL[index % len(DEAL)] for index, root in enumerate(small)}
    return {root: splits.get(root, "train") for root in groups}


def grouped(roots: dict[str, str]) -> dict[str, list[str]]:
    """Members of every root."""
    groups: dict[str, list[str]] = {}
    for member, root in roots.items():
        groups.setdefault(root, []).append(member)
    return groups


def plan_slots(grooves: Sequence[Groove], counts: dict[str, int]) -> list[Slot]:
    """Deal groove components and template families to the splits and give every song its slot.

    "train-more" has the grooves that were dealt to "train", and for every song a progression of its own.
    """
    mains = main_grooves(grooves)
    by_file: dict[str, list[Groove]] = {}
    for groove in mains:
        by_file.setdefault(groove.file, []).append(groove)
    roots = components(mains)
    density = {file: float(np.mean([g.density for g in found])) for file, found in by_file.items()}
    meter = {file: found[0].beats_per_bar for file, found in by_file.items()}
    component_split = deal(grouped(roots), lambda root: (meter[root], density[root], root))
    family = families(TEMPLATES)
    by_name = {template.name: template for template in TEMPLATES}
    template_split = deal(grouped(family), lambda root: (by_name[root].mode, by_name[root].style, root))
    for split in ("validation", "test"):
        mine = [g for g in mains if component_split[roots[g.file]] == split]
        rest = [g for g in mains if component_split[roots[g.file]] != split]
        strangers = without_twins(mine, rest)
        mains = [g for g in mains if g in rest or g in strangers]
    by_file = {file: kept for file in by_file if (kept := [g for g in mains if g.file == file])}
    slots = []
    for split_index, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([SEED, split_index])
        more = split == "train-more"
        dealt = "train" if more else split
        files = sorted(file for file in by_file if component_split[roots[file]] == dealt)
        # A file with many variants weighs more, but not in proportion (they are alike), nor without bound.
        weights = np.sqrt([sum(weight(groove) for groove in by_file[file]) for file in files])
        weights = np.clip(weights, 0.5 * weights.mean(), 1.8 * weights.mean())
        shares = np.round(np.cumsum(weights) / weights.sum() * count).astype(int)
        drawn = [files[int(np.searchsorted(shares, number, side="right"))] for number in range(count)]
        programs, tonics = rng.permutation(np.arange(count) % 8), rng.permutation(np.arange(count) % 12)
        chosen = tuple(t for t in TEMPLATES if template_split[family[t.name]] == dealt)
        others = tuple(t for t in TEMPLATES if template_split[family[t.name]] != dealt)
        for number, file in enumerate(drawn):
            slots.append(
                Slot(
                    name=f"{split}-{number:04d}-{file.split('/')[1]}",
                    split=split,
                    number=split_index * 10_000 + number,
                    program=32 + int(programs[number]),
                    tonic=int(tonics[number]),
                    component=roots[file],
                    grooves=tuple(by_file[file]),
                    helpers=tuple(g for g in grooves if g.file == file and g.kind in ("intro", "fill", "end")),
                    templates=(drawn_template(f"drawn_{number:04d}", rng, others),) if more else chosen,
                )
            )
    return slots
