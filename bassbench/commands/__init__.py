"""One file a command of `bassbench`."""
