"""Sphinx's settings for the site of the documents: `make docs`.

The source folder is the repository's root, so that a link means the same here and in a listing of
the repository; README.md is the first page.
"""

from pathlib import Path

project = "vljepa_ros"
project_copyright = "vljepa_ros maintainers, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.rst",
    "QUALITY_DECLARATION.md",
    "doc/*.md",
    "models/*/README.md",
    "examples/**/README.md",
]
exclude_patterns = [".*", "build", "data", "lab", "runs", "test", "vljepa_ros"]
myst_heading_anchors = 4
highlight_language = "text"
html_theme = "furo"
html_title = "vljepa_ros"
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

# In the order in which a newcomer needs them.
NAVIGATION = {
    "Start": ["Overview <self>", "doc/install", "doc/concepts"],
    "How to": [
        "doc/questions",
        "doc/labels",
        "doc/triggers",
        "doc/check",
        "doc/memory",
        "doc/console",
        "doc/viewers",
        "doc/examples",
        "examples/behaviortree_cpp/README",
        "doc/troubleshooting",
    ],
    "Reference": [
        "doc/nodes",
        "doc/interfaces",
        "doc/cli",
        "doc/families",
        "doc/engines",
        "models/everyday/README",
        "models/nano/README",
    ],
    "Explanation": [
        "doc/architecture",
        "doc/decoder",
        "doc/change",
        "doc/runtime",
        "doc/model",
        "doc/world",
        "doc/evaluation",
        "doc/campaign",
    ],
    "Project": ["CHANGELOG", "QUALITY_DECLARATION"],
}


TOCTREE = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""
CODE = """
## {name}

```{{literalinclude}} ../examples/{name}
:language: python
```
"""


def add_navigation(app, docname, source):
    """Append the tables of contents to the first page, and the code to the examples'."""
    if docname == root_doc:
        for caption, pages in NAVIGATION.items():
            source[0] += TOCTREE.format(caption=caption, pages="\n".join(pages))
    if docname == "doc/examples":
        names = sorted(path.name for path in Path(app.srcdir, "examples").glob("*.py"))
        source[0] += "".join(CODE.format(name=name) for name in names)


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
