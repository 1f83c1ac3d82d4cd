"""What is heard in audio: pitch, onsets, chroma, spectra, notes."""
