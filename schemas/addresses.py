"""Internet addresses: which are public, and which else an operator allows. For everything that opens a URL of a stranger.

The submitter of a job chooses where its callback goes and where its film comes from, so without this check it could make the
server send requests into its own network (cloud metadata, databases, admin pages). The code that opens the socket checks the
resolved address, so the checked address is the one that is connected to. A name that resolves differently the second time
(rebinding), an odd spelling or an IPv4 address wrapped in IPv6 can't bypass it.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from functools import lru_cache

from schemas.errors import UsageError

_CALLBACKS = "SLUICE_CALLBACK_ALLOW"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressRefused(Exception):
    """The guard refused an address. Deliberately not an OSError: connection code retries those with the next address."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# From IANA's special-purpose registries. Python's `is_global` changed between patch releases (CVE-2024-4032), so it is used
# in addition, but not alone.
_REFUSED_V4 = _networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata service
    "127.0.0.0/8",
    "168.63.129.16/32",  # Azure's platform service: a public address that answers only inside Azure
    "169.254.0.0/16",  # link-local; most clouds' metadata service
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarking
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # the only block that IANA has allocated for global unicast
_REFUSED_V6 = _networks(
    "2001::/23",  # protocol assignments, among them Teredo, which wraps an IPv4 address
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4, which wraps an IPv4 address
    "3fff::/20",  # documentation
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AllowRules:
    """Destinations allowed besides public addresses. `names`: exact hosts. `suffixes`: from entries like `*.example`."""

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    #: The setting that the rules are from, for messages.
    setting: str = _CALLBACKS

    @classmethod
    def parse(cls, text: str, setting: str = _CALLBACKS) -> AllowRules:
        """Parse rules such as `localhost,10.0.0.0/8,*.corp.example`. Raises UsageError, naming `setting`."""
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        networks = [entry for entry in entries if _is_network(entry)]
        hosts = [_checked_host(entry, setting) for entry in entries if entry not in networks]
        return cls(
            names=frozenset(host for host in hosts if not host.startswith("*.")),
            suffixes=tuple(host[1:] for host in hosts if host.startswith("*.")),
            networks=tuple(ipaddress.ip_network(entry, strict=False) for entry in networks),
            setting=setting,
        )

    def allows_host(self, host: str) -> bool:
        """True if the operator allowed this host, whatever it resolves to. `localhost` includes loopback literals."""
        host = host.lower().rstrip(".")
        if host in self.names or host.endswith(self.suffixes or ("\n",)):
            return True
        return "localhost" in self.names and is_loopback_host(host)

    def allows_address(self, address: str) -> bool:
        """True if a connection to `address` (resolved, never a name) may be opened."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
            return False
        bare = _unwrap(parsed)
        return is_public(bare) or any(bare in network or parsed in network for network in self.networks)

    def check(self, address: str) -> None:
        """Raise AddressRefused unless `address` is allowed."""
        if not self.allows_address(address):
            raise AddressRefused(
                f"{address} is not a public address and not allowed. "
                f"If it is intended, add its host or network to {self.setting}."
            )


@lru_cache(maxsize=4096)
def is_public(address: Address) -> bool:
    """True for an address that the internet routes to one host. An IPv4 address wrapped in IPv6 counts as that IPv4 address."""
    address = _unwrap(address)
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


def _unwrap(address: Address) -> Address:
    """Return the IPv4 address that the kernel (mapped) or the network's translator (NAT64) will connect to."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_network(entry: str) -> bool:
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
    return True


def _checked_host(entry: str, setting: str) -> str:
    host = entry.rstrip(".")
    bare = host.removeprefix("*.")
    if not bare or not all(label and label.replace("-", "").replace("_", "").isalnum() for label in bare.split(".")):
        raise UsageError(
            f"{setting}: {entry!r} is neither a host, a *.suffix nor a network.",
            next_step="Write for example localhost,10.0.0.0/8,*.corp.example.",
        )
    return host


def is_loopback_host(host: str) -> bool:
    """True for localhost, 127.0.0.0/8, ::1 and the wildcard addresses in any spelling (127.1, 0x7f000001)."""
    if host == "localhost":
        return True
    address = parse_literal(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def literal_address(host: str) -> str | None:
    """Return the address that a host spells, in its usual form; None for a name."""
    address = parse_literal(host)
    return None if address is None else str(address)


def parse_literal(host: str) -> Address | None:
    """Parse a host as an address, like the C library does; None for a name."""
    try:
        if ":" not in host:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        address = ipaddress.IPv6Address(host.replace("%25", "%"))
    except (OSError, ValueError):
        return None
    return address.ipv4_mapped or address
