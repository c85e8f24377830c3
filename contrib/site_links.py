"""A hook of MkDocs that makes pages written for the repository fit for the site.

In the repository ``[README.md](../README.md)`` leads to the file. On the site it leads to the
same file at ``repo_url`` of mkdocs.yml, where that is set; else only its words are left. Code
blocks that are files, or parts of one, get the file's name as their title.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

FILE = re.compile(r"^<!-- (file|append|change): (\S+) -->\n```(\w+)$", re.MULTILINE)
TITLES = {"file": "{}", "append": "at the end of {}", "change": "a change in {}"}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\\.)+)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)\s*$|`[^`\n]+`(?!\])", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Rewrite a page before MkDocs reads it. page.file.src_uri: its path within docs/."""
    return titled(outside(markdown, page.file.src_uri, config.repo_url))


def titled(markdown: str) -> str:
    """The text with the names of files (tests/transcripts.py) as titles of their code blocks."""
    return FILE.sub(lambda found: _titled(*found.groups()), markdown)


def _titled(how: str, path: str, language: str) -> str:
    return f'```{language} title="{TITLES[how].format(path)}"'


def outside(markdown: str, page: str, repository: str | None) -> str:
    """The text with links out of docs/ rewritten; what stands in code is left as it is.

    page: path within docs/. repository: URL of the repository's front page, or None.
    """

    def rewritten(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
        if path.startswith("docs/"):
            return match[0]
        return f"[{words}]({repository.rstrip('/')}/blob/main/{path})" if repository else words

    parts: list[str] = []
    end = 0
    for code in FENCE.finditer(markdown):
        parts += [LINK.sub(rewritten, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(rewritten, markdown[end:])])
