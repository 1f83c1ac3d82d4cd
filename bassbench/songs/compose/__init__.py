"""Composes the song bank: `python -m bassbench.songs.compose [--freedoom FOLDER]`, a maintainer's tool.

It needs Debian's `mma` (GPL-2+, and so is what it composes: `data/LICENSE.song_bank`); using the bank does not.
"""
