from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from geodns import shipped
from geodns.config import Settings, load_settings, load_state, parse_settings
from geodns.errors import SettingsError


def faults(text: str) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Path("geodns.toml"))
    return [(fault.line, fault.field, fault.message) for fault in caught.value.faults]


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/var/tmp/xdg")
    settings = load_settings(None)
    assert settings.path is None
    assert settings.server.listen == ("127.0.0.1:5053",)
    assert settings.server.state == Path("/var/tmp/xdg/geodns")
    assert settings.upstream.servers == ()
    assert settings.orders.directories == (shipped.orders().resolve(),)
    assert settings.geoip.databases == tuple(sorted(shipped.data().resolve().glob("*.mmdb")))
    assert settings.worker_count() >= 1


def test_systemd_says_where_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/geodns:/var/lib/other")
    assert Settings().server.state == Path("/var/lib/geodns")


def test_local_orders_and_data_come_before_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.mmdb").touch()
    monkeypatch.chdir(tmp_path)
    for settings in (load_settings(None), parse_settings("", tmp_path / "geodns.toml")):
        assert settings.orders.directories == (tmp_path / "orders",)
        assert settings.geoip.databases == (tmp_path / "data" / "mine.mmdb",)


def test_the_file_of_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "geodns.toml").write_text('\ufeff[upstream]\r\nservers = ["192.0.2.1"]\r\n')
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None)
    assert settings.path == tmp_path / "geodns.toml"
    assert settings.upstream.servers == ("192.0.2.1:53",)


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "geodns.toml"
    path.parent.mkdir()
    path.write_text(
        '[server]\nstate = "../state"\n[geoip]\ngeofeeds = ["feed.csv"]\ndatabases = []\n'
        '[orders]\ndirectories = ["a", "/b"]\n'
    )
    settings = load_settings(path)
    assert settings.server.state == tmp_path / "state"
    assert settings.geoip.geofeeds == (tmp_path / "conf" / "feed.csv",)
    assert settings.geoip.databases == ()
    assert settings.orders.directories == (tmp_path / "conf" / "a", Path("/b"))


def test_workers_get_it_as_json(tmp_path: Path) -> None:
    document = load_settings(None).model_dump(mode="json")
    assert json.loads(json.dumps(document)) == document
    assert isinstance(document["server"]["state"], str)
    assert document["limits"]["misses"] == 2000


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().server = None  # type: ignore[assignment]


def test_every_key_is_described_and_has_a_default() -> None:
    for section in Settings.model_fields.values():
        assert isinstance(section.annotation, type)
        assert section.annotation.__doc__
        for key, field in section.annotation.model_fields.items():
            assert field.description, key
            assert not field.is_required(), key


def test_all_faults_at_once_with_their_lines() -> None:
    found = faults(
        '[server]\nlisten = ["127.0.0.1:5053",\n  "localhost:53"]\nworker = 3\nworkers = "two"\n'
        '[cache]\nsize = "64MB"\n[trust]\necs = ["10.0.0.1/8"]\n[nonsense]\n'
    )
    assert [(line, field) for line, field, _ in found] == [
        (3, "server.listen.1"),
        (4, "server.worker"),
        (5, "server.workers"),
        (7, "cache.size"),
        (9, "trust.ecs.0"),
        (10, "nonsense"),
    ]
    messages = [message for *_, message in found]
    assert "'localhost:53'" in messages[0]
    assert "did you mean 'workers'" in messages[1]
    assert "10.0.0.0/8 was perhaps meant" in messages[4]
    assert "unknown section 'nonsense'" in messages[5]


@pytest.mark.parametrize(
    "text",
    [
        '[tls]\ndot = ["127.0.0.1:853"]\n',
        '[dot]\nlisten = "x"\n',
        '[doh]\nlisten = "x"\n',
        "[doq]\nport = 853\n",
        "[proxy]\nversion = 2\n",
        "[server]\ntls = true\n",
    ],
)
def test_what_is_not_built_says_so(text: str) -> None:
    ((line, _, message),) = faults(text)
    assert line is not None
    assert "not built yet" in message


def test_empty_trust_lists_are_no_fault() -> None:
    settings = parse_settings("[trust]\nproxy = []\nforwarded = []\n", Path("geodns.toml"))
    assert settings.trust.ecs == settings.trust.proxy == ()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[server]\nlisten = []\n", "empty"),
        ('[server]\nlisten = ["::1"]\n', "no port"),
        ('[server]\nlisten = ["[::1]:99999"]\n', "0 to 65535"),
        ('[server]\nlisten = ["[::1:53"]\n', "write [2001:db8::1]:53"),
        ('[server]\nlisten = ["[fe80::1%eth0]:53"]\n', "interface name"),
        ('[server]\nlisten = ["127.0.0.1:53", "127.0.0.1:53"]\n', "twice"),
        ("[server]\nworkers = -1\n", "greater than or equal to 0"),
        ("[server]\nworkers = true\n", "integer"),
        ('[upstream]\nservers = ["127.0.0.1:0"]\n', "port 0"),
        ('[upstream]\nservers = ["dns.example"]\n', "'dns.example'"),
        ('[upstream]\nservers = ["udp://127.0.0.1"]\n', "scheme 'udp'"),
        ("[upstream]\ntimeout = 0\n", "0.01"),
        ("[upstream]\ntimeout = nan\n", "3600"),
        ("[cache]\nsize = -1\n", "0"),
        ("[cache]\nserve_stale = true\n", "integer"),
        ('[cache]\nserve_stale = "1 week"\n', "30m, 12h, 1d"),
        ('[cache]\nserve_stale = "8d"\n', "604800"),
        ("[cache]\nmin_ttl = 60\nmax_ttl = 30\n", "above max_ttl"),
        ("[geoip]\nmax_age_days = 0\n", "1"),
        ('[trust]\necs = ["everyone"]\n', "'everyone'"),
        ('[orders]\nnever_block = ["https://example.org/"]\n', "URL"),
        ('[orders]\ndirectories = "orders"\n', "list"),
        ("orders = 3\n", "section"),
        ("[server]\nstate = 7\n", "must be a path (text), not 7"),
        ("[server]\nversion = 7\n", "must be text, not 7"),
        ('[upstream]\nservers = ["127.0.0.1:5053"]\n', "this server itself"),
        ('[server]\nlisten = ["[::]:53"]\n[upstream]\nservers = ["::1"]\n', "this server itself"),
        ('[upstream]\nservers = ["tls://dns.example"]\n', "'tls://dns.example'"),
        ('[upstream]\nservers = ["tls://192.0.2.1#a b"]\n', "white space"),
        ('[upstream]\nservers = ["https://dns.example/dns-query"]\n', "@192.0.2.1"),
        ('[upstream]\nservers = ["https://192.0.2.1/dns-query{?dns}"]\n', "without query"),
        ('[upstream]\nservers = ["https://dns.example/@192.0.2.1:443"]\n', "port behind @"),
        ('[upstream]\nservers = ["tls://127.0.0.1:5053"]\n', "this server itself"),
        ('[upstream]\nca = "/nowhere/ca.pem"\n', "cannot be read"),
        ('[upstream]\nca = "/etc/passwd"\n', "no certificates"),
        ('[[upstream.zones]]\nname = "corp.example"\n', "required"),
        ('[[upstream.zones]]\nname = "corp.example"\nservers = []\n', "at least 1"),
        ('[[upstream.zones]]\nname = "."\nservers = ["::1"]\n', "root"),
        (
            '[[upstream.zones]]\nname = "a.example"\nservers = ["::1"]\nport = 3\n',
            "unknown key 'port'; known: name, servers",
        ),
        (
            '[[upstream.zones]]\nname = "a.example"\nservers = ["::1"]\n'
            '[[upstream.zones]]\nname = "A.example."\nservers = ["::1"]\n',
            "two zones named 'a.example'",
        ),
        ('[upstream]\nzones = ["corp.example"]\n', "[[upstream.zones]]"),
        (
            '[[upstream.zones]]\nname = "a.example"\nservers = ["127.0.0.1:5053"]\n',
            "this server itself",
        ),
        ('[server]\nversion = "' + "x" * 256 + '"\n', "255"),
    ],
)
def test_bad_values(text: str, word: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert word in found[0][2]
    assert found[0][0] is not None


def test_good_forms() -> None:
    settings = parse_settings(
        '[server]\nlisten = ["[0:0::1]:5053", "127.0.0.1:0", "127.0.0.1:0"]\n'
        '[upstream]\nservers = ["9.9.9.9", "[2620:fe::fe]:53", "2620:fe::9"]\ntimeout = 1\n'
        '[cache]\nsize = "2 GiB"\nserve_stale = "1d"\n[trust]\necs = ["127.0.0.9", "::1"]\n',
        Path("geodns.toml"),
    )
    assert settings.server.listen == ("[::1]:5053", "127.0.0.1:0", "127.0.0.1:0")
    assert settings.upstream.servers == ("9.9.9.9:53", "[2620:fe::fe]:53", "[2620:fe::9]:53")
    assert settings.cache.size == 2 << 30
    assert settings.cache.serve_stale == 86400
    assert settings.trust.ecs == ("127.0.0.9/32", "::1/128")


def test_forms_of_upstreams() -> None:
    settings = parse_settings(
        '[upstream]\nservers = ["tls://9.9.9.9#DNS.Quad9.net.", "tls://[2620:fe::9]:8853",'
        ' "https://dns.Example:8443@192.0.2.1", "https://dns.example:443/q@2001:db8::1",'
        ' "https://192.0.2.1/dns-query", "https://[2001:db8::1]:444/"]\n'
        '[[upstream.zones]]\nname = "Bücher.example."\nservers = ["192.0.2.53"]\n',
        Path("geodns.toml"),
    )
    assert settings.upstream.servers == (
        "tls://9.9.9.9:853#dns.quad9.net",
        "tls://[2620:fe::9]:8853",
        "https://dns.example:8443/dns-query@192.0.2.1",
        "https://dns.example/q@2001:db8::1",
        "https://192.0.2.1/dns-query",
        "https://[2001:db8::1]:444/",
    )
    (zone,) = settings.upstream.zones
    assert (zone.name, zone.servers) == ("xn--bcher-kva.example", ("192.0.2.53:53",))


def test_https_upstreams_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodns.settings.kinds.find_spec", lambda name: None)
    ((line, _, message),) = faults('[upstream]\nservers = ["https://192.0.2.1/dns-query"]\n')
    assert line is not None
    assert "geodns[doh]" in message


def test_what_nobody_set_is_told(tmp_path: Path) -> None:
    assert Settings().unset == {"geoip.databases", "orders.directories"}
    settings = parse_settings('[orders]\ndirectories = ["orders"]\n', tmp_path / "geodns.toml")
    assert settings.unset == {"geoip.databases"}


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('[server]\nstate = "here"\nworker = 1\n', "here"),
        ('[cache]\nsize = \n[server]\nstate = "here"  # so\nlisten = [', "here"),
        ("[server]\nlisten = 3\n", None),
        ("server = 3\n", None),
        ("nonsense", None),
    ],
)
def test_the_state_folder_is_found_in_faulty_settings(
    tmp_path: Path, text: str, state: str | None
) -> None:
    path = tmp_path / "geodns.toml"
    path.write_text(text)
    found, wrong = load_state(path)
    assert found == (tmp_path / state if state else Settings().server.state)
    assert wrong
    with pytest.raises(SettingsError, match="no such settings file"):
        load_state(tmp_path / "other.toml")


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        load_settings(tmp_path / "geodns.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path)


def test_no_toml_and_no_text_are_faults(tmp_path: Path) -> None:
    ((line, _, message),) = faults("[server]\nlisten = \n")
    assert line == 2
    assert "not TOML" in message
    path = tmp_path / "geodns.toml"
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings(path)
