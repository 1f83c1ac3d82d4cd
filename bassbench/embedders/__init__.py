"""Networks and features that turn audio into embeddings."""
