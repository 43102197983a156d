"""A filled table as terminal text, Markdown, LaTeX, HTML or CSV. Read first: view.py, which all formats share."""
