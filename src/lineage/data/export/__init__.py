"""Writers of the public layouts, for `lineage data make` and for round trips in tests: one file per layout."""
