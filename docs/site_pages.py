"""What the site has beyond docs/: documents beside the README, and each file of the repository that a page links to.

A hook of MkDocs. Links stay what they are on GitHub, relative to the file that has them; here they become those of the
site, so that a link to a file that is not there is a warning, and stops the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

DOCUMENTS = {
    "README.md": "index.md",
    "README.zh.md": "index.zh.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
"""Documents beside the README, and what they are called on the site."""

LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add documents, and what pages link to."""
    for document, name in DOCUMENTS.items():
        files.append(File.generated(config, name, content=(ROOT / document).read_text(encoding="utf-8")))
    for source in sorted(set(_linked(files))):
        files.append(_file(source, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository as links of the site."""
    here = page.file.src_uri
    return LINK.sub(lambda link: _on_site(link[1], here), markdown)


def _linked(files: Files) -> Iterator[str]:
    """Files outside docs/ that pages link to."""
    for file in files.documentation_pages():
        for link in LINK.findall(file.content_string):
            target = _in_repository(link, file.src_uri)
            if target and not target.startswith("docs/") and target not in DOCUMENTS and (ROOT / target).is_file():
                yield target


def _file(source: str, config: MkDocsConfig) -> File:
    """A file of the repository: programs as pages, others as they are."""
    text = (ROOT / source).read_text(encoding="utf-8")
    if source.endswith(".py"):
        text = f"# {PurePosixPath(source).name}\n\n```python\n{text}```\n"
    return File.generated(config, _name(source), content=text)


def _name(source: str) -> str:
    """Where a file of the repository is on the site."""
    name = DOCUMENTS.get(source) or source.removeprefix("docs/")
    return name.removesuffix(".py") + ".md" if name.endswith(".py") else name


def _in_repository(link: str, page: str) -> str | None:
    """The path of what a page of the site links to; None of what is elsewhere."""
    if "://" in link or link.startswith("mailto:"):
        return None
    document = next((source for source, name in DOCUMENTS.items() if name == page), f"docs/{page}")
    return normpath(PurePosixPath(document).parent / link)


def _on_site(link: str, page: str) -> str:
    target = _in_repository(link, page)
    return relpath(_name(target), PurePosixPath(page).parent) if target else link
