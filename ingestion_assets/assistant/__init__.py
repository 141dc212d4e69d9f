"""Questions of one user, answered at once or in the background: summaries, cards, tags, and answers from their documents.

Joins what the two domains offer to the queue and to the chat; neither of them knows of it.
"""
