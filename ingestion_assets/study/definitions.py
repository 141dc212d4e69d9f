"""The study domain as Dagster definitions."""

import dagster as dg

from ingestion_assets.study.asset_checks import STUDY_CHECKS
from ingestion_assets.study.document_analyses import document_analyses
from ingestion_assets.study.documents import documents
from ingestion_assets.study.steps import KEYS, RUN_TAGS
from ingestion_assets.study.study_collections import study_collections

JOB = "make_collection"


def study_definitions() -> dg.Definitions:
    """Assets, checks and the job that makes one collection. Needs the resources `postgres` and `llm`."""
    return dg.Definitions(
        assets=[documents, document_analyses, study_collections],
        asset_checks=list(STUDY_CHECKS),
        jobs=[
            dg.define_asset_job(
                JOB,
                selection=dg.AssetSelection.assets(*KEYS),
                description="Extracts, analyses and assembles one collection.",
                tags=RUN_TAGS,
            )
        ],
    )
