"""Refuses callback URLs that may not be called, before any is (schemas/addresses.py has the rules).

The socket's own address is checked once more when a callback is sent (`connect.py`): a name is refused only then.
"""

from __future__ import annotations

from connectors.callbacks.resolve import backend_origin, host_of, split_url
from schemas.addresses import AllowRules, is_loopback_host, literal_address
from schemas.errors import InvalidInput


def check_url(url: str, backend_url: str | None, rules: AllowRules) -> None:
    """Raise InvalidInput for a callback URL that is refused whatever the network says: one that can't be used, or whose host is
    an address that no callback may reach. A name is checked when its address is known."""
    scheme, authority, _ = split_url(url)
    host = host_of(authority)
    if backend_url is not None and (is_loopback_host(host) or f"{scheme}://{authority}" == backend_origin(backend_url)):
        return
    address = "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else literal_address(host)
    if address is not None and not rules.allows_host(host) and not rules.allows_address(address):
        raise InvalidInput(
            "The callback URL's host is not a public address and not allowed.",
            next_step="Use an address that callbacks may reach. The operator allows others with SLUICE_CALLBACK_ALLOW, and "
            "says with SLUICE_BACKEND_URL (or DJANGO_URL) which backend localhost means.",
        )
