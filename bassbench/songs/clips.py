"""Where pairs of mix and bass come from: clips of the song bank, rendered once and kept in the user's cache."""

import dataclasses
import json
import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from bassbench.cache import cache_folder, cache_path, content_hash
from bassbench.errors import BadInputError
from bassbench.files import parse_json
from bassbench.songs.arrangement import Note
from bassbench.songs.families import SOUND_FOLDERS, chosen
from bassbench.songs.families import VERSION as FAMILIES_VERSION
from bassbench.songs.render import CLIP_SAMPLES, Clip, render_clip
from bassbench.songs.song_bank import Chord, Song, load_songs
from bassbench.songs.soundfont import default_soundfont
from bassbench.workers import in_processes

_RENDERER = f"4;midirenderer {metadata.version('midirenderer')}"  # raise it when a rendering changes
_EFFECTS = "1"  # raise the number when effects.py's output changes

UNSEEN_FONT = "unseen-font"
HUMAN_MASTERED = "human-mastered"
TEST_ONLY = ("human", UNSEEN_FONT, HUMAN_MASTERED)
_MASTERED = ("tuning", "mastering")  # families that make a human piece the nearest to a record


class ClipSource(Protocol):
    """One clip that can be made whenever it is needed, and the content hash of all that it depends on."""

    @property
    def key(self) -> str: ...

    def render(self) -> Clip:
        """Make the clip (no cache)."""
        ...


@dataclasses.dataclass(frozen=True)
class ClipRequest:
    """One clip to render: a song, a seed and the options of `bassbench.songs.render.render_clip`."""

    song: Song
    seed: int
    samples: int | None = CLIP_SAMPLES
    vary: bool = True
    subset: bool = False
    subset_draw: int = 0
    """Which of the random subsets."""
    effects: bool = False
    """Varied timbres (`bassbench.songs.effects`), as for training."""
    soundfont: Path | None = None
    """None: the one that pretty_midi bundles."""
    families: tuple[str, ...] = ()
    """Rendering families (`bassbench.songs.families`), as `chosen` gives them."""

    @property
    def key(self) -> str:
        """Content hash of everything that the clip's sound depends on."""
        draw = [self.subset_draw] if self.subset_draw else []  # the first draw's key is of before there were more
        options = json.dumps([self.song.name, self.seed, self.samples, self.vary, self.subset, self.song.window, *draw])
        truth = json.dumps([[*dataclasses.astuple(chord)] for chord in self.song.chords])
        font = (self.soundfont or default_soundfont()).name
        renderer = f"{_RENDERER};effects {_EFFECTS}" if self.effects else _RENDERER
        if self.families:
            renderer += f";families {FAMILIES_VERSION} {' '.join(self.families)}"
        return content_hash(renderer, font, self.song.midi, options, truth)

    def render(self) -> Clip:
        """Render the clip (no cache)."""
        return render_clip(
            self.song,
            self.seed,
            samples=self.samples,
            vary=self.vary,
            subset=self.subset,
            subset_draw=self.subset_draw,
            effects=self.effects,
            families=self.families,
            soundfont=self.soundfont,
        )


def unseen_soundfont() -> Path:
    """FluidR3_GM, which no training data is rendered with: where `BASSBENCH_FLUIDR3` says, or where systems keep it.

    Raises:
        BadInputError: it is not there.
    """
    named = os.environ.get("BASSBENCH_FLUIDR3")
    places = [Path(named)] if named else [folder / "FluidR3_GM.sf2" for folder in SOUND_FOLDERS]
    for path in places:
        if path.is_file():
            return path
    raise BadInputError(
        f"split '{UNSEEN_FONT}' needs FluidR3_GM.sf2, not found at {', '.join(map(str, places))}: install the package "
        "fluid-soundfont-gm or set BASSBENCH_FLUIDR3 to its path"
    )


def clip_requests(
    split: str,
    count: int | None = None,
    *,
    seed: int = 0,
    samples: int | None = CLIP_SAMPLES,
    subset: bool = False,
    effects: bool = False,
    families: Sequence[str] = (),
) -> list[ClipRequest]:
    """One request per song for the first `count` songs of a split, drawn evenly over it (None: all).

    The split "unseen-font" is the test split played with another SoundFont (`unseen_soundfont`), "human-mastered" the
    human pieces played with it, off concert pitch and through a record's end of chain.

    Raises:
        BadInputError: unknown split, more clips asked for than the split has songs, or a rendering family that is
            unknown or not installed.
    """
    soundfont = unseen_soundfont() if split in (UNSEEN_FONT, HUMAN_MASTERED) else None
    songs = load_songs({UNSEEN_FONT: "test", HUMAN_MASTERED: "human"}.get(split, split))
    on = chosen((*families, *(_MASTERED if split == HUMAN_MASTERED else ())))
    if count is not None and not 1 <= count <= len(songs):
        raise BadInputError(f"split '{split}' has {len(songs)} songs; asked for {count} clips")
    # A fixed shuffle, so that n clips are a sample of the whole split and the first n of n + 1.
    order = np.random.default_rng(2402).permutation(len(songs))[:count]
    return [
        ClipRequest(songs[i], seed, samples, subset=subset, effects=effects, soundfont=soundfont, families=on)
        for i in order
    ]


def load_clips(split: str, count: int | None = None, *, seed: int = 0, progress: bool = True) -> list[Clip]:
    """Clips of 23.8 s, one per song, rendered once and then read from the cache; shorter than asked never."""
    requests = clip_requests(split, count, seed=seed)
    cached = (cached_clip(request) for request in requests)
    return list(tqdm(cached, f"{split} clips", len(requests), disable=not progress, leave=False))


def cached_clip(request: ClipSource) -> Clip:
    """A clip from the cache, rendered first if it is missing there or fails its checksum.

    Audio is kept as 16-bit samples: what is read back is the same whether the cache was warm or not.
    """
    folder = cache_folder("clips")
    samples_file, truth_file = folder / f"{request.key}.npy", folder / f"{request.key}.json"
    try:
        truth = parse_json(truth_file.read_text())
        samples = np.load(samples_file)
        if truth.pop("sha") != content_hash(samples.tobytes()):
            raise ValueError("checksum")
    except (OSError, ValueError, KeyError, EOFError):
        clip = request.render()
        samples = np.round(np.stack([clip.mix, clip.bass]) * 32767).astype(np.int16)
        truth = dataclasses.asdict(dataclasses.replace(clip, mix=np.empty(0), bass=np.empty(0)))
        truth = {name: value for name, value in truth.items() if name not in ("mix", "bass")}
        _write_npy(samples_file, samples)
        with cache_path(truth_file) as path:
            path.write_text(json.dumps({**truth, "sha": content_hash(samples.tobytes())}))
        truth = json.loads(json.dumps(truth))
    mix, bass = samples.astype(np.float32) / 32767
    return _clip_from(truth, mix, bass)


@dataclasses.dataclass(frozen=True)
class StemClips:
    """One stem ("mix" or "bass") of many cached renderings, memory-mapped: what the autoencoder trainer crops from.

    `stems[i]` is an int16 memory map `(2, samples)`; divide by 32767 for full scale 1.
    """

    requests: tuple[ClipRequest, ...]
    which: str

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, index: int) -> np.ndarray:
        path = cache_folder("clips") / f"{self.requests[index].key}.npy"
        return np.load(path, mmap_mode="r")[("mix", "bass").index(self.which)]


def stem_clips(
    split: str,
    which: str,
    count: int | None = None,
    *,
    seed: int = 0,
    families: Sequence[str] = (),
    processes: int = 1,
    progress: bool = True,
) -> StemClips:
    """Render (once) whole songs of a split, timbres varied and some other parts left out, and give one stem of each.

    Raises:
        BadInputError: `which` is neither "mix" nor "bass"; an unknown split; too large a count.
    """
    if which not in ("mix", "bass"):
        raise BadInputError(f"a pair has the stems 'mix' and 'bass', not '{which}'")
    requests = clip_requests(split, count, seed=seed, samples=None, subset=True, effects=True, families=families)
    folder = cache_folder("clips")
    missing = [request for request in requests if not (folder / f"{request.key}.json").exists()]
    title = f"rendering {split} songs"
    rendered = in_processes(_render_to_cache, missing, processes)
    for _ in tqdm(rendered, title, len(missing), disable=not (progress and missing), leave=False):
        pass
    return StemClips(tuple(requests), which)


def _render_to_cache(request: ClipRequest) -> None:
    cached_clip(request)


def _write_npy(path: Path, array: np.ndarray) -> None:
    with cache_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def _clip_from(truth: dict, mix: np.ndarray, bass: np.ndarray) -> Clip:
    truth["chords"] = tuple(
        Chord(**{**chord, "pitch_classes": tuple(chord["pitch_classes"])}) for chord in truth["chords"]
    )
    for notes in ("bass_notes", "mix_notes"):
        truth[notes] = tuple(Note(**note) for note in truth[notes])
    for times in ("beats", "downbeats"):
        truth[times] = tuple(truth[times])
    return Clip(**truth, mix=mix, bass=bass)
