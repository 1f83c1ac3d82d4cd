"""How well a matcher finds the bass of each song, and tells it from damaged forms of itself."""

from collections.abc import Sequence

import numpy as np

from contrastive.batch import beat_frames
from contrastive.config import FeatureConfig
from contrastive.encoder import Matcher
from contrastive.scoring import score_features
from contrastive.songs import SongFeatures

_SECONDS = 12.0


def validate(matcher: Matcher, songs: Sequence[SongFeatures]) -> dict[str, float]:
    """Retrieval of each song's bass among those of all songs, and shares of songs whose bass beats a damaged one.

    "r_at_1", "mrr": recall at 1 and mean reciprocal rank, of as many as there are songs. "beats_semitone": the bass
    is above itself a semitone higher; "beats_eighth": above itself half a beat late; "beats_elsewhere": above the bass
    of another place of the song. "auc_eighth": share of pairs of songs in which the one's own bass is above the other's
    own bass half a beat late, each with its own mix. Clips are 12 s from around the middle, or less than half the
    shortest song.
    """
    config = matcher.config.features
    frames = min(round(_SECONDS * config.frames_per_second), round(0.45 * min(song.frames for song in songs)))
    mixes, basses, higher, late, elsewhere = [], [], [], [], []
    for song in songs:
        start = (song.frames - 2 * frames) // 2
        delay = round(beat_frames(song, config) / 2)
        mixes.append(song.mix[:, start : start + frames])
        basses.append(song.bass[:, start : start + frames])
        higher.append(transposed(basses[-1], 1, config))
        late.append(song.bass[:, max(start - delay, 0) :][:, :frames])
        elsewhere.append(song.bass[:, start + frames : start + 2 * frames])
    scores = score_features(mixes, basses + higher + late + elsewhere, matcher)
    count = len(songs)
    own, *damaged = (np.diag(scores[:, i * count : (i + 1) * count]) for i in range(4))
    rank = ranks(scores[:, :count])
    return {
        "r_at_1": float((rank == 1).mean()),
        "mrr": float((1 / rank).mean()),
        "beats_semitone": float((own > damaged[0]).mean()),
        "beats_eighth": float((own > damaged[1]).mean()),
        "beats_elsewhere": float((own > damaged[2]).mean()),
        "auc_eighth": float((own[:, None] > damaged[1]).mean()),
    }


def ranks(scores: np.ndarray) -> np.ndarray:
    """Rank, 1 the best, of each row's diagonal entry in `(mixes, basses)`; a tie counts half a place."""
    own = np.diag(scores)[:, None]
    above = (scores > own).sum(axis=1)
    ties = (scores == own).sum(axis=1) - 1
    return 1 + above + ties / 2


def transposed(features: np.ndarray, semitones: int, config: FeatureConfig) -> np.ndarray:
    """Features `(bins, frames)` of the same music moved up by semitones, at most by the room that there is.

    What would come from beyond the room is repeated from its edge; the towers do not see it.
    """
    if abs(semitones) > config.room:
        raise ValueError(f"there is room for {config.room} semitones, not {semitones}")
    rows = np.arange(config.pitched) - semitones * config.bins_per_semitone
    return np.concatenate([features[rows.clip(0, config.pitched - 1)], features[config.pitched :]])
