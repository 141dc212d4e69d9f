"""The queue of asynchronous jobs against procrastinate and pgqueuer."""
