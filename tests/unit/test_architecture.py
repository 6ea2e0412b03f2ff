"""The shape that DESIGN.md gives the packages, held against their imports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelcar

ROOT = Path(modelcar.__file__).parent
MAY_IMPORT = {
    "errors": set(),
    "events": set(),
    "settings": {"errors"},
    "retry": {"errors", "events"},
    "parallel": {"retry"},
    "traffic": set(),
    "broken": {"errors"},
    "http": {"broken", "errors", "traffic"},
    "oci": {"errors"},
    "model": {"errors"},
    "sources": {"broken", "errors", "events", "http", "oci", "retry"},
    "stores": {"broken", "errors", "http", "oci", "retry", "settings"},
    "base": {"oci"},
    "kserve": {"base", "errors", "model", "oci"},
    "build": {
        "base", "errors", "events", "http", "image", "oci", "parallel", "retry", "settings", "sources", "stores",
    },
    "image": {"errors", "events", "http", "oci", "parallel", "retry", "settings", "sources", "stores"},
    "look": {"errors", "http", "image", "model", "oci", "retry", "settings", "sources", "stores"},
    "inspection": {"base", "errors", "image", "kserve", "look", "model", "oci", "retry", "settings"},
    "difference": {
        "build", "errors", "image", "inspection", "look", "model", "oci", "retry", "settings", "sources",
    },
    "check": {
        "broken", "errors", "http", "image", "inspection", "kserve", "model", "oci", "retry", "settings", "stores",
    },
    "serving": {"check", "errors", "kserve", "settings"},
    "lint_images": {"check", "errors", "kserve", "settings"},
    "fs": {"errors", "image", "settings"},
    "cli": {
        "build", "check", "difference", "errors", "events", "http", "image", "inspection", "kserve", "lint_images",
        "look", "model", "oci", "retry", "serving", "settings", "sources", "stores",
    },
}  # fmt: skip
"""What each part of the program may know of. Only `cli` may know it all, and nobody knows `cli`."""

MODULES = {
    ".".join(("modelcar", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def part_of(module: str) -> str:
    """`build` for `modelcar.build.plan`, and empty for `modelcar` itself."""
    return [*module.split("."), ""][1]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a module imports, and whether at its top: when it is imported itself."""
    tree = ast.parse(path.read_text())
    top = set(_top(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module, node in top


def _top(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when a module is imported; not what only type checkers read."""
    for node in tree.body:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node


OURS = [name for name in MODULES if name not in ("modelcar", "modelcar.__main__")]


@pytest.mark.parametrize("module", OURS)
def test_each_part_imports_only_what_it_may(module: str) -> None:
    part = part_of(module)
    wrong = {
        name
        for name, _ in imports(MODULES[module])
        if name.split(".")[0] == "modelcar" and part_of(name) not in {part, *MAY_IMPORT[part]}
    }
    assert not wrong


def test_sources_and_stores_know_nothing_of_each_other_nor_of_what_uses_them() -> None:
    for part in ("sources", "stores", "oci", "http", "base"):
        assert not MAY_IMPORT[part] & {"sources", "stores", "build", "image", "cli"}
    assert MAY_IMPORT["oci"] == {"errors"}
    assert all("cli" not in others for others in MAY_IMPORT.values())


def test_the_table_names_every_part() -> None:
    parts = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert MAY_IMPORT.keys() == parts - {"__init__", "__main__"}


def test_no_circle_of_imports() -> None:
    graph = {
        module: {name for name, top in imports(path) if top and name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    while leaves := {module for module, needed in graph.items() if not needed & graph.keys()}:
        for leaf in leaves:
            del graph[leaf]
    assert not graph


def test_the_oci_package_does_no_io() -> None:
    for module, path in MODULES.items():
        if part_of(module) == "oci":
            names = {name.split(".")[0] for name, _ in imports(path)}
            assert not names & {"io", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib3"}


def test_every_public_name_is_there() -> None:
    assert sorted(set(modelcar.__all__)) == list(modelcar.__all__)
    for name in modelcar.__all__:
        assert getattr(modelcar, name).__doc__
    assert dir(modelcar) == list(modelcar.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = modelcar.nothing


def modules_after(code: str) -> set[str]:
    """What Python has imported after running some code."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    # Where coverage follows into processes, it brings modules of its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


HELP = """
from modelcar.cli.app import app
app.main(["build", "--help"], standalone_mode=False)
"""


@pytest.mark.parametrize("code", ["import modelcar", HELP], ids=["import modelcar", "modelcar --help"])
def test_only_what_is_needed_is_imported(code: str) -> None:
    slow = {"huggingface_hub", "rich", "urllib3", "yaml", "zstandard", "sqlite3", "msgspec", "platformdirs"}
    assert not modules_after(code) & slow


def test_a_command_doesn_t_wait_for_the_others() -> None:
    code = "from modelcar.cli.app import app\napp.main(['lint', '/dev/null'], standalone_mode=False)"
    loaded = modules_after(code)
    assert "modelcar.kserve.lint.run" in loaded
    assert {name for name in loaded if name.startswith("modelcar.cli.")} <= {
        "modelcar.cli.app", "modelcar.cli.lint", "modelcar.cli.options", "modelcar.cli.show",
    }  # fmt: skip
    assert not loaded & {"urllib3", "modelcar.events", "modelcar.oci", "modelcar.stores"}


def test_a_folder_into_a_layout_needs_no_hub() -> None:
    loaded = modules_after("import modelcar.build.builder, modelcar.sources.folder, modelcar.stores.layout")
    assert not loaded & {"huggingface_hub", "httpx2", "rich", "yaml", "modelcar.stores.registry"}
