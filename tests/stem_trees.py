"""Small trees of noise and tones in the layouts that datasets of stems are published in."""

import json
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
import yaml

RATE = 44_100


def tone(hertz: float, seconds: float = 6.0, *, rate: int = RATE, level: float = 0.1, channels: int = 2) -> np.ndarray:
    """A sine, the channels alike but for their level: `(samples, channels)`."""
    time = np.arange(round(seconds * rate)) / rate
    gains = level * (1 - 0.2 * np.arange(channels))
    return np.sin(2 * np.pi * hertz * time)[:, None] * gains


def write(path: Path, audio: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    """Write `(samples, channels)` in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype=subtype)
    return path


def musdb(root: Path, tracks: tuple[str, ...] = ("train/A - One", "test/B - Two")) -> Path:
    """MUSDB18-HQ."""
    for number, track in enumerate(tracks):
        stems = {
            name: tone(hertz + number)
            for name, hertz in {"bass": 60, "drums": 200, "other": 300, "vocals": 400}.items()
        }
        for name, audio in {**stems, "mixture": sum(stems.values())}.items():
            write(root / track / f"{name}.wav", audio, subtype="PCM_16")
    return root


def moisesdb(root: Path) -> Path:
    """MoisesDB: two drum files, one bass, one guitar."""
    folder = root / "moisesdb_v0.1" / "0b1c2d3e-0000-4000-8000-000000000001"
    parts = {
        "bass": [("bass guitar", "b0", 60)],
        "drums": [("kick drum", "d0", 100), ("snare drum", "d1", 200)],
        "guitar": [("clean electric guitar", "g0", 300)],
    }
    for stem, tracks in parts.items():
        for _, name, hertz in tracks:
            write(folder / stem / f"{name}.wav", tone(hertz))
    stems = [
        {
            "id": f"stem-{stem}",
            "stemName": stem,
            "tracks": [{"id": n, "trackType": kind, "extension": "wav", "has_bleed": False} for kind, n, _ in tracks],
        }
        for stem, tracks in parts.items()
    ]
    about = {"id": folder.name, "song": "Song", "artist": "Artist", "genre": "rock", "stems": stems}
    (folder / "data.json").write_text(json.dumps(about))
    return root


def slakh(root: Path, *, suffix: str = ".flac", place: str = "train/Track00001", rate: int = RATE) -> Path:
    """Slakh2100: drums, piano, bass and a sound effect that was never rendered; the bass has MIDI."""
    folder = root / place
    classes = ["Drums", "Piano", "Bass", "Sound Effects"]
    stems = {
        f"S{number:02d}": {
            "audio_rendered": kind != "Sound Effects",
            "inst_class": kind,
            "integrated_loudness": -20.0,
            "is_drum": kind == "Drums",
            "midi_program_name": kind,
            "midi_saved": True,
            "plugin_name": "made.nkm",
            "program_num": 33,
        }
        for number, kind in enumerate(classes)
    }
    about = {"UUID": "0" * 32, "audio_dir": "stems", "midi_dir": "MIDI", "normalized": True, "overall_gain": 0.2}
    folder.mkdir(parents=True)
    (folder / "metadata.yaml").write_text(yaml.safe_dump({**about, "stems": stems, "target_peak": -1.0}))
    audio = {"S00": tone(200, rate=rate), "S01": tone(300, rate=rate), "S02": tone(60, rate=rate)}
    for name, samples in audio.items():
        write(folder / "stems" / f"{name}{suffix}", samples[:, :1], rate)
    write(folder / f"mix{suffix}", sum(audio.values())[:, :1], rate)
    midi = pretty_midi.PrettyMIDI()
    player = pretty_midi.Instrument(33)
    player.notes = [pretty_midi.Note(100, 36 + beat, beat, beat + 0.5) for beat in range(6)]
    midi.instruments.append(player)
    (folder / "MIDI").mkdir()
    midi.write(str(folder / "MIDI" / "S02.mid"))
    midi.write(str(folder / "all_src.mid"))
    return root


def medleydb(root: Path, *, metadata: str = "Audio/{track}/{track}_METADATA.yaml") -> Path:
    """MedleyDB: electric bass, a synthesizer that plays bass and one that does not, drums."""
    track = "ArtistName_SongTitle"
    players = [
        ("electric bass", "bass", 60),
        ("drum set", "", 200),
        ("synthesizer", "bass", 70),
        ("synthesizer", "", 300),
    ]
    stems = {}
    for number, (instrument, component, hertz) in enumerate(players, 1):
        file = f"{track}_STEM_{number:02d}.wav"
        raw = {"R01": {"filename": f"{track}_RAW_{number:02d}_01.wav", "instrument": instrument}}
        stems[f"S{number:02d}"] = {"component": component, "filename": file, "instrument": instrument, "raw": raw}
        write(root / "Audio" / track / f"{track}_STEMS" / file, tone(hertz))
    about = {"artist": "Artist Name", "excerpt": "no", "has_bleed": "no", "stem_dir": f"{track}_STEMS", "stems": stems}
    path = root / metadata.format(track=track)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**about, "mix_filename": f"{track}_MIX.wav", "version": 1.2}))
    return root


def folders(root: Path) -> Path:
    """Stems by name, of every format and another rate."""
    write(root / "one" / "Bass DI.flac", tone(60))
    write(root / "one" / "bass drum.wav", tone(90))
    write(root / "one" / "keys.ogg", tone(300))
    write(root / "one" / "mixture.wav", tone(50))
    write(root / "train" / "two" / "bass.mp3", tone(60))
    write(root / "train" / "two" / "gtr.wav", tone(300, rate=48_000), 48_000, "PCM_24")
    return root


def mixes(root: Path) -> Path:
    """MTG-Jamendo: no stems."""
    write(root / "00" / "1100.mp3", tone(100))
    write(root / "00" / "drum and bass.mp3", tone(110))
    write(root / "01" / "1101.mp3", tone(120))
    return root
