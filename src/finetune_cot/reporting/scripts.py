"""The scripts that draw a page's charts: Vega, Vega-Lite and Vega-Embed in one text, without any address."""

from importlib.metadata import version

from finetune_cot.artifacts.cache import cache_dir
from finetune_cot.artifacts.files import write_text_atomic
from finetune_cot.errors import UsageError

PACKAGES = {"altair": "altair", "vl_convert": "vl-convert-python", "jinja2": "Jinja2"}
"""What a page is made with: module and package."""


def require_page_packages() -> None:
    """Do nothing where pages can be made.

    Raises:
        UsageError: a package is not installed.
    """
    from importlib.util import find_spec

    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"the page needs packages that are not installed: {', '.join(missing)}",
            where="--page",
            remedy="run `pip install 'finetune-cot[report]'`, or give --no-page",
        )


def chart_scripts() -> str:
    """The scripts; put together once, which takes seconds, and kept in the cache folder.

    Raises:
        ArtifactError: the cache folder cannot be written to.
    """
    from vl_convert import javascript_bundle

    path = cache_dir() / f"vega-{version(PACKAGES['vl_convert'])}.js"
    if not path.exists():
        scripts: str = javascript_bundle()  # type: ignore[call-arg]  # its stub asks for what it needs not
        # a closing tag within a script would end it
        write_text_atomic(path, scripts.replace("</script", r"<\/script"))
    return path.read_text(encoding="utf-8")
