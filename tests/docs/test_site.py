"""The site: it builds without a warning, and a reader's browser asks nobody but us."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.transcripts import ROOT

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""Elements whose attribute a browser follows by itself; ``link`` is looked at apart."""
ELSEWHERE = re.compile(r"""(?:url\(|@import)\s*['"]?(?:https?:)?//""")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("material") is None,
    reason="mkdocs-material is not installed (pip install mkdocs-material)",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Page(HTMLParser):
    """What a browser loads of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.ids.add(found.get("id", ""))
        if tag in LOADING and LOADING[tag] in found:
            self.loads.append(found[LOADING[tag]])
        if tag == "link" and found.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(found.get("href", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if "style" in found:
            assert not ELSEWHERE.search(found["style"])


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    found = pages(site)
    assert len(found) > 25
    for path, page in found.items():
        assert page.loads
        for target in page.loads:
            assert not urlsplit(target).netloc, f"{path.relative_to(site)}: {target}"
        assert not ELSEWHERE.search(path.read_text("utf-8"))
    for path in site.rglob("*.css"):
        assert not ELSEWHERE.search(path.read_text("utf-8")), path.name
    for path in site.rglob("*.svg"):
        assert "href=" not in path.read_text("utf-8") or "http" not in "".join(
            re.findall(r'href="([^"]*)"', path.read_text("utf-8"))
        )


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    found = pages(site)
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and target in found:
                assert unquote(parts.fragment) in found[target].ids, link


def test_code_is_not_published_and_every_page_is(site: Path) -> None:
    assert not list(site.rglob("*.py"))
    docs = ROOT / "docs"
    for page in docs.rglob("*.md"):
        name = page.relative_to(docs).with_suffix("")
        where = site if str(name) == "index" else site / name
        assert (where / "index.html").is_file(), page


def test_links_out_of_the_pages_lead_to_the_repository_or_become_words() -> None:
    spec = importlib.util.spec_from_file_location("site_links", ROOT / "contrib" / "site_links.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    text = (
        "[a](../guard.md) `[c](../../x)`\n```\n[d](../../y)\n```\n[e](../../z.py) ![f](../f.svg)\n"
    )
    page = "tutorials/x.md"
    assert hook.outside(text, page, None) == text.replace("[e](../../z.py)", "e")
    led = text.replace("../../z.py", "https://git.example/geodns/blob/main/z.py")
    assert hook.outside(text, page, "https://git.example/geodns/") == led


def test_files_are_named_on_the_site(site: Path) -> None:
    page = (site / "tutorials" / "operator" / "index.html").read_text("utf-8")
    for name in ("geodns.toml", "networks.csv", "at the end of orders/FR/fr-films-2026.toml"):
        assert re.search(rf'<span class="filename">{re.escape(name)}</span>', page)
