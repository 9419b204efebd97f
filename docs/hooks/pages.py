"""Pages of the site that are made of files elsewhere: README, examples, changelog, decisions, library, ..."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
COPIED = {
    "examples.md": "examples/README.md",
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
"""Pages by the file at the root that they are."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files under ``docs/``."""
    made = {page: (ROOT / source).read_text(encoding="utf-8") for page, source in COPIED.items()}
    made["decisions/index.md"] = _decisions()
    made |= {f"api/{room}.md": f"::: finetune_cot.{room}\n" for room in _rooms()}
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Turn links that lead from file to file in the repository into links of the site."""
    for page, source in COPIED.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}", f"]({page}", markdown)
    markdown = re.sub(r"\]\((?:docs/)?decisions/\)", "](decisions/index.md)", markdown)
    return re.sub(r"\]\((?:\.\./)?docs/", "](", markdown)


def _decisions() -> str:
    """A list of the decisions by their titles."""
    lines = ["# Decisions", "", "Why things are as they are.", ""]
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"* [{title}]({path.name})")
    return "\n".join(lines)


def _rooms() -> list[str]:
    """Packages and modules of the library, without the command line, which has a reference of its own."""
    package = ROOT / "src" / "finetune_cot"
    packages = [path.parent.name for path in package.glob("*/__init__.py")]
    modules = [path.stem for path in package.glob("*.py") if not path.stem.startswith("__")]
    return sorted({*packages, *modules} - {"cli"})
