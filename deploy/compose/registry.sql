-- A database of its own for the schema registry, separate from the tables of sluice.
CREATE DATABASE registry;
