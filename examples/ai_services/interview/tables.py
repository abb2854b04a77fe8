"""The tables of the part. A task is a job of sluice for a résumé or an interview; its row in `jobs` has its state."""

from __future__ import annotations

PART = "interview"
TABLES = """
CREATE TABLE IF NOT EXISTS resumes (
    id uuid PRIMARY KEY,
    filename text NOT NULL,
    processing_status text NOT NULL DEFAULT 'pending',
    error_message text,
    name text,
    email text,
    phone text,
    summary text,
    language text,
    education jsonb NOT NULL DEFAULT '[]',
    experience jsonb NOT NULL DEFAULT '[]',
    projects jsonb NOT NULL DEFAULT '[]',
    skills jsonb NOT NULL DEFAULT '[]',
    languages jsonb NOT NULL DEFAULT '[]',
    certificates jsonb NOT NULL DEFAULT '[]',
    links jsonb NOT NULL DEFAULT '[]',
    warnings jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS interviews (
    id uuid PRIMARY KEY,
    resume_id uuid REFERENCES resumes (id),
    language text NOT NULL,
    role text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    all_asked boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS interview_questions (
    interview_id uuid NOT NULL REFERENCES interviews (id),
    "order" smallint NOT NULL,
    question_type text NOT NULL,
    stage text NOT NULL,
    text text NOT NULL,
    source text NOT NULL,
    reason text,
    answer text,
    evaluation jsonb,
    PRIMARY KEY (interview_id, "order")
);
CREATE TABLE IF NOT EXISTS interview_tasks (
    job_id uuid PRIMARY KEY REFERENCES jobs (id),
    kind text NOT NULL,
    subject uuid NOT NULL,
    "order" smallint NOT NULL DEFAULT 0,
    sluice_id text
);
CREATE INDEX IF NOT EXISTS interview_tasks_of_subject ON interview_tasks (subject);
"""
