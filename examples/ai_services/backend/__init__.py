"""What the services share: settings, the database, the table of jobs, and the pages around them."""
