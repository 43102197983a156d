"""Runs of other code bases, read from what these leave behind: `lineage import` makes foreign entries of them."""
