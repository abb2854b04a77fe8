"""Prepares what the peers share, before the first visit: a database of their own in the stack's Postgres.

python prepare.py ADMIN_URL NAME    # prints the URL of the database
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit, urlunsplit

import psycopg
import work
from psycopg import sql


def main() -> None:
    admin, name = sys.argv[1:]
    with psycopg.connect(admin, autocommit=True) as database:
        database.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        database.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(work.TABLE)
    print(url)


if __name__ == "__main__":
    main()
