"""The harness: systems, anchors and baselines are played, measured and summed up."""
