"""The image formats as values: reference, descriptor, manifest, index, config, a layer's tar framing. No I/O."""

from modelcar.oci.config import Config, Execution, History, RootFS
from modelcar.oci.digest import Digest, digest_of, is_digest, parse_digest
from modelcar.oci.layer import StoredLayer
from modelcar.oci.manifest import Descriptor, Index, Manifest, Platform, parse_platform
from modelcar.oci.media import Format
from modelcar.oci.reference import Reference, parse_reference
from modelcar.oci.tar import Framing, Member, Symlink, frame

__all__ = [
    "Config",
    "Descriptor",
    "Digest",
    "Execution",
    "Format",
    "Framing",
    "History",
    "Index",
    "Manifest",
    "Member",
    "Platform",
    "Reference",
    "RootFS",
    "StoredLayer",
    "Symlink",
    "digest_of",
    "frame",
    "is_digest",
    "parse_digest",
    "parse_platform",
    "parse_reference",
]
