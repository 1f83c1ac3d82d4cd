"""One embedding for the same audio, however it is asked for."""

from pathlib import Path

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.embedders import cache as embedding_cache
from bassbench.embedders.cache import embed_cached, embed_keyed
from bassbench.embedders.registry import embed
from bassbench.errors import BadInputError


@pytest.fixture()
def embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[np.ndarray]:
    """The audio that was embedded, in an empty cache."""
    heard: list[np.ndarray] = []

    def counted(audio: np.ndarray, *arguments: object, **named: object) -> np.ndarray:
        heard.append(audio)
        return embed(audio, *arguments, **named)

    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding_cache, "embed", counted)
    return heard


def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 4 * SAMPLE_RATE)).astype(np.float32)


def test_audio_is_embedded_once_by_any_key_or_none(embedded: list[np.ndarray]) -> None:
    first = embed_keyed("the system's bass", _noise, "log-mel")
    np.testing.assert_array_equal(embed_cached(_noise(), "log-mel"), first)
    np.testing.assert_array_equal(embed_keyed("an anchor's bass", _noise, "log-mel"), first)
    assert len(embedded) == 1
    np.testing.assert_array_equal(embed(_noise(), SAMPLE_RATE, "log-mel"), first)


def test_audio_of_a_known_key_is_not_made(embedded: list[np.ndarray]) -> None:
    first = embed_keyed("bass", _noise, "log-mel")
    np.testing.assert_array_equal(embed_keyed("bass", lambda: pytest.fail("made again"), "log-mel"), first)


def test_what_differs_is_embedded_anew(embedded: list[np.ndarray]) -> None:
    embed_keyed("bass", _noise, "log-mel")
    embed_keyed("louder", lambda: 2 * _noise(), "log-mel")
    embed_keyed("mono", lambda: _noise()[:1], "log-mel")
    embed_keyed("bass", _noise, "log-mel", 22_050)
    embed_keyed("bass", _noise, "musicnn")
    assert len(embedded) == 5


def test_audio_that_cannot_be_embedded_is_not_kept(embedded: list[np.ndarray]) -> None:
    for _ in range(2):
        with pytest.raises(BadInputError, match="shorter"):
            embed_keyed("bass", lambda: _noise()[:, :100], "log-mel")
    assert len(embedded) == 2
