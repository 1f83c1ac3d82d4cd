"""What audio files promise beyond what their decoder checks: sizes in headers, frames of mp3, the end of ogg."""

import functools
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import soundfile

from bassbench.errors import BadInputError

_SLACK = 4096  # bytes by which sizes that stand for "unknown" may miss 2 or 4 GiB: SoX writes 0x7FFFF000
_TO_REPAIR = "write it anew, as with `ffmpeg -i IN OUT.wav`"
_BIT_RATES = {  # kbit/s of layer III by version (MPEG-1; MPEG-2 and 2.5) and index
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def refuse_misread(path: Path) -> None:
    """Refuse a file of which the decoder would silently read another part than there is.

    That is a file that was cut short, a wav whose header was never closed, an mp3 of varying bit rate without the frame
    that says its length, or a flac that does not say its length.

    Raises:
        BadInputError: it is one; the message says what to do.
    """
    try:
        state = path.stat()
        fault = _misread(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise BadInputError(f"{path}: cannot read ({error.strerror})") from None
    if fault:
        raise BadInputError(f"{path}: {fault}")


def _cut_short(path: Path) -> str:
    """The fault of a file that ends before what its container promises, where its decoder says nothing of it."""
    fault = "cut short: it ends before what its header promises"
    with path.open("rb") as file:
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - (1 << 17), 0))
        tail = file.read()
    if head.startswith((b"RIFF", b"FORM", b"riff", b".snd")):  # wav, aiff, w64, au: the decoder notes it in its log
        info = soundfile.info(path, verbose=True)
        log = re.search(r"^ *(?:data|SSND|riff|Data Size) +: (\d+) \(should be (\d+)\)", info.extra_info, re.M)
        short = log is not None and int(log[2]) < int(log[1]) and not _is_unknown(int(log[1]))
        return f"cut short after {info.frames / info.samplerate:.1f} s" if short else ""
    if head.startswith(b"OggS"):
        last = tail.rfind(b"OggS")
        return fault if last < 0 or not tail[last + 5] & 4 else ""  # the last page says that it is (RFC 3533)
    if not _may_be_mp3(head):
        return ""  # flac: the decoder says itself
    promised = _mp3_bytes(path.read_bytes())
    return fault if promised is not None and size < 0.99 * promised else ""


@functools.lru_cache(maxsize=65_536)
def _misread(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        head = file.read(26)
    if head[:4] == b"fLaC" and not (head[21] & 15 or any(head[22:26])):
        return f"a flac that does not say how long it is, as when it was written to a pipe; {_TO_REPAIR}"
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE" and (fault := _unclosed_wav(path, size)):
        return f"{fault}; {_TO_REPAIR}"
    if fault := _cut_short(path):
        return f"{fault}; copy or download it again"
    if not _may_be_mp3(head):
        return ""
    data = path.read_bytes()
    if _mp3_tag(data) is not None:
        return ""
    try:
        frames, rate = soundfile.info(path).frames, soundfile.info(path).samplerate
    except (soundfile.LibsndfileError, RuntimeError):
        return ""  # for the decoder to refuse
    samples = sum(_mp3_samples(header) for _, header in _mp3_frames(data))
    if not samples:
        return ""  # not of layer III
    # The decoder tells the length from the first frame's bit rate; an encoder's delay and padding are within bounds.
    if abs(samples - frames) <= 0.01 * samples + 5 * 1152:
        return ""
    return (
        f"an mp3 of varying bit rate that does not say how long it is: {frames / rate:.1f} of {samples / rate:.1f} s "
        f"would be read; {_TO_REPAIR}"
    )


def _unclosed_wav(path: Path, size: int) -> str:
    """The fault of a wav file whose chunk of samples says that it has none, while there is more than other chunks."""
    with path.open("rb") as file:
        at, long = 12, 0xFFFFFFFF
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"ds64":
                long = struct.unpack("<QQ", file.read(16))[1]  # in RF64, where 32 bits may be too few
            if name == b"data":
                length = long if length == 0xFFFFFFFF else length
                rest = at + 8
                if length == 0 and rest < size and not _are_chunks(file.read(), size - rest):
                    return f"its header was never closed: it says no samples, but {size - rest} bytes follow"
                return ""
            at += 8 + length + length % 2
    return ""


def _are_chunks(data: bytes, size: int) -> bool:
    at = 0
    while at + 8 <= size:
        name, length = struct.unpack("<4sI", data[at : at + 8])
        if not all(32 <= letter < 127 for letter in name):
            return False
        at += 8 + length + length % 2
    return at in (size, size + 1)


def _is_unknown(size: int) -> bool:
    """Whether a size is what programs that write to a pipe put for one they do not know."""
    return any(0 <= top - size <= _SLACK for top in (2**31, 2**32))


def _may_be_mp3(head: bytes) -> bool:
    return head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def _mp3_frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each frame of layer III begins, and its header (ISO 11172-3, 2.4.1.3)."""
    at, same = 0, 0
    if data.startswith(b"ID3") and len(data) > 10:
        at = 10 + sum((byte & 127) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    if data[at : at + 4] == b"fLaC":
        return  # tagged as an mp3 is
    while at + 4 <= len(data):
        header = int.from_bytes(data[at : at + 4], "big")
        length = _mp3_length(header)
        if length and (not same or header & 0xFFFE0C00 == same):  # of one version, layer and sample rate
            same = header & 0xFFFE0C00
            yield at, header
            at += length
        else:
            at = data.find(b"\xff", at + 1)
            if at < 0:
                return


def _mp3_length(header: int) -> int:
    version, index, rate = header >> 19 & 3, header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or header >> 17 & 3 != 1 or not 0 < index < 15 or rate == 3:
        return 0
    bits = 1000 * _BIT_RATES[1 if version == 3 else 2][index]
    return _mp3_samples(header) // 8 * bits // _RATES[version][rate] + (header >> 9 & 1)


def _mp3_samples(header: int) -> int:
    return 1152 if header >> 19 & 3 == 3 else 576


def _mp3_tag(data: bytes) -> int | None:
    """Where the tag that tells an mp3's length begins, which stands in its first frame, in place of sound."""
    at, header = next(_mp3_frames(data), (0, 0))
    mono, first = header >> 6 & 3 == 3, header >> 19 & 3 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    crc = 0 if header >> 16 & 1 else 2
    place = at + 4 + side
    for tag in (place, place + crc):
        if data[tag : tag + 4] in (b"Xing", b"Info"):
            return tag
    return at + 36 if data[at + 36 : at + 40] == b"VBRI" else None


def _mp3_bytes(data: bytes) -> int | None:
    """How many bytes an mp3's tag says that there are."""
    tag = _mp3_tag(data)
    if tag is None or data[tag : tag + 4] == b"VBRI":
        return None
    flags = int.from_bytes(data[tag + 4 : tag + 8], "big")
    place = tag + (12 if flags & 1 else 8)  # the number of bytes follows that of frames, if that is there
    return int.from_bytes(data[place : place + 4], "big") if flags & 2 else None
