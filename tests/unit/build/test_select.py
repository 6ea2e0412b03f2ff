"""Which files of a repository go into the image: what serving needs, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.build.select import Selection, Wish, check_case, select
from modelcar.errors import ModelcarError, NotFound, Refused
from modelcar.sources import Snapshot, SourceFile
from tests.unit.build.repositories import cases


def chosen(paths: list[str], *, curated: bool = False, **wish: object) -> Selection:
    files = tuple(SourceFile(path, 1000) for path in sorted(paths))
    return select(Snapshot("hf://acme/x@1", files, curated), Wish(**wish))  # type: ignore[arg-type]


def kept(paths: list[str], *, curated: bool = False, **wish: object) -> list[str]:
    return [file.path for file in chosen(paths, curated=curated, **wish).kept]


@pytest.mark.parametrize(("stay", "go"), [case[1:] for case in cases()], ids=[case[0] for case in cases()])
def test_real_repositories(stay: list[str], go: dict[str, str]) -> None:
    selection = chosen([*stay, *go])
    assert [file.path for file in selection.kept] == sorted(stay)
    assert [left.file.path for left in selection.left_out] == sorted(go)
    for left in selection.left_out:
        assert go[left.file.path] in left.reason


NAMES = st.sampled_from(
    [
        *("model.safetensors", "pytorch_model.bin", "consolidated.00.pth", "tf_model.h5", "a-Q4.gguf", "vae/x.ckpt"),
        *("vae/x.safetensors", "onnx/model.onnx", "adapter_model.safetensors", "adapter_model.bin", "model_index.json"),
        *("checkpoint-5/model.safetensors", "optimizer.pt", "original/x.pth", ".hidden", "config.json", "x/model.bin"),
    ]
)


@given(st.sets(NAMES, min_size=1))
def test_no_format_goes_unless_safetensors_stay(names: set[str]) -> None:
    """Every file is either kept or left out, and with the last safetensors file no weights are left out as a copy."""
    try:
        selection = chosen([*names])
    except NotFound:
        return
    assert sorted([*(f.path for f in selection.kept), *(left.file.path for left in selection.left_out)]) == sorted(
        names
    )
    if not any(file.path.endswith(".safetensors") for file in selection.kept):
        assert not any("safetensors" in left.reason for left in selection.left_out)


def test_folder_is_taken_whole() -> None:
    paths = ["consolidated.safetensors", "model.safetensors", "notes.md", "pytorch_model.bin", "x.png"]
    assert kept(paths, curated=True) == paths


def test_all_files_takes_everything_that_the_globs_leave() -> None:
    paths = [".gitattributes", "a-Q4.gguf", "a-Q8.gguf", "model.safetensors", "pytorch_model.bin"]
    assert kept(paths, all_files=True) == paths
    assert kept(paths, all_files=True, exclude=("*.gguf",)) == [".gitattributes", *paths[3:]]


def test_include_takes_what_it_names() -> None:
    """A copy that the default leaves out is taken where the user names it."""
    paths = ["config.json", "model.safetensors", "onnx/model.onnx", "pytorch_model.bin"]
    assert kept(paths, include=("*.json", "*.bin")) == ["config.json", "pytorch_model.bin"]
    assert kept(paths, include=("onnx/*",)) == ["onnx/model.onnx"]
    assert kept(paths, include=("onnx/",)) == ["onnx/model.onnx"]


def test_exclude_comes_before_the_choice() -> None:
    """Without the safetensors the PyTorch weights are no copy any more."""
    paths = ["config.json", "model.safetensors", "pytorch_model.bin"]
    selection = chosen(paths, exclude=("*.safetensors",))
    assert [file.path for file in selection.kept] == ["config.json", "pytorch_model.bin"]
    assert [(left.file.path, left.reason) for left in selection.left_out] == [
        ("model.safetensors", "by your --include or --exclude")
    ]
    assert kept(paths, include=("*o*",), exclude=("*.bin",)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("glob", "taken"),
    [
        ("*.json", ["a.json", "sub/b.json"]),
        ("sub/*", ["sub/b.json", "sub/deep/c.bin"]),
        ("?.json", ["a.json"]),
        ("[ab].*", ["a.json"]),
        ("A.json", []),
    ],
)
def test_globs_are_those_of_huggingface_hub(glob: str, taken: list[str]) -> None:
    """`*` crosses folders and case counts: `fnmatch` over the whole path."""
    paths = ["a.json", "sub/b.json", "sub/deep/c.bin"]
    if taken:
        assert kept(paths, all_files=True, include=(glob,)) == taken
    else:
        with pytest.raises(NotFound, match=r"no file is left by --include A\.json; there are a\.json"):
            kept(paths, all_files=True, include=(glob,))


def test_no_weights() -> None:
    paths = ["README.md", "config.json", "optimizer.pt", "training_args.bin"]
    with pytest.raises(NotFound) as raised:
        kept(paths)
    assert "hf://acme/x@1 holds nothing that looks like weights: README.md, config.json" in str(raised.value)
    assert "--all-files takes everything" in str(raised.value)


def test_many_names_are_not_all_listed() -> None:
    with pytest.raises(NotFound, match=r"07\.txt and 12 more"):
        kept([f"{number:02}.txt" for number in range(20)])


QUANTS = [
    "README.md",
    "mmproj-F16.gguf",
    "x-IQ4_XS.gguf",
    "x-Q4_K.gguf",
    "x-Q4_K_M.gguf",
    "BF16/x-BF16-00001-of-00002.gguf",
    "BF16/x-BF16-00002-of-00002.gguf",
    "imatrix.gguf",
]


def test_many_quantisations_need_a_choice() -> None:
    with pytest.raises(Refused) as raised:
        kept(QUANTS)
    said = str(raised.value)
    assert "holds 4 GGUF models: BF16/x-BF16-*-of-*.gguf (0.0 GB), x-IQ4_XS.gguf" in said
    assert "mmproj" not in said
    assert "pick one with --include 'x-Q4_K.gguf', or take all of them with --all-files" in said


@pytest.mark.parametrize("glob", ["BF16/x-BF16-*-of-*.gguf", "x-IQ4_XS.gguf", "x-Q4_K.gguf", "x-Q4_K_M.gguf"])
def test_each_name_that_the_choice_lists_picks_one(glob: str) -> None:
    picked = kept(QUANTS, include=(glob,))
    assert len(picked) == (2 if "BF16" in glob else 1)


def test_a_glob_that_takes_several_quantisations_is_no_choice() -> None:
    with pytest.raises(Refused, match="holds 2 GGUF models"):
        kept(QUANTS, include=("*Q4_K*",))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../x", "would lead out of /models"),
        ("a/../../x", "would lead out of /models"),
        ("/etc/passwd", "would lead out of /models"),
        ("a//b", "would lead out of /models"),
        ("./a", "would lead out of /models"),
        ("a\nb", "holds a control character"),
        ("a\0b", "holds a control character"),
        ("a\x7f", "holds a control character"),
        ("a/" + "é" * 128, "has a part of 256 bytes, and file systems take 255"),
        ("a/" + "x" * 300, "has a part of 300 bytes"),
        ("/".join(["x" * 200] * 20), "has 4019 bytes"),
        ("a\udcff", "is not UTF-8"),
        ("a/.wh.b", "would delete a file"),
        (".wh..wh..opq", "would delete a file"),
    ],
)
@pytest.mark.parametrize("curated", [True, False])
def test_names_that_no_image_may_hold(path: str, said: str, curated: bool) -> None:
    with pytest.raises(Refused) as raised:
        kept([path, "model.safetensors"], curated=curated, all_files=True)
    assert said in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "path", ["a b.json", "模型.json", "a\\b.json", "x" * 250 + ".json", "a/" * 50 + "b.json", "x..y"]
)
def test_names_that_are_only_unusual(path: str) -> None:
    assert path in kept([path, "model.safetensors"])


def test_a_name_that_leads_out_is_not_only_hidden() -> None:
    with pytest.raises(Refused, match="would lead out of /models"):
        kept(["../x", "model.safetensors"])


def test_a_file_that_is_left_out_may_have_any_name() -> None:
    assert kept(["../x", "model.safetensors"], exclude=("../*",)) == ["model.safetensors"]


def test_names_that_differ_by_case() -> None:
    files = [SourceFile(path, 1) for path in ("Config.json", "a/x", "A/X", "config.json", "straße", "STRASSE")]
    assert check_case(files) == [
        f"{one} and {other} differ only by case: a file system that ignores case holds one of them"
        for one, other in [("a/x", "A/X"), ("Config.json", "config.json"), ("straße", "STRASSE")]
    ]
    assert check_case([SourceFile("a", 1), SourceFile("b", 1)]) == []


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True))
def test_any_names_end_in_a_selection_or_an_error(paths: list[str]) -> None:
    for curated in (True, False):
        try:
            selection = chosen(paths, curated=curated)
        except ModelcarError as error:
            str(error).encode()
        else:
            assert all(".." not in file.path.split("/") for file in selection.kept)
