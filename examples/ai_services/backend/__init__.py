"""Shared by the services: settings, the database, the table of jobs, verified callbacks, and the pages around them."""
