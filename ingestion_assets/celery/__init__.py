"""Runs on other machines, by Celery. Nothing here is imported unless `deploy/celery/dagster.yaml` is the instance's.

A run stays what it is, one process with a pulse; Celery only decides where it starts. So whatever watches and repairs
runs, and whatever refuses late writers, is the same as on one machine.
"""
