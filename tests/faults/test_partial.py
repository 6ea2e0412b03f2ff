"""Images that leave out what the other side has: `copy --since`, and the way back into a registry."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import CopyOptions, ModelcarError, copy_image, pull_image
from tests.artifacts import place
from tests.cli import image, modelcar
from tests.doubles.registry import Registry
from tests.models import model_files, write_files

SHARD = 300_000
QUICK = CopyOptions(retry=1, retry_delay=0.01)


@pytest.fixture
def site() -> Iterator[Registry]:
    """The registry inside, to which the old image has been copied."""
    with Registry() as registry:
        yield registry


@pytest.fixture
def images(tmp_path: Path) -> tuple[str, str]:
    """An old and a new image that share one of two shards."""
    files = model_files(shard_size=SHARD)
    old = write_files(tmp_path / "old", files)
    new = write_files(tmp_path / "new", files | {"model-00002-of-00002.safetensors": model_files(7)["config.json"]})
    for name, folder in (("old", old), ("new", new)):
        image(folder, f"oci:{tmp_path}/all:{name}")
    return f"oci:{tmp_path}/all:old", f"oci:{tmp_path}/all:new"


@pytest.fixture(params=["oci:{0}/delta:new", "oci-archive:{0}/delta.tar:new"], ids=["layout", "archive"])
def delta(request: pytest.FixtureRequest, tmp_path: Path, images: tuple[str, str]) -> str:
    """What leaves out the old image's blobs."""
    target = str(request.param).format(tmp_path)
    done = modelcar("copy", "--since", *images, target)
    assert done.code == 0, done.err
    return target


def index_of(delta: str, tmp_path: Path) -> dict[str, object]:
    """A layout's or archive's index.json."""
    if delta.startswith("oci:"):
        content = (tmp_path / "delta" / "index.json").read_bytes()
    else:
        with tarfile.open(tmp_path / "delta.tar") as tar:
            opened = tar.extractfile("index.json")
            assert opened
            content = opened.read()
    found = json.loads(content)
    assert isinstance(found, dict)
    return found


def digest(reference: str) -> str:
    location = place(reference)
    return location.store.resolve(location.version).digest


def test_what_the_old_image_holds_is_left_out_and_the_index_says_so(
    delta: str, images: tuple[str, str], tmp_path: Path
) -> None:
    size = sum(path.stat().st_size for path in tmp_path.rglob("delta*/**/*") if path.is_file())
    size += sum(path.stat().st_size for path in tmp_path.glob("delta.tar"))
    assert 0 < size < SHARD
    index = index_of(delta, tmp_path)
    assert index["annotations"] == {"modelcar.partial": digest(images[0])}
    assert digest(delta) == digest(images[1])


def test_it_becomes_whole_in_a_repository_that_has_the_old_image(
    delta: str, images: tuple[str, str], site: Registry, tmp_path: Path
) -> None:
    copy_image(images[0], f"{site.host}/models/x:old", QUICK)
    result = copy_image(delta, f"{site.host}/models/x:new", QUICK)
    assert result.digest == digest(images[1])
    assert result.there > SHARD
    assert result.sent < SHARD
    pull_image(f"{site.host}/models/x:new", tmp_path / "out")


@pytest.mark.parametrize("mounts", [True, False])
def test_it_becomes_whole_by_another_repository(
    delta: str, images: tuple[str, str], site: Registry, *, mounts: bool
) -> None:
    copy_image(images[0], f"{site.host}/models/old:1", QUICK)
    site.quirks.mounts = mounts
    target = f"{site.host}/models/new:1"
    done = modelcar("copy", "--mount-from", "models/old", delta, target)
    assert done.code == 0, done.err
    assert done.out.strip() == f"{target}@{digest(images[1])}"
    assert ("mounted 0 B" not in done.err) == mounts


def test_blobs_that_are_nowhere_are_listed_and_nothing_is_sent(
    delta: str, site: Registry, images: tuple[str, str]
) -> None:
    copy_image(images[0], f"{site.host}/models/old:1", QUICK)
    site.forget_requests()
    done = modelcar("copy", delta, f"{site.host}/models/new:1")
    assert done.code == 3
    assert f"is partial, made since {digest(images[0])}, and neither it nor " in done.error
    store = place(images[1]).store
    layers = json.loads(store.manifest(json.loads(store.manifest("new").content)["manifests"][0]["digest"]).content)
    shared = [each["digest"] for each in layers["layers"] if each["size"] > SHARD]
    assert shared
    assert all(each in done.error for each in shared)
    assert "--mount-from" in done.error
    assert (site.uploaded, site.tags("models/new")) == (0, {})


def test_other_commands_say_what_is_missing(delta: str, images: tuple[str, str], tmp_path: Path) -> None:
    for command in (("ls", delta), ("pull", delta, str(tmp_path / "out"))):
        done = modelcar(*command)
        assert done.code == 3
        assert f"is partial, made since {digest(images[0])}: it lacks " in done.error
        assert re.search(r"it lacks \d blobs?: sha256:", done.error)


def test_a_registry_takes_whole_images_only(images: tuple[str, str], site: Registry) -> None:
    done = modelcar("copy", "--since", *images, f"{site.host}/models/new:1")
    assert done.code == 2
    assert "takes whole images only" in done.error
    assert site.uploaded == 0


def test_a_layout_that_becomes_whole_loses_its_mark(images: tuple[str, str], tmp_path: Path) -> None:
    target = f"oci:{tmp_path}/delta:new"
    copy_image(images[1], target, CopyOptions(since=images[0]))
    copy_image(images[1], target, QUICK)
    assert "annotations" not in index_of(target, tmp_path)
    assert "is partial" not in modelcar("ls", target).err


def test_a_layout_that_lost_a_blob_says_so_before_anything_is_sent(
    images: tuple[str, str], site: Registry, tmp_path: Path
) -> None:
    largest = max((tmp_path / "all" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.unlink()
    with pytest.raises(ModelcarError, match=f"lacks of its image 1 blob: sha256:{largest.name}"):
        copy_image(images[0], f"{site.host}/models/old:1", QUICK)
    assert site.uploaded == 0
