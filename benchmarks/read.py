"""What `ls`, `cat` and `inspect` of a large image cost: 200 layers of 2 GB, as sparse blobs in a layout."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.measure import measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.report import options, say, size_of, table, write_json
from modelcar.oci import Config, Descriptor, Digest, Manifest, RootFS, digest_of, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import describe
from modelcar.oci.tar import Member, frame
from modelcar.stores import BytesBlob
from modelcar.stores.layout import LayoutStore

LAYERS, LAYER = 200, 2 * 10**9
_CONFIG = b'{"architectures": ["GraniteForCausalLM"]}'
_TOKENIZER = 10 * 10**6
COMMANDS = (("ls", "-l"), ("cat",), ("inspect",))


@dataclass(frozen=True, slots=True)
class Reading:
    """The medians of some runs of a command: seconds of wall and CPU time, start-up and all; bytes that were read."""

    command: str
    layers: str
    seconds: float
    cpu: float
    read: int | None


def read(runs: int, folder: Path, layers: int = LAYERS, size: int = LAYER) -> list[Reading]:
    """Time each command, on layers of ours (with annotations) and on plain layers of anyone's."""
    readings = []
    for kind in ("ours", "anyone's"):
        layout = folder / "large"
        write_image(layout, layers, size, annotated=kind == "ours")
        home = folder / "read-home"
        home.mkdir()
        for words in COMMANDS:
            command = [str(MODELCAR), *words, f"oci:{layout}:1", *(["config.json"] if words == ("cat",) else [])]
            scene = Scene("", "", layout, home)
            output = folder / "read-output"
            usages = [
                measure([command], environment=scene.environment, folder=home, output=output) for _ in range(runs)
            ]
            wall, cpu = median(u.seconds for u in usages), median(u.cpu for u in usages)
            readings.append(
                Reading(" ".join(words), kind, round(wall, 3), round(cpu, 3), _bytes_read(command, layout, scene))
            )
            say(f"{' '.join(words)} of {layers} layers, {kind}: {wall:.2f} s")
        shutil.rmtree(home)
        shutil.rmtree(layout)
    return readings


def write_image(layout: Path, layers: int, size: int, *, annotated: bool) -> None:
    """An image of `layers` files of `size` bytes that take no room on disk, above one layer of small files."""
    store = LayoutStore(layout)
    store.prepare()
    names = [f"model-{number:05}-of-{layers:05}.safetensors" for number in range(layers)]
    small = _small_files(names)
    framing = frame([Member(f"models/{name}", len(content)) for name, content in sorted(small.items())])
    pieces = (p if isinstance(p, bytes) else small[p.name.removeprefix("models/")] for p in framing.pieces())
    blob = BytesBlob(b"".join(pieces), "small files")
    store.write_blob(blob)
    key = {"modelcar.key": "sha256:0"} if annotated else None
    described = [Descriptor(media.OCI_LAYER, blob.digest, blob.size, annotations=key)]
    for name in names:
        framing = frame([Member(f"models/{name}", size)])
        # Nobody reads all of it, so its digest may be any.
        digest = Digest("sha256:" + hashlib.sha256(name.encode()).hexdigest())
        with (layout / "blobs" / "sha256" / digest[7:]).open("wb") as file:
            for piece in framing.pieces():
                if isinstance(piece, Member):
                    file.seek(piece.size - file.write(_header(name, size)), 1)
                else:
                    file.write(piece)
        annotations = {**key, "modelcar.path": name} if key else None
        described.append(Descriptor(media.OCI_LAYER, digest, framing.size, annotations=annotations))
    config = BytesBlob(configs.encode(Config("amd64", "linux", RootFS("layers", (digest_of(b""),)))), "config")
    store.write_blob(config)
    value = Manifest(2, config.described_as(media.OCI_CONFIG), tuple(described), media.OCI_MANIFEST)
    _, content = describe(value)
    store.write_manifest(content, media.OCI_MANIFEST, "1")
    store.close()


def _small_files(weights: Sequence[str]) -> dict[str, bytes]:
    """What lies beside the weights of a large model: the index of its tensors, the tokenizer, the configuration."""
    index = {"metadata": {}, "weight_map": {name: name for name in weights}}
    return {
        "config.json": _CONFIG,
        "generation_config.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        "tokenizer.json": b'{"model": {}}'.ljust(_TOKENIZER),
        "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
    }


def _header(name: str, size: int) -> bytes:
    """The beginning of a safetensors file of `size` bytes that holds one tensor."""
    length = 256
    tensor = {"dtype": "U8", "shape": [size - 8 - length], "data_offsets": [0, size - 8 - length]}
    return length.to_bytes(8, "little") + json.dumps({name: tensor}).encode().ljust(length)


def _bytes_read(command: Sequence[str], layout: Path, scene: Scene) -> int | None:
    """What strace sees read of the layout's files; None where it isn't installed."""
    if shutil.which("strace") is None:
        return None
    log = scene.home / "strace"
    strace = ("strace", "--follow-forks", "--decode-fds=path", "--trace=read,pread64", "--output", str(log))
    subprocess.run([*strace, *command], env=scene.environment, capture_output=True, check=True)
    pattern = re.compile(rf"<{re.escape(str(layout))}/[^>]*>, .* = (\d+)$", re.MULTILINE)
    return sum(int(found) for found in pattern.findall(log.read_text(errors="replace")))


def as_json(readings: list[Reading]) -> list[dict[str, object]]:
    """As JSON-ready values."""
    return [asdict(reading) for reading in readings]


def as_table(readings: list[Reading]) -> str:
    """For people."""
    rows = [
        [
            f"modelcar {r.command}",
            r.layers,
            f"{r.seconds:.2f} s",
            f"{r.cpu:.2f} s",
            "-" if r.read is None else size_of(r.read),
        ]
        for r in readings
    ]
    return f"### Reading a large image\n\n{table(['200 layers, 400 GB', 'layers', 'wall', 'CPU', 'read'], rows)}"


@click.command()
@options
def main(size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:  # noqa: ARG001
    """Only the reading of a large image."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        readings = read(runs, Path(name))
    print(as_table(readings))
    write_json(json_file, {"read": as_json(readings)})


if __name__ == "__main__":
    main()
