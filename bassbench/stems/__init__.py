"""Datasets of stems on the user's disk, in the layouts they are published in, behind one view.

`bassbench.stems.layouts.open_dataset(path)` finds the layout; the result is a sequence of tracks, from which
`bassbench.stems.windows` takes pairs to score and `bassbench.stems.training_data` clips to train on. Audio is read
window by window, so memory does not grow with the length of a file. `python -m bassbench data check PATH` says what is
wrong with a dataset, `python -m bassbench data shard PATH OUT` packs it for training from elsewhere.
"""
