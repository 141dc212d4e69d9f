"""Study: documents become flashcards and quiz questions, each grounded in a quote that is in the document.

`pipeline.build_collection` is the whole way without Dagster and without a database; the assets call the same parts.
"""
