"""Which files share a layer, whatever the model: how many layers, how large, and how little a change moves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.build.plan import BUDGET, HARD_BUDGET, LayerLimits, Plan, make_plan
from modelcar.build.select import Selection
from modelcar.errors import Refused
from modelcar.sources import LeftOut, Snapshot, SourceFile

MIB = 1024**2
GB = 10**9
CONFIG = [SourceFile(name, 1000, "sha256:0") for name in ("README.md", "config.json", "tokenizer.json", "vocab.txt")]


def planned(
    files: Sequence[SourceFile], limit: int | None = None, base_layers: int = 0, left_out: tuple[LeftOut, ...] = ()
) -> Plan:
    snapshot = Snapshot("hf://acme/x@1", tuple(files), curated=False)
    reason = "ghcr.io" if limit else ""
    return make_plan(snapshot, Selection(tuple(files), left_out), LayerLimits(limit, reason, base_layers))


def shards(count: int, size: int = 5 * GB) -> list[SourceFile]:
    return [
        SourceFile(f"model-{number:05}-of-{count:05}.safetensors", size, f"sha256:{number}")
        for number in range(1, count + 1)
    ]


def many(count: int, largest: float, seed: int = 0) -> list[SourceFile]:
    """Files of a few bytes up to 10 ** `largest`, in some folders."""
    draw = random.Random(seed)
    return [
        SourceFile(f"part{number % 7}/{number:06}.dat", int(10 ** draw.uniform(1, largest)), f"sha256:{number}")
        for number in range(count)
    ]


def new_keys(before: Plan, after: Plan) -> int:
    """Layers that a build of `after` has to send."""
    known = {layer.key for layer in before.layers}
    return sum(layer.key not in known for layer in after.layers)


def test_weights_have_layers_of_their_own_and_the_rest_shares_one() -> None:
    plan = planned([*shards(3), *CONFIG, SourceFile("spiece.model", 9 * MIB)])
    assert [layer.path for layer in plan.layers] == [None, *(f.path for f in shards(3)), "spiece.model"]
    assert plan.layers[0].files == tuple(CONFIG)
    assert plan.layers[0].title == "README.md … vocab.txt (4 files)"
    assert plan.layers[1].title == "model-00001-of-00003.safetensors"
    assert (plan.warnings, plan.left_out) == ((), ())


def test_small_weights_have_a_layer_while_there_is_room() -> None:
    adapter = SourceFile("adapter.safetensors", 1000)
    assert len(planned([adapter, *CONFIG]).layers) == 2
    assert len(planned([SourceFile("empty.safetensors", 0), *CONFIG]).layers) == 1
    plan = planned([*(replace(adapter, path=f"{number}.safetensors") for number in range(200)), *CONFIG])
    assert len(plan.layers) == 1


MODELS = {
    "one file": [SourceFile("model.safetensors", GB)],
    "only empty files": [SourceFile("a", 0), SourceFile("b", 0)],
    "98 shards": shards(98) + CONFIG,
    "99 shards": shards(99) + CONFIG,
    "163 shards": shards(163, 4 * GB) + CONFIG,
    "300 shards": shards(300) + CONFIG,
    "2,000 shards": shards(2000, GB) + CONFIG,
    "2,000 files of all sizes": many(2000, 9.5),
    "20,000 small files": many(20_000, 4),
    "20,000 files of 7 MiB": [SourceFile(f"zarr/{number}", 7 * MIB) for number in range(20_000)],
    "20,000 small files and 300 shards": many(20_000, 4) + shards(300),
    "a giant and dwarfs": [SourceFile("a.bin", 500 * GB), *shards(200, 10 * MIB)],
}


@pytest.mark.parametrize("files", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("base_layers", [0, 30])
def test_fewer_than_100_layers_whatever_the_model(files: list[SourceFile], base_layers: int) -> None:
    plan = planned(files, base_layers=base_layers)
    assert len(plan.layers) + base_layers < 100
    assert plan.warnings == ()
    assert plan.files == sorted(files, key=lambda file: file.path)


@pytest.mark.parametrize("files", [shards(163), shards(300), shards(2000), many(2000, 9.5), many(3000, 4)])
def test_layers_are_balanced(files: list[SourceFile]) -> None:
    """No layer is more than twice the mean where no single file is, so that none is waited for in the end."""
    sizes = [layer.size for layer in planned(files).layers]
    mean = sum(sizes) / len(sizes)
    assert max(sizes) < max(2 * mean, max(file.size for file in files) + 4096)


def test_few_files_share_a_layer_that_a_hub_would_not_let_finish() -> None:
    """A Hub grants 3,000 requests in five minutes: a layer needs far fewer, and doesn't grow past 512 MiB."""
    for files in (many(3000, 4), [SourceFile(f"x/{number}.txt", 4 * MIB) for number in range(1000)]):
        for layer in planned(files).layers:
            assert len(layer.files) <= 1000
            assert layer.size <= 512 * MIB


CHANGES = {
    "content": lambda files, at: [*files[:at], replace(files[at], digest="sha256:new"), *files[at + 1 :]],
    "size": lambda files, at: [*files[:at], replace(files[at], size=files[at].size * 9 // 10), *files[at + 1 :]],
    "one more": lambda files, at: [*files, replace(files[at], path=files[at].path + "x")],
    "one less": lambda files, at: [*files[:at], *files[at + 1 :]],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "files",
    [shards(30) + CONFIG, shards(163) + CONFIG, shards(300) + CONFIG, many(2000, 9.5), many(3000, 4)],
    ids=["30 shards", "163 shards", "300 shards", "2,000 files", "3,000 small files"],
)
def test_a_changed_file_moves_few_layers(files: list[SourceFile], change: str) -> None:
    before = planned(files)
    draw = random.Random(1)
    moved = [new_keys(before, planned(CHANGES[change](files, draw.randrange(len(files))))) for _ in range(8)]
    assert max(moved) <= (1 if change == "content" else 8)
    assert sum(moved) / len(moved) <= 3


def test_a_new_tokenizer_sends_no_weights_again() -> None:
    """However many shards share layers, small files are kept apart from them."""
    files = shards(300) + CONFIG
    after = planned([*shards(300), *CONFIG[:-1], SourceFile("vocab.txt", 2000, "sha256:new")])
    changed = {layer.key for layer in after.layers} - {layer.key for layer in planned(files).layers}
    assert [layer.size < MIB for layer in after.layers if layer.key in changed] == [True]


@given(st.permutations(shards(5) + CONFIG + many(30, 9)))
def test_plan_does_not_depend_on_the_order_of_files(files: list[SourceFile]) -> None:
    expected = planned(shards(5) + CONFIG + many(30, 9))
    plan = planned(files)
    assert plan.id == expected.id
    assert plan.layers == expected.layers


def test_key_depends_on_path_size_and_digest_alone() -> None:
    file = SourceFile("a.safetensors", 5, "sha256:1")
    key = planned([file]).layers[0].key
    assert planned([replace(file, fingerprint="7:8:9")]).layers[0].key == key
    others = [replace(file, path="b.safetensors"), replace(file, size=6), replace(file, digest="git-sha1:1")]
    assert len({key, *(planned([other]).layers[0].key for other in others)}) == 4


def test_keys_and_id_stay_what_released_versions_wrote() -> None:
    """Raise `_FORMAT` when a layer's bytes change; nothing else may change a key, or all is sent again."""
    plan = planned([SourceFile("a.json", 3, "git-sha1:" + "0" * 40), SourceFile("m.safetensors", 9, "sha256:1")])
    assert [layer.key[:16] for layer in plan.layers] == ["b52574613b5866ed", "f510b0578a8523c7"]
    assert plan.id[:16] == "4270a11eb542389c"


def test_a_file_over_the_limit_stops_the_plan() -> None:
    with pytest.raises(Refused) as raised:
        planned([*shards(2), *CONFIG], limit=5 * GB)
    assert "model-00001-of-00002.safetensors makes a layer of 5,000,002,048 bytes" in str(raised.value)
    assert "over the 5,000,000,000 of ghcr.io; " in str(raised.value)
    assert len(planned([*shards(2), *CONFIG], limit=5_000_002_048).layers) == 3


FILES = st.lists(st.builds(SourceFile, st.text("ab/", min_size=1, max_size=150), st.integers(0, 60_000)), min_size=1)


@given(FILES, st.integers(70_000, 200_000))
def test_no_layer_is_over_the_limit(files: list[SourceFile], limit: int) -> None:
    files = [replace(file, path=f"{number:03}/{file.path.strip('/')}x") for number, file in enumerate(files)]
    plan = planned(files, limit)
    assert all(layer.size <= limit for layer in plan.layers)
    assert plan.files == files


def test_the_limit_comes_before_the_budget() -> None:
    """210 shards, of which the limit lets two into a layer: 105 layers and the small files', packed tightly."""
    plan = planned([*shards(210), *CONFIG], limit=10 * GB + 8192)
    assert len(plan.layers) == 106
    assert plan.warnings == (
        "the image needs 106 layers to keep each under 10,000,008,192 bytes (ghcr.io): "
        "over 99, some hosts can't mount it",
    )
    assert max(len(layer.files) for layer in plan.layers) == 4


def test_base_layers_count() -> None:
    limit = 10 * GB + 8192
    assert len(planned(shards(180), limit).layers) <= BUDGET
    assert planned(shards(180), limit).warnings == ()
    assert "needs 100 layers" in planned(shards(180), limit, base_layers=10).warnings[0]
    assert "10 of them of the base" in planned(shards(180), limit, base_layers=10).warnings[0]


def test_more_layers_than_an_image_can_have() -> None:
    with pytest.raises(Refused) as raised:
        planned([*shards(250), *CONFIG], limit=10 * GB + 8192)
    assert "needs 126 layers to keep each under 10,000,008,192 bytes (ghcr.io), and an image can have 120" in str(
        raised.value
    )
    assert HARD_BUDGET == 120
    with pytest.raises(Refused, match="needs 125 layers at the least, 124 of them of the base"):
        planned(CONFIG, base_layers=124)


def test_names_that_differ_by_case_are_a_warning() -> None:
    plan = planned([SourceFile("a.json", 1), SourceFile("A.json", 1)])
    assert plan.warnings == (
        "A.json and a.json differ only by case: a file system that ignores case holds one of them",
    )


def test_plan_as_json() -> None:
    left = LeftOut(SourceFile("x.png", 7), "not needed for serving")
    plan = planned([SourceFile("m.safetensors", 5, "sha256:1")], left_out=(left,))
    assert plan.as_dict() == {
        "source": "hf://acme/x@1",
        "revision": None,
        "id": plan.id,
        "size": 2560,
        "layers": [
            {
                "key": plan.layers[0].key,
                "size": 2560,
                "files": [{"path": "m.safetensors", "size": 5, "digest": "sha256:1"}],
            }
        ],
        "left_out": [{"path": "x.png", "size": 7, "reason": "not needed for serving"}],
        "warnings": [],
    }
