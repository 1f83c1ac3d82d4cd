"""Folders and audio files below a folder; what is hidden (".ipynb_checkpoints", "._bass.wav") or unpacked for macOS
("__MACOSX") is neither a track nor a stem."""

from pathlib import Path

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg"),
    *(".oga", ".opus", ".aif", ".aiff", ".aifc", ".caf", ".w64", ".rf64", ".au"),
)
"""What libsndfile reads; the first four are what the commands ask for."""
NOT_READ = (".m4a", ".aac", ".wma", ".ape", ".wv", ".mka", ".ac3", ".alac", ".sd2", ".mpc")
"""Audio that needs another decoder."""


def below(root: Path, *patterns: str) -> list[Path]:
    """What matches the patterns below a folder, in order of the patterns and then of names, without what is hidden."""
    return [path for pattern in patterns for path in sorted(root.glob(pattern)) if _shown(path.relative_to(root))]


def folders_below(root: Path, *patterns: str) -> list[Path]:
    """The folders among `below`."""
    return [path for path in below(root, *patterns) if path.is_dir()]


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in a folder that can be read, by suffix."""
    return _files(folder, AUDIO_SUFFIXES)


def files_not_read(folder: Path) -> list[Path]:
    """Audio files directly in a folder that cannot be read, by suffix."""
    return _files(folder, NOT_READ)


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in below(folder, "*") if path.suffix.lower() in suffixes and path.is_file()]


def _shown(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
