"""One file per code base whose weights are read or written: names there and here. Read first: table.py."""
