"""What a name says of a stem: the rules, in one table, for every layout that tells stems by names.

They cover how Demucs, UVR, Spleeter, MUSDB18, MoisesDB, MedleyDB, Slakh2100 (General MIDI), the Cambridge multitracks
and exports of audio workstations name files; `tests/stems/test_stem_roles.py` holds the names. What a name cannot say
("808", "sub", a choir's "bass") is decided as the table decides it: rename the file where that is wrong.
"""

import re
from collections.abc import Sequence
from enum import Enum


class Kind(Enum):
    """What a file is by its name."""

    BASS = "a bass"
    PART = "a part"  # anything else that is a stem
    WITHOUT_BASS = "a mix without the bass"
    WITH_BASS = "a mix with the bass"
    MIX = "a mix"  # with the bass or without it: its sound has to tell


_NOT = "(?:no|w o|non|not|without|minus|sans|ohne|less|excluding|except|but)"
_PARTS = "(?:vocals?|voices?|vox|singing|drums?|percussion|guitars?|gtrs?|pianos?|keys?|synths?|strings|others?|leads?)"
_ELSE = (
    "(?:drums?|dr|kicks?|clarinets?|trombones?|flutes?|sax|saxes|saxophones?|oboes?|recorders?|trumpets?|viols?|horns?|"
    "harmonicas?|marimbas?|vocals?|vox|voices?|singers?|choir)"
)
_JOINED = (
    "(?:bass(?:di|amp|mic|gtr|guitar|line|synth|dry|wet|clean|dist|fx|sub|stem|bus|track|left|right|es)|"
    "(?:sub|synth|e|elec|double|contra|kontra|upright|slap|fretless|acoustic|electric)bass)"
)
_BASS = rf"(?:(?:bass|{_JOINED})(?! {_ELSE}\b))"
_WHOLE = (
    "(?:mix|mixes|mixture|mixdown|fullmix|master|mastered|bounce|main|full|stereo|final|rough|print|ref|reference|out|"
    "v|bit|k?hz)"
)

# The first that is found decides. Names are matched as lower-case words: "03_BassDI-L" is "03 bass di l".
RULES: tuple[tuple[Kind, str], ...] = (
    (Kind.PART, r"\blead (8 )?bass and lead\b"),  # General MIDI's program 88
    (Kind.PART, r"\b(vocals?|vox|voices?|choir|satb|bvs?|bgvs?) bass\b"),
    (Kind.WITHOUT_BASS, rf"\b{_NOT} (the |one )?({_PARTS} (and )?)*{_BASS}\b"),
    (Kind.WITHOUT_BASS, rf"\b{_BASS} (less|free|removed|muted|out|off|minus|backing)\b"),
    (Kind.WITHOUT_BASS, r"\b((no|minus|without)bass|bassless)\b"),
    (Kind.WITH_BASS, rf"\b{_NOT} (the )?({_PARTS}|bass {_ELSE})\b"),
    (Kind.WITH_BASS, rf"\b{_PARTS} (less|free|removed|muted)\b|\b(drum|vocal|guitar|piano)s?less\b"),
    (Kind.WITH_BASS, r"\b(instrumentals?|karaoke)( version| track| mix)?( \d+)?$"),
    (Kind.WITH_BASS, rf"^((?!bass).)* and {_BASS}\b|\b{_BASS} and {_PARTS}\b|\bdrums? bass\b"),
    (Kind.MIX, r"^(\d+ )?((backing|accompaniment)( mix| track)?|mix|minus one|mix minus one)( v)?( \d+)?( bit)?$"),
    (Kind.WITH_BASS, rf"^(\d+ )*(?!(out|main|full|final|print|stereo|v|bit|k?hz)\b[ \d]*$){_WHOLE}( {_WHOLE}| \d+)*$"),
    (Kind.BASS, rf"\b{_BASS}\b|\bbasses\b"),
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[&+]")
_GROUP = re.compile(r"\(([^()]*)\)")
_STEM = re.compile(rf"({_NOT} )?({_PARTS}|bass|instrumental)")


def kind(name: str) -> Kind:
    """What a file of this name (without suffix) is."""
    # UVR puts the stem in brackets, of several steps the last is what is left: "1_Song_(No Vocals)_(Bass)_model".
    groups = (" ".join(_words(group)) for group in reversed(_GROUP.findall(name)))
    text = next((group for group in groups if _STEM.fullmatch(group)), " ".join(_words(name)))
    return next((what for what, pattern in RULES if re.search(pattern, text)), Kind.PART)


def kinds(names: Sequence[str]) -> list[Kind]:
    """What each of the files of one track is: what all names begin with (the song, say) does not count.

    It does where nothing but that names the bass, as for "Bass DI" and "Bass amp".
    """
    whole = [kind(name) for name in names]
    length = _shared(names)
    if not length:
        return whole
    rest = [kind(name[length:]) for name in names]
    return rest if Kind.BASS in rest or Kind.BASS not in whole else whole


def is_bass(name: str) -> bool:
    """Whether what has this name is a bass."""
    return kind(name) is Kind.BASS


def _words(name: str) -> list[str]:
    return [{"&": "and", "+": "and"}.get(word, word.lower()) for word in _WORD.findall(name)]


def _shared(names: Sequence[str]) -> int:
    """Letters of the words that all names begin with; a name keeps one word, and "no" stays with what it denies."""
    if len(names) < 2:
        return 0
    found = [list(_WORD.finditer(name)) for name in names]
    words = 0
    while all(len(each) > words + 1 for each in found):
        if len({each[words].group().lower() for each in found}) > 1:
            break
        words += 1
    while words and re.fullmatch(_NOT, found[0][words - 1].group().lower()):
        words -= 1
    # Counted in the first name; where another has other signs between the words, nothing is taken off.
    length = found[0][words].start() if words else 0
    return length if len({name[:length].lower() for name in names}) == 1 else 0
