"""`sluice new processor`: a package that works, to be changed into one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, say_json

app = sub_app(
    "new",
    """Write a new processor: its contract, its class and a test that passes.

What is written works as it is. docs/adding_a_processor.md leads from there to a
job that is done.

For example:

    sluice new processor words
    cd words && python -m pytest
""",
)

Name = Annotated[str, Parameter(help="Its name: lower-case letters, digits and hyphens.")]
Directory = Annotated[Path | None, Parameter(help="The folder to write; by default one of that name, here.")]


@app.command
def processor(name: Name, /, *, directory: Directory = None, json: Json = False) -> int:
    """Write a processor as a small package of its own.

    Two dataclasses and their Avro schemas, the class with its four methods, a test,
    and a pyproject.toml with the two entry points by which sluice finds it. Nothing
    is overwritten: exit status 7 when something is in the way.

    For example:

        sluice new processor words
        sluice new processor gene-expression --directory ~/work/genes
    """
    from schemas.errors import Conflict, UsageError
    from streams.cli.scaffold import files

    folder = directory or Path(name)
    made = files(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"There is something at {str(folder)!r} already.", next_step="Give another --directory.")
    try:
        for path, text in made.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{str(folder)!r} can't be written: {error.strerror}.") from error
    if json:
        say_json({"directory": str(folder), "files": list(made)})
        return 0
    for path in made:
        out(str(folder / path))
    where = shlex.quote(str(folder))
    err(
        f"\nNext:\n  pip install -e {where}        # beside sluice, so that it finds the entry points\n"
        f"  python -m pytest {where}\n"
        f"""  sluice run-once {name} --input '{{"text": "one two"}}'\n"""
        f"  sluice topics apply && sluice worker {name}"
    )
    return 0
