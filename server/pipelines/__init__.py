"""Pipelines that are carried out: a job after the other, also over a restart."""
