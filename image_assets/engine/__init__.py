"""The engine: from a folder of photographs to renditions, a ledger and measurements.

It knows nothing of Dagster. Worker processes import this package, so nothing is imported here.
"""
