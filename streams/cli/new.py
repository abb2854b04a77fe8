"""`sluice new processor`: create a working package to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, out_json

app = sub_app(
    "new",
    """Create a new processor: contract, class and a test that passes.

The created package works as it is. docs/adding_a_processor.md shows the next
steps, from there to a completed job.

For example:

    sluice new processor words
    cd words && python -m pytest
""",
)

Name = Annotated[str, Parameter(help="Name of the processor: up to 48 lower-case letters, digits and hyphens.")]
Directory = Annotated[Path | None, Parameter(help="Folder to create. Default: NAME in the current directory.")]


@app.command
def processor(name: Name, /, *, directory: Directory = None, json: Json = False) -> int:
    """Create a processor as a small package of its own.

    It has the dataclasses of input and output with their Avro schemas, the class
    with its four methods, a test, and a pyproject.toml with the two entry points
    by which sluice finds it. Exit status 7 if the folder exists and is not empty.

    For example:

        sluice new processor words
        sluice new processor gene-expression --directory ~/work/genes
    """
    from schemas.errors import Conflict, UsageError
    from streams.cli.scaffold import files

    folder = directory or Path(name)
    made = files(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{str(folder)!r} already exists.", next_step="Give another --directory.")
    try:
        for path, text in made.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{str(folder)!r} can't be written: {error.strerror}.") from error
    if json:
        out_json({"directory": str(folder), "files": list(made)})
        return 0
    for path in made:
        out(str(folder / path))
    where = shlex.quote(str(folder))
    err(
        f"\nNext:\n  pip install -e {where}        # into the environment of sluice\n"
        f"  python -m pytest {where}\n"
        f"""  sluice run-once {name} --input '{{"text": "one two"}}'\n"""
        f"  sluice topics apply && sluice worker {name}"
    )
    return 0
