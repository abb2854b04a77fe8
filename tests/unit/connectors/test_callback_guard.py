"""Addresses that the guard allows and refuses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import AddressRefused, AllowRules
from schemas.errors import UsageError

NOTHING = AllowRules()

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
]
PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.170",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "2606:4700:4700::1111%eth0",
    "ff02::1",
    "ff0e::1",
]
ANY_ADDRESS = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.ip_addresses(v=4).map(lambda v4: ipaddress.IPv6Address(f"::ffff:{v4}")),
    st.ip_addresses(v=4).map(lambda v4: ipaddress.IPv6Address((0x64FF9B << 96) | int(v4))),
    *(
        st.ip_addresses(network=network)
        for network in ("10.0.0.0/8", "169.254.0.0/16", "fe80::/10", "2002::/16", "2001::/32")
    ),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_passes(address: str) -> None:
    NOTHING.check(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused_with_the_setting_that_would_allow_it(address: str) -> None:
    with pytest.raises(AddressRefused, match="SLUICE_CALLBACK_ALLOW"):
        NOTHING.check(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "example.com", "2130706433", "0x7f.1", "0177.0.0.1", "1.2.3", "8.8.8.8 "]
)
def test_only_addresses_in_their_plain_spelling_are_addresses(text: str) -> None:
    assert not NOTHING.allows_address(text)


@given(ANY_ADDRESS)
def test_every_allowed_address_is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if NOTHING.allows_address(str(address)):
        inner = getattr(address, "ipv4_mapped", None) or address
        wrapped = ipaddress.IPv4Address(int(inner) & 0xFFFFFFFF) if str(inner).startswith("64:ff9b::") else inner
        assert wrapped.is_global
        wrong = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")
        assert [kind for kind in wrong if getattr(wrapped, kind)] == []


@given(ANY_ADDRESS, st.ip_addresses(v=4), st.integers(0, 32))
def test_every_allowed_address_is_global_or_in_an_allowed_network(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, base: ipaddress.IPv4Address, prefix: int
) -> None:
    network = ipaddress.ip_network((base, prefix), strict=False)
    rules = AllowRules(networks=(network,))
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if rules.allows_address(str(address)) and not NOTHING.allows_address(str(address)):
        assert low in network


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_wrapped_in_ipv6_is_checked_as_ipv4(address: ipaddress.IPv4Address) -> None:
    plain = NOTHING.allows_address(str(address))
    assert NOTHING.allows_address(f"::ffff:{address}") == plain
    assert NOTHING.allows_address(f"64:ff9b::{address}") == plain


def test_an_allowed_network_admits_its_addresses_in_both_spellings_and_no_others() -> None:
    rules = AllowRules.parse("10.1.0.0/16, fd00:1::/32")
    assert rules.allows_address("10.1.2.3")
    assert rules.allows_address("::ffff:10.1.2.3")
    assert rules.allows_address("fd00:1::5")
    assert not rules.allows_address("10.2.0.1")
    assert not rules.allows_address("fd00:2::5")


def test_an_allowed_address_admits_itself_alone() -> None:
    rules = AllowRules.parse("192.168.1.5")
    assert rules.allows_address("192.168.1.5")
    assert not rules.allows_address("192.168.1.6")


def test_a_suffix_admits_hosts_below_it_and_not_its_lookalikes() -> None:
    rules = AllowRules.parse("*.corp.example")
    assert rules.allows_host("api.corp.example")
    assert rules.allows_host("a.b.Corp.Example.")
    assert not rules.allows_host("corp.example")
    assert not rules.allows_host("evilcorp.example")
    assert not rules.allows_host("corp.example.evil.com")


def test_localhost_admits_loopback_literals_but_no_name_that_resolves_there() -> None:
    rules = AllowRules.parse("localhost")
    assert all(rules.allows_host(host) for host in ("localhost", "127.0.0.1", "::1", "127.1"))
    assert not rules.allows_host("localtest.example")
    assert not rules.allows_address("127.0.0.1")


def test_no_rules_admit_no_host_by_name() -> None:
    assert not NOTHING.allows_host("localhost")
    assert not NOTHING.allows_host("")


@pytest.mark.parametrize(
    "entry", ["*", "*.", "http://host", "host:80", "10.0.0.0/99", "a..b", "user@host", "*.*.example"]
)
def test_an_invalid_entry_is_a_usage_error(entry: str) -> None:
    with pytest.raises(UsageError, match="SLUICE_CALLBACK_ALLOW"):
        AllowRules.parse(f"localhost,{entry}")
