"""Interviews: résumés that are read into columns, questions that follow a scenario, and scores for the answers."""
