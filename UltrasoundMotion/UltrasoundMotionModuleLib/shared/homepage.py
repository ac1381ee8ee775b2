"""The address of the extension, stated here once for the code; `test_extension_index.py` compares every other file with
it.
"""

from slicer.i18n import tr as _

HOMEPAGE = "https://github.com/UltrasoundMotion/SlicerUltrasoundMotion"
BRANCH = "main"


def documentationLink(page: str) -> str:
    """Returns the line of a module's help that links to a page of the repository, such as "Docs/README.md".

    Slicer's own `getDefaultModuleDocumentationLink` would put the address of Slicer's documentation before it.
    """
    text = _("For more information see the {start}online documentation{end}.")
    return "<p>" + text.format(start=f'<a href="{HOMEPAGE}/blob/{BRANCH}/{page}">', end="</a>") + "</p>"
