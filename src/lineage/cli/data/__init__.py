"""`lineage data`: one file per subcommand, each with `add_arguments` and `run`. Read first: main.py."""
