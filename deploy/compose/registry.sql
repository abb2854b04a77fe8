-- The schema registry keeps its schemas here, apart from sluice's own tables.
CREATE DATABASE registry;
