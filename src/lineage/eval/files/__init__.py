"""Result and annotation files of others, read for `lineage evaluate`. Read first: score_file.py."""
