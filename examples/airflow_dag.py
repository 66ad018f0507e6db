"""Airflow: an export each night. A run that is interrupted is resumed by the next attempt.

With Airflow 3, in a file of the folder of DAGs:

    from airflow.sdk import dag, task

    @dag(schedule="@daily", catchup=False)
    def siteassist() -> None:
        task(export, retries=5)("/data/conversations.parquet")

    siteassist()
"""

import subprocess

NEEDS_A_PERSON = {2, 4}


def export(output: str) -> None:
    """Export all conversations that are new or have changed; SITEASSIST_TOKEN must be set."""
    done = subprocess.run(["siteassist", "export", "--all", "-o", output], check=False)
    if done.returncode in NEEDS_A_PERSON:
        raise SystemExit(done.returncode)  # Airflow does not retry it
    if done.returncode == 3:
        raise RuntimeError("the export was interrupted; the next attempt resumes it")
