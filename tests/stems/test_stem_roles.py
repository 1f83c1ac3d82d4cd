"""The table of stems' names, by the convention that they come from."""

import pytest

from bassbench.stems.roles import Kind, kind, kinds

BASS, PART, WITHOUT, WITH, MIX = Kind.BASS, Kind.PART, Kind.WITHOUT_BASS, Kind.WITH_BASS, Kind.MIX
NAMES: dict[str, dict[Kind, str]] = {
    "Demucs": {
        BASS: "bass, Song_bass, Song - bass",
        PART: "drums, vocals, other, guitar, piano",
        WITHOUT: "no_bass, Song_no_bass, minus_bass",
        WITH: "no_vocals, no_drums, no_other, no_guitar, minus_vocals",
    },
    "UVR": {
        BASS: "1_Song_(Bass), 1_Song_(Bass)_htdemucs_ft, 1_Song_(Instrumental)_(Bass), 1_Song_(Bass)_(No Reverb), "
        "1_Song_(No Vocals)_(Bass)",
        PART: "1_Song_(Vocals), 1_Song_(Drums), 1_Song_(Other), 1_All About That Bass_(Drums), 1_No Bass_(Vocals)",
        WITHOUT: "1_Song_(No Bass), x_(No Bass), 1_Song_(Bass)_(No Bass)",
        WITH: "1_Song_(Instrumental), 1_Song_(No Drums), 1_Song_(No Other)",
    },
    "Spleeter": {BASS: "bass", PART: "vocals, piano", MIX: "accompaniment"},
    "MUSDB18": {BASS: "bass", PART: "drums, other, vocals", WITH: "mixture"},
    "MoisesDB": {
        BASS: "bass, bass guitar, bass synthesizer (moog etc), contrabass/double bass (bass of instrument)",
        PART: "drums, kick drum, snare drum, clean electric guitar, lead male singer, other_keys, bowed_strings",
    },
    "MedleyDB": {
        BASS: "electric bass, double bass, synth bass",
        PART: "synthesizer, bassoon, contrabassoon, bass drum, bass clarinet, bass trombone, baritone saxophone",
        WITH: "MIX 2 stereo",
    },
    "Slakh2100": {
        BASS: "Bass, Acoustic Bass, Electric Bass (finger), Electric Bass (pick), Fretless Bass, Slap Bass 1, "
        "Synth Bass 2, Contrabass",
        PART: "Strings (continued), Lead 8 (bass + lead), Bassoon, Drums, S01, Tuba",
        MIX: "mix",
    },
    "Cambridge multitracks": {
        BASS: "03_BassDI, 12_BassAmp, 07_Bass, 05_BassMic2, 09_BassSynth, 10_ElecBass1, 11_UprightBass, 08_bassgtr",
        PART: "01_Kick, 02_KickOut, 04_BassDrum, 20_LeadVox, 21_BackingVoxBass, 15_Bassoon, 16_Sub",
    },
    "workstations": {
        BASS: "Bass-01, BASS DI, bass_L, Bass.R, Audio 3-Bass Gtr_bip, Bass Bus, Bass Stem, Bass Mix, sub-bass, "
        "E-Bass, bass (mix), SubBass, synth-bass2, 808 Bass, Basses, Bass & Amp, Bass + FX",
        PART: "Drum Mix, Guitar Bus, 808, Kick, Bass Vox, Bass Drum, bass_kick, BassSax, Contrabass Clarinet, "
        "bass dr, embassy, Remix, Main",
        WITHOUT: "mix_minus_bass, mix no bass, Mix-NoBass, without bass, Mix (bass muted), bassless, "
        "Minus Drums and Bass, drums (no bass), BassLess, nobass, Minus One Bass, bass minus one, "
        "Song (Bass Backing Track)",
        WITH: "mixture, Full Mix, fullmix, Mixdown, MASTER, Stereo Out, Rough Mix 2, Final Master, 00 Mixture, "
        "mix minus vocals, vocals removed, drumless, no bass drum, Instrumental, Karaoke, Bass and Drums, Drum & Bass, "
        "drums+bass, drums_bass, Kick+Bass, Mix FINAL v2",
        MIX: "mix, 01 Mix, Backing Track, Minus One, mix_v2, MIX_24bit",
    },
}  # fmt: skip


@pytest.mark.parametrize("convention", NAMES)
def test_the_table_of_names(convention: str) -> None:
    asked = {name: what for what, names in NAMES[convention].items() for name in names.split(", ")}
    assert {name: kind(name) for name in asked} == asked


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("All About That Bass - drums, All About That Bass - bass, All About That Bass - mix", [PART, BASS, MIX]),
        ("no_bass, no_vocals", [WITHOUT, WITH]),
        ("Bass DI, Bass amp", [BASS, BASS]),
        ("bass, bass drum", [BASS, PART]),
        ("Remix 2 (Bass), Remix 2 (Drums)", [BASS, PART]),
        ("Song mix, Song bass, Song keys", [MIX, BASS, PART]),
        ("bass", [BASS]),
    ],
)
def test_what_the_names_of_a_track_begin_with_does_not_count(names: str, expected: list[Kind]) -> None:
    assert kinds(names.split(", ")) == expected
