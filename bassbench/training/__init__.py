"""What every training run does the same way."""
