"""What of a mix tells the bass's pitch class on sounds never heard: `python -m experiments.mix_features`.

A linear classifier of the pitch class that the bass plays, on five frames of features of the mix (0.46 s), trained on
renderings by all families in many keys and tested on the bank's test split and on `human-mastered` (human pieces, an
unseen SoundFont, a record's end of chain, off concert pitch). Which encoder `small` has was chosen by this table.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse.linalg
import torch
import tyro
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE, resample
from bassbench.cache import cache_folder, content_hash
from bassbench.errors import exit_on_bad_input
from bassbench.files import atomic_path, write_text
from bassbench.hearing.chroma import chroma
from bassbench.metrics.statistics import mean_interval
from bassbench.results.table import interval_text, markdown
from bassbench.songs.arrangement import Note
from bassbench.songs.clips import HUMAN_MASTERED, ClipRequest, cached_clip, clip_requests
from bassbench.songs.families import VERSION
from bassbench.songs.render import Clip
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.harmony import HarmonyBands, harmony
from reference_model.linear_path import stacked
from reference_model.presets import PRESETS, R_TIME
from reference_model.sides import level_differences
from reference_model.train_diffusion import SHIPPED

_VERSION = "2"  # raise it when the features kept in the cache change
_CONTEXT = 2
_EVERY = 3  # of the training frames: neighbours say nearly the same
_MIX = dataclasses.replace(PRESETS["small"].autoencoders["mix"], weight_corner_hz=0.0, side_weight=1.0)
BINS = _MIX.network_bins


@dataclass(frozen=True)
class SongFrames:
    """Features by name `(frames, dims)`; pitch class of the bass `(frames,)`, -1 for none; targets `(frames, 24)`."""

    features: dict[str, np.ndarray]
    bass: np.ndarray
    sounding: np.ndarray


@dataclass(frozen=True)
class MixFeatures:
    """Probe features and encoders of mixes for the pitch class of the bass."""

    train: int = 150
    """Songs of the training split, one rendering each by all families."""
    test: int = 30
    """Songs of each test split."""
    output: Path = Path("results")

    def run(self) -> None:
        """Measure and write mix_features.md.

        Raises:
            BadInputError: a family's package is not installed, or the folder cannot be written.
        """
        splits = {
            "train": clip_requests("train", self.train, samples=None, subset=True, effects=True, families=("all",)),
            "bank test": clip_requests("test", self.test),
            HUMAN_MASTERED: clip_requests(HUMAN_MASTERED, self.test),
        }
        songs = {name: [_song(r) for r in tqdm(requests, name)] for name, requests in splits.items()}
        rows = []
        for candidate in candidates(songs["train"]):
            row = {"system": candidate.name, **_probed(songs, candidate)}
            rows.append(row)
            print(row, flush=True)
        text = (
            "# What of a mix tells the pitch class of the bass\n\n"
            f"Made by `python -m experiments.mix_features --train {self.train} --test {self.test}`: share of frames in "
            "which a linear classifier on five frames of features names the pitch class that the bass plays (chance "
            "0.08), with 95 % intervals over songs. Trained on renderings by all families "
            f"(version {VERSION}).\n\n"
            f"{markdown(pd.DataFrame(rows))}"
        )
        write_text(self.output / "mix_features.md", text)


@dataclass(frozen=True)
class Candidate:
    """Features: their name, what gives them `(frames, dims)` of a song, and deviations `(dims,)` for the classifier.

    A smaller deviation is a larger penalty: the classifier relies less on that dimension.
    """

    name: str
    project: Callable[[SongFrames], np.ndarray]
    deviations: np.ndarray | None = None


def candidates(train: Sequence[SongFrames]) -> list[Candidate]:
    """All features that are compared; those that are fitted are, on `train`."""
    found = [
        Candidate(name, functools.partial(_named, names=names))
        for name, names in {
            "librosa chroma (12)": ("librosa",),
            "librosa chroma, tuning estimated (12)": ("librosa tuned",),
            "the first shipped mix latents (64)": ("shipped",),
            "chroma and bass chroma, tuning followed (24)": ("chroma",),
            "semitone bands, tuning followed (72)": ("bands",),
        }.items()
    ]
    moments = _Moments(train)
    frequency = np.arange(BINS) * SAMPLE_RATE / _MIX.window
    weights = {"1 / (1 + f / 600 Hz)": 1 / (1 + frequency / 600), "K": _k_weight(frequency)}
    for name, weight in weights.items():
        both = np.tile(np.stack([weight, 0.5 * weight])[:, None], (1, _MIX.frames_per_latent, 1)).ravel()
        parts = moments.components(both, 64)
        found.append(Candidate(f"components, weight {name} (64)", functools.partial(_projected, matrix=parts)))
        if name != "K":
            for strength in (1.0, 10.0, 100.0):
                taught = moments.components(both, 64, taught=strength)
                label = f"the same, supervised with lambda {strength:g} (64)"
                found.append(Candidate(label, functools.partial(_projected, matrix=taught)))
            few, taught = parts[:40], moments.components(both, 40, taught=10.0)
            bands = _band_components(train, 24)
            found += [
                Candidate(
                    "40 components beside chroma and bass chroma (64)", functools.partial(_beside, few, "chroma", None)
                ),
                Candidate(
                    "40 components beside 24 of the semitone bands (64)",
                    functools.partial(_beside, few, "bands", bands),
                ),
                Candidate("40 supervised beside both chromas (64)", functools.partial(_beside, taught, "chroma", None)),
            ]
            for share in (1.0, 0.3, 0.1):
                label = f"36 components at {share:g} beside both chromas and 4 level differences (64)"
                scale = np.repeat([share, 1.0], [36, 28])
                found.append(Candidate(label, functools.partial(_beside, parts[:36], "placed", None), scale))
    return found


def _named(song: SongFrames, names: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([song.features[name] for name in names], axis=1)


def _projected(song: SongFrames, matrix: np.ndarray) -> np.ndarray:
    return song.features["spectrum"].astype(np.float32) @ matrix.T


def _beside(matrix: np.ndarray, name: str, second: np.ndarray | None, song: SongFrames) -> np.ndarray:
    other = song.features[name] if second is None else song.features[name] @ second.T
    return np.concatenate([_projected(song, matrix), other], axis=1)


def _band_components(train: Sequence[SongFrames], count: int) -> np.ndarray:
    bands = np.concatenate([song.features["bands"] for song in train])
    vectors = np.linalg.eigh(np.cov(bands.T))[1]
    return vectors[:, ::-1][:, :count].T


class _Moments:
    """Covariance of the spectra of training frames and their covariance with what sounds."""

    def __init__(self, train: Sequence[SongFrames]) -> None:
        count = sum(len(song.bass) for song in train)
        self.mean = sum(s.features["spectrum"].sum(axis=0, dtype=np.float64) for s in train) / count
        targets = np.concatenate([song.sounding for song in train])
        centred = targets - targets.mean(axis=0)
        scatter = torch.zeros(len(self.mean), len(self.mean))
        self.cross, at = np.zeros((len(self.mean), targets.shape[1])), 0
        for song in tqdm(train, "covariances"):
            spectrum = song.features["spectrum"].astype(np.float32) - self.mean.astype(np.float32)
            scatter.addmm_(torch.from_numpy(spectrum[::2].T), torch.from_numpy(spectrum[::2]))
            self.cross += spectrum.T @ centred[at : at + len(spectrum)] / count
            at += len(spectrum)
        self.covariance = scatter.numpy() / (sum(len(song.bass[::2]) for song in train))
        self.targets = np.cov(centred.T) + 1e-3 * np.eye(targets.shape[1])

    def components(self, weight: np.ndarray, count: int, *, taught: float = 0.0) -> np.ndarray:
        """The leading directions of the weighted spectra, applied to those without weights, `(count, features)`.

        `taught` is lambda in Cov(x) + lambda Cov(x, y) Cov(y, y)^-1 Cov(y, x), y being what sounds.
        """
        cross = weight[:, None] * self.cross
        told = np.linalg.solve(scipy.linalg.cholesky(self.targets, lower=True), cross.T).astype(np.float32)

        def times(x: np.ndarray) -> np.ndarray:
            x = x.ravel().astype(np.float32)
            return weight * (self.covariance @ (weight * x).astype(np.float32)) + taught * (told.T @ (told @ x))

        operator = scipy.sparse.linalg.LinearOperator(self.covariance.shape, matvec=times, dtype=np.float32)
        start = np.random.default_rng(0).standard_normal(len(weight)).astype(np.float32)
        values, vectors = scipy.sparse.linalg.eigsh(operator, k=count, v0=start, tol=1e-4)
        return (vectors[:, np.argsort(-values)].T * weight).astype(np.float32)


def _probed(songs: dict[str, list[SongFrames]], candidate: Candidate) -> dict[str, str]:
    project = candidate.project
    kept = [song.bass >= 0 for song in songs["train"]]
    features = np.concatenate(
        [_with_context(project(song))[keep][::_EVERY] for song, keep in zip(songs["train"], kept, strict=True)]
    )
    truth = np.concatenate([song.bass[keep][::_EVERY] for song, keep in zip(songs["train"], kept, strict=True)])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    if candidate.deviations is not None:
        deviation = deviation / np.tile(candidate.deviations, 2 * _CONTEXT + 1)
    classifier = LogisticRegression(C=0.003, max_iter=80, tol=1e-3).fit((features - mean) / deviation, truth)
    row = {}
    for split in songs:
        if split == "train":
            continue
        shares = []
        for song in songs[split]:
            keep = song.bass >= 0
            found = classifier.predict((_with_context(project(song))[keep] - mean) / deviation)
            shares.append(float(np.mean(found == song.bass[keep])))
        interval = mean_interval(shares, generator=np.random.default_rng(0))
        row[split] = interval_text(interval.value, interval.low, interval.high)
    return row


def _with_context(features: np.ndarray) -> np.ndarray:
    padded = np.pad(features, ((_CONTEXT, _CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(features)] for i in range(2 * _CONTEXT + 1)], axis=1)


def _song(request: ClipRequest) -> SongFrames:
    """The frames of one rendering, from the cache if they are there."""
    path = cache_folder("mix-features") / f"{content_hash(_VERSION, HarmonyBands.version, request.key)}.npz"
    if path.exists():
        with np.load(path) as file:
            kept = dict(file)
    else:
        kept = _measured(cached_clip(request))
        with atomic_path(path) as temporary:
            np.savez(temporary, **kept)
    return SongFrames({k: v for k, v in kept.items() if k not in ("bass", "sounding")}, kept["bass"], kept["sounding"])


def _measured(clip: Clip) -> dict[str, np.ndarray]:
    count = clip.mix.shape[1] // R_TIME
    audio = torch.from_numpy(clip.mix[None, :, : count * R_TIME])
    times = (np.arange(count) + 0.5) * R_TIME / SAMPLE_RATE
    coder, shipped = _coders()
    with torch.no_grad():
        spectrum = stacked(coder.log_magnitude(audio)[..., :BINS], coder.config.frames_per_latent)[0].numpy()
        latent = codec.encode(shipped, audio)[0].T.numpy()
    bass = np.full(count, -1)
    for note in clip.bass_notes:
        bass[(times >= note.start) & (times < note.end)] = note.pitch % 12
    heard = harmony(audio)
    return {
        "spectrum": spectrum.astype(np.float16),
        "shipped": latent,
        "librosa": _librosa(clip.mix, count, tuning=0.0),
        "librosa tuned": _librosa(clip.mix, count, tuning=None),
        "chroma": heard.chroma[0].numpy(),
        "bands": heard.bands[0].numpy(),
        "placed": torch.cat([heard.chroma, level_differences(audio, 4)], dim=-1)[0].numpy(),
        "bass": bass,
        "sounding": np.concatenate([_sounding(clip.mix_notes, times), np.eye(13)[bass][:, :12]], axis=1),
    }


@functools.lru_cache(maxsize=1)
def _coders() -> tuple[Autoencoder, Autoencoder]:
    return Autoencoder(_MIX), Autoencoder.from_pretrained(SHIPPED / "mix_autoencoder.safetensors")


def _sounding(notes: Sequence[Note], times: np.ndarray) -> np.ndarray:
    found = np.zeros((len(times), 12))
    for note in notes:
        found[(times >= note.start) & (times < note.end), note.pitch % 12] = 1
    return found


def _librosa(mix: np.ndarray, count: int, *, tuning: float | None) -> np.ndarray:
    """librosa's chroma as `bassbench.hearing.chroma` has it, at the middle of every latent frame, `(frames, 12)`."""
    if tuning is not None:
        heard = chroma(mix)
        strength = heard.strength if len(heard.strength) else np.zeros((count + 1, 12))
    else:
        mono = resample(mix.mean(axis=0)[None], SAMPLE_RATE, 11_025)[0]
        magnitude = np.abs(librosa.stft(mono, n_fft=4096, hop_length=1024))
        strength = librosa.feature.chroma_stft(S=magnitude, sr=11_025, n_fft=4096, norm=None).T
        strength = strength / np.maximum(strength.mean(axis=1, keepdims=True), 1e-9)
    strength = np.pad(strength, ((0, max(count + 1 - len(strength), 0)), (0, 0)), mode="edge")
    return (strength[:count] + strength[1 : count + 1]) / 2


def _k_weight(frequency: np.ndarray) -> np.ndarray:
    """Gain of ITU-R BS.1770's K-weighting: a shelf of 4 dB above 1.7 kHz and a high-pass at 38 Hz."""
    shelf = 1 + (10 ** (4 / 20) - 1) / (1 + (1682 / np.maximum(frequency, 1e-3)) ** 4)
    return shelf / np.sqrt(1 + (38 / np.maximum(frequency, 1e-3)) ** 4)


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        tyro.cli(MixFeatures, description=__doc__).run()


if __name__ == "__main__":
    main()
