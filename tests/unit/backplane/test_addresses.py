"""No webhook leads into a private network, however the address is written."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backplane.addresses import BadTarget, Target, parse_target, refusal


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.255", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "localhost", "", "1.2.3", "0x7f.0.0.1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8",
     "64:ff9b::808:808", "2002:808:808::"],
)  # fmt: skip
def test_a_public_address_passes(address: str) -> None:
    assert refusal(address) is None


@given(st.integers(0, 2**32 - 1))
def test_a_wrapped_address_is_judged_as_what_it_wraps(number: int) -> None:
    plain = IPv4Address(number)
    wrapped = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
    ]
    assert {refusal(str(one)) for one in wrapped} == {refusal(str(plain))}


def test_a_url_is_taken_apart() -> None:
    assert parse_target("https://hooks.example/in?a=1&b=%20", https_only=True) == Target(
        "https", "hooks.example", 443, "/in?a=1&b=%20"
    )
    assert parse_target("http://Hooks.Example:8080", https_only=False) == Target("http", "hooks.example", 8080, "/")
    assert parse_target("https://[2606:4700::1]:8443/", https_only=True).host == "2606:4700::1"


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example", "//hooks.example/", "ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example/",
        "http://hooks.example/", "https://", "https:///path", "https://user@hooks.example/", "https://u:p@hooks.example/",
        "https://@hooks.example/", "https://hooks.example/#frag", "https://hooks.example/#", "https://hooks.example:22/",
        "https://hooks.example:0/", "https://hooks.example:65536/", "https://hooks.example:x/", "https://hooks .example/",
        "https://hooks.example/\r\nHost: other", "https://hooks.example\\@evil.example/", "https://höoks.example/",
        "https://[::1/", "https://hooks.example/" + "a" * 2048,
    ],
)  # fmt: skip
def test_a_url_that_is_not_a_web_server_s_is_refused(url: str) -> None:
    with pytest.raises(BadTarget):
        parse_target(url, https_only=True)
