"""The HTTP service: what front ends and applications call.

Belongs here: requests, answers, authentication, streams and pages. What happens in between is decided in
`ingestion_assets`; nothing there or below imports this package.
"""
