"""Names of memos: results of processors with `memoize`, stored to be reused (docs/adr/0031).

`memo/<tenant>/<input>/<model and code>`, each a hash: a tenant never finds another's, and an input leads to all of its memos.
"""

from __future__ import annotations

import hashlib

#: Folder of memos among the named objects.
MEMOS = "memo"


def memo_key(processor: str, model_version: str, model_sha256: str | None, code_version: str) -> str:
    """Return the last part of a memo's name: what computes the output."""
    parts = (processor, model_version, model_sha256 or "", code_version)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def memo_folder(tenant: str, input_sha256: str) -> str:
    """Return the folder of all memos of an input."""
    return f"{MEMOS}/{tenant_part(tenant)}/{input_sha256}"


def memo_name(tenant: str, input_sha256: str, key: str) -> str:
    return f"{memo_folder(tenant, input_sha256)}/{key}"


def tenant_part(tenant: str) -> str:
    """Return the part of a memo's name that stands for its tenant."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]
