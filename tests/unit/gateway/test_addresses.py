import pytest

from gateway.addresses import is_known, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("host", "allowed", "known"),
    [
        ("anything", [], True),
        (None, [], True),
        ("chat.example", ["chat.example"], True),
        ("CHAT.example:8443", ["Chat.example"], True),
        ("evil.example", ["chat.example"], False),
        ("chat.example.evil.example", ["chat.example"], False),
        (None, ["chat.example"], False),
        ("", ["chat.example"], False),
        ("a.chat.example", ["*.chat.example"], True),
        ("chat.example", ["*.chat.example"], False),
        (".chat.example", ["*.chat.example"], False),
        ("evilchat.example", ["*.chat.example"], False),
        ("[::1]:8000", ["[::1]"], True),
        ("[::1", ["[::1]"], False),
    ],
)
def test_which_names_are_ours(host: str | None, allowed: list[str], known: bool) -> None:
    assert is_known(host, allowed) is known
