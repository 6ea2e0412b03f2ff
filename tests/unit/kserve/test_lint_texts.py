"""Files that are hard to read: broken, hostile, or no YAML at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.lint import CASES, content
from modelcar.kserve.lint import Aim, Finding, Result, Text, lint
from modelcar.kserve.lint.document import Document, Node
from modelcar.kserve.lint.fix import fix
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.parsing import parse
from modelcar.kserve.lint.run import LARGEST
from tests.unit.kserve.lint_examples import EXAMPLES, service


def result_of(data: bytes | str) -> Result:
    return lint([Text("x.yaml", data if isinstance(data, bytes) else data.encode())], Aim())


def only(data: bytes | str) -> Finding:
    [finding] = result_of(data).findings
    return finding


@pytest.mark.parametrize(
    ("data", "rule", "line", "column", "message"),
    [
        ("a: b\nc: [1, 2\nd: e\n", "yaml-syntax", 3, 2, "did not find expected ',' or ']'"),
        ("a:\n\tb: c\n", "yaml-syntax", 2, 1, "there is a tab, and YAML is indented by spaces"),
        ("a: b\r\nc: 'd\r\n", "yaml-syntax", 2, 4, "unexpected end of stream while scanning a quoted scalar"),
        ('a: b\nc: ["d]\ne: f\n', "yaml-syntax", 2, 5, "unexpected end of stream while scanning a quoted scalar"),
        ("ä: ö\nb: \x01\n", "yaml-syntax", 2, 4, "a character that YAML doesn't allow (#x0001)"),
        ("a: *b\n", "yaml-syntax", 1, 4, "the alias *b stands for something that no &anchor names"),
        ("a: &a [*a]\n", "yaml-syntax", 1, 8, "part of itself"),
        ("[" * 200, "yaml-syntax", 1, 101, "nested deeper than 100 levels"),
        (b"a: b\nc: \xff\n", "not-utf8", 2, 4, "byte 0xff at offset 8"),
        (b"a" * (LARGEST + 1), "file-too-large", 1, 1, "larger than 10 MB"),
    ],
)
def test_what_can_t_be_read_is_a_finding(data: bytes | str, rule: str, line: int, column: int, message: str) -> None:
    finding = only(data)
    assert (finding.rule, finding.line, finding.column) == (rule, line, column)
    assert message in finding.message


@pytest.mark.parametrize("data", [b"", b"\n", b"---\n---\n", b"\xef\xbb\xbf", b"null", b"~\n---\n"])
def test_nothing_is_nothing_and_told(data: bytes) -> None:
    finding = only(data)
    assert (finding.rule, finding.message) == ("no-object", "there is no object in it")


def test_comments_and_words_alone_are_no_object() -> None:
    assert only("# a\n---\n# b\n").message == "there is no object in it, but comments"
    assert only("text").message == "there is no object in it, but other text"


def test_an_empty_file_among_others_is_told() -> None:
    result = lint([Text("a.yaml", b""), Text("b.yaml", b"replicas: 2\n")], Aim())
    assert (result.findings, result.notes) == ([], ["a.yaml: there is no object in it"])


def test_what_holds_no_object_is_let_be() -> None:
    for data in (b"{}", b"[]", b"replicas: 2\n", b"- op: add\n"):
        result = result_of(data)
        assert (result.findings, result.notes) == ([], [])


def test_an_object_without_a_kind() -> None:
    finding = only("a: b\n---\n" + service().replace("kind:", "knd:"))
    assert (finding.rule, finding.line, finding.message) == ("missing-field", 3, "the object lacks kind")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16(encoding: str) -> None:
    data = ("\ufeff" if encoding.endswith("be") else "") + service()
    finding = only(data.encode(encoding))
    assert (finding.rule, finding.fix) == ("not-utf8", "convert it: iconv -f UTF-16 -t UTF-8")


@pytest.mark.parametrize(
    "text",
    [
        "metadata:\n  name: {{ .Values.name }}\n",
        "{{- if .Values.x }}\na: b\n{{- end }}\n",
        'name: "{{ .Release.Name }}-x"\n',
        "a: b\n{% if x %}\n",
        "args:\n  - {{ x }}\n",
    ],
)
def test_a_template_is_no_yaml_yet(text: str) -> None:
    result = result_of(text)
    assert not result.findings
    assert "not YAML yet" in result.notes[0]


def test_a_template_s_block_in_a_comment_makes_no_template() -> None:
    assert only("# {{ .Values.x }}\r\n" + service("arg: [],")).rule == "unknown-field"
    assert only(service("arg: [],").rstrip() + " # was {{ .Values.x }}\n").rule == "unknown-field"
    assert result_of("# {{ .Values.x }}\na: {{ .Values.x }}\n").notes


def test_kserve_s_own_placeholders_are_yaml() -> None:
    result = result_of(service('args: ["--served-model-name={{.Name}}"], arg: [],'))
    assert [finding.rule for finding in result.findings] == ["unknown-field"]
    assert only('a: "{{.Name}}"\nb: [\n').rule == "yaml-syntax"


def test_lines_and_columns_are_those_of_the_file() -> None:
    for newline in ("\n", "\r\n"):
        for mark in ("", "\ufeff"):
            finding = only(mark + newline.join(["# ü€😀", *service("arg: [],").splitlines()]))
            assert (finding.line, finding.rule) == (5, "unknown-field")


@pytest.mark.parametrize("key", ["[a, b]", "{a: b}", "[]"])
def test_a_key_that_is_no_string(key: str) -> None:
    finding = only(service() + f"? {key}\n: c\n")
    assert (finding.rule, finding.line, finding.column) == ("wrong-type", 5, 3)
    assert finding.message == "a key must be a string"


def test_a_key_that_is_an_alias_is_what_it_stands_for() -> None:
    finding = only(service(annotations="{a: &x specc}") + "*x : c\n")
    assert finding.rule == "unknown-field"
    assert finding.fix.startswith("did you mean spec?")


def test_several_documents_in_one_file() -> None:
    result = result_of("---\n".join([service("arg: [],"), "a: b\n", service("arg: [],", name="other")]))
    assert [(finding.line, finding.rule) for finding in result.findings] == [
        (4, "unknown-field"),
        (11, "unknown-field"),
    ]


def test_anchors_and_merges_are_followed() -> None:
    text = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: a
  annotations: &notes {a: "1"}
spec:
  predictor:
    annotations: *notes
    model:
      <<: &more {modelFormat: {name: vLLM}, runtime: r}
      storageUri: oci://a.b/c:1
      arg: 1
"""
    assert only(text).rule == "unknown-field"
    twice = text.replace('a: "1"', "a: 1").replace("arg: 1", "args: []")
    assert only(twice).line == 5  # once, though two places point to it


def test_an_anchored_scalar_has_its_own_type() -> None:
    assert only(service(annotations="{a: &x 5, b: &y five, c: *y}")).rule == "wrong-type"


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    return "x-bomb:\n" + "".join(f"  {line}\n" for line in lines) + service("args: *a59,")


def merges() -> str:
    keys = "".join(f"  k{n}: v\n" for n in range(1000))
    return f"x: &x\n{keys}y:\n" + "- {<<: *x}\n" * 1000


def chain() -> str:
    return "x0: &x0 {a: 1}\n" + "".join(f"x{n}: &x{n} {{a: *x{n - 1}}}\n" for n in range(1, 5000))


@pytest.mark.parametrize("text", [bomb(), merges(), chain()])
def test_a_bomb_is_refused_as_kubectl_does(text: str) -> None:
    finding = only(text)
    assert finding.rule == "yaml-syntax"
    assert finding.message.startswith("aliases stand for 1")
    assert finding.message.endswith(" values here, as in a bomb")


def test_aliases_that_stand_for_much_are_no_bomb() -> None:
    base = f"x: &x {{{', '.join(f'k{n}: v' for n in range(100))}}}\n"
    document = Document("x", base + "y:\n" + "- {<<: *x}\n" * 450)
    parse(document)
    assert len(document.plain(document.roots[0])["y"]) == 450


def test_a_file_of_nothing_but_small_values_is_refused() -> None:
    finding = only("[" + "a," * 1_500_000 + "]")
    assert (finding.rule, finding.line) == ("yaml-syntax", 1)
    assert finding.message == "more than 1,500,000 events of YAML: split the file"


_RUNTIME = """\
---
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {{name: r, annotations: {{opendatahub.io/recommended-accelerators: '{accelerators}'}}}}
spec:
  supportedModelFormats: [{formats} {{name: vLLM}}]
  containers: [{{name: kserve-container, args: [{args}]}}]
"""


def test_a_runtime_is_looked_through_once_however_many_use_it() -> None:
    """Each part by itself is small; every service times every format, argument and accelerator isn't."""
    runtime = _RUNTIME.format(
        accelerators="[" + '"a", ' * 40_000 + '"b"]', formats="{name: f}, " * 40_000, args="--x=1, " * 40_000
    )
    services = "".join("---\n" + service(name=f"s{n}") for n in range(4000))
    assert result_of(runtime + services).objects == 4001


@pytest.mark.parametrize(
    "text",
    [
        "#" + "x" * 300_000 + " {{.Values.a}}" * 20_000 + "\na: b\n",
        service(f"command: [sh, -c], args: [\"'{'a' * 800_000}'\"],"),
        service("env: [{name: VLLM_ADDITIONAL_ARGS, value: '" + '"a" ' * 200_000 + "'}],"),
        service().replace("oci://", "oci://" + "a." * 400_000),
        _RUNTIME.format(accelerators="[]", formats="", args="").replace("args: []", f"image: '{'$(' * 400_000}'"),
        "".join(f"---\napiVersion: serving.kserve.io/v1\nkind: InferenceServis{n}\n" for n in range(15_000)),
        service(annotations="{" + "".join(f"opendatahub.io/dashbo{n}: a, " for n in range(30_000)) + "}"),
        service("".join(f"storageUry{n}: a, " for n in range(40_000))),
        service().rstrip() + " # modelcar: ignore=" + ",".join(f"x{n}" for n in range(100_000)) + "\n",
    ],
    ids=["comment", "script", "arguments", "image", "placeholders", "kinds", "keys", "fields", "ignored"],
)
def test_what_could_grow_with_the_square_does_not(text: str) -> None:
    """These take seconds to hours where they do, and the test's time ends."""
    result = result_of(text)
    assert len(result.findings) <= 1000
    assert all(len(finding.message) < 1100 for finding in result.findings)
    assert len(result.notes) <= 100


@pytest.mark.parametrize(
    ("namespace", "found"), [("", "first"), ("a", "first"), ("b", "second"), ("c", "third"), ("d", "third")]
)
def test_the_first_runtime_that_fits_is_taken(namespace: str, found: str) -> None:
    world = World(Aim())
    for format_, space in (("first", "a"), ("second", "b"), ("third", ""), ("fourth", "c")):
        document = Document(format_, "{}")
        parse(document)
        world.add(Item(Node(document, 0), "", "ServingRuntime", "r", space))
    item = world.find("ServingRuntime", "r", namespace)
    assert item is not None
    assert item.node.document.name == found


def test_many_objects_with_anchors_are_read_in_no_time() -> None:
    """Each object costs what is in it, whatever is in the rest of the file."""
    one = "---\n" + service("env: [{name: A, value: &x a}, {name: B, value: *x}],")
    result = lint([Text("x.yaml", (one * 4000).encode())], Aim(), ignored=["duplicate-object"])
    assert (result.objects, result.findings) == (4000, [])


def test_many_placeholders_in_one_line_are_read_in_no_time() -> None:
    args = ", ".join(['"--served-model-name={{.Name}}"'] * 50_000)
    assert not result_of(service(f"args: [{args}],")).findings


def test_many_mistakes_are_cut_off() -> None:
    text = service() + "".join(f"x{n}: 1\n" for n in range(1500))
    result = result_of(text)
    assert (len(result.findings), result.cut) == (1000, ["x.yaml"])


@pytest.mark.parametrize(
    "comment",
    [
        "# modelcar: ignore=unknown-field",
        "#modelcar:ignore=name-length, unknown-field",
        "# modelcar: ignore=unknown-field since the cluster has it",
        "# why # modelcar: ignore=unknown-field,name-length (see above)",
    ],
)
def test_a_comment_leaves_a_rule_out_on_its_line(comment: str) -> None:
    lines = service("arg: [],").splitlines()
    assert not result_of("\n".join([*lines[:3], f"{lines[3]} {comment}"])).findings
    assert only("\n".join([f"{lines[0]} {comment}", *lines[1:]])).rule == "unknown-field"


def test_a_comment_that_leaves_out_no_rule_is_told() -> None:
    result = result_of(f"{service().rstrip()} # modelcar: ignore=unknwon-field, name-length\n")
    assert result.notes == ["x.yaml:4: the comment leaves out 'unknwon-field', and there is no such rule"]


def test_a_fix_touches_nothing_else() -> None:
    text = (
        "\ufeff# a comment\r\napiVersion: serving.kserve.io/v1beta1\r\nkind: 'InferenceService'\r\n"
        'metadata:   {name: granite, annotations: {a: yes,  b: "on"}} # ü yes\r\n'
        "spec:\r\n  predictor:\r\n    minReplicas: '1'   # one\r\n    model:\r\n      \"storageURI\": oci://a.b/c:1\r\n"
        "      runtime: r"
    )
    result = result_of(text)
    fixed = fix(result.documents["x.yaml"], result.findings)
    expected = text.replace("a: yes", 'a: "yes"').replace("'1'", "1").replace('"storageURI"', '"storageUri"')
    assert fixed.data.decode() == expected
    assert fixed.count == 3
    again = result_of(fixed.data)
    assert not again.findings
    assert fix(again.documents["x.yaml"], again.findings).count == 0


def test_a_fix_never_makes_a_second_field_of_one_name() -> None:
    result = result_of(service("storageURI: x,"))
    assert fix(result.documents["x.yaml"], result.findings).count == 0


@pytest.mark.parametrize("case", CASES)
def test_what_the_benchmark_reads_is_what_it_says(case: str) -> None:
    result = result_of(content(case, 30_000))
    assert result.objects
    assert {finding.severity for finding in result.findings} == ({"error"} if case == "all wrong" else set())


_PIECES = st.sampled_from(
    [example.bad for example in EXAMPLES.values()]
    + [
        "---\n",
        "- ",
        "a: ",
        "&a ",
        "*a ",
        "<<: ",
        "{{ x }}",
        "${X}",
        "\t",
        "\r\n",
        "!!int ",
        "? ",
        "| \n",
        "'",
        '"',
        "\x85",
        "[",
        "}",
    ]
)


@settings(max_examples=150, deadline=2000)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.one_of(_PIECES, st.text(max_size=8)), max_size=12).map(
            lambda p: "".join(p).encode("utf-8", "replace")
        ),
    )
)
def test_any_bytes_end_in_findings(data: bytes) -> None:
    result = result_of(data)
    for finding in result.findings:
        assert finding.line >= 1
        assert finding.column >= 1
    for document in result.documents.values():
        assert fix(document, ()).data == data
