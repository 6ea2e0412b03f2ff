"""Files that are hard to read: broken, hostile, or no YAML at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.lint import CASES, content
from modelcar.kserve.lint import Aim, Finding, Result, Text, lint
from modelcar.kserve.lint.document import Document
from modelcar.kserve.lint.fix import fix
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


def test_a_bomb_is_read_in_no_time() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    text = service("args: *a59,") + "x-bomb:\n" + "".join(f"  {line}\n" for line in lines)
    moved = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nx-bomb:\n" + "".join(
        f"  {line}\n" for line in lines
    )
    moved += "metadata: {name: a}\nspec: {predictor: {model: {args: *a59, env: *a59, storageUri: *a59}}}\n"
    assert result_of(text).findings
    assert {finding.rule for finding in result_of(moved).findings} >= {"unknown-field"}
    document = Document("x", moved)
    parse(document)
    assert document.plain(document.roots[0])["kind"] == "InferenceService"


def test_many_objects_with_anchors_are_read_in_no_time() -> None:
    """Each object costs what is in it, whatever is in the rest of the file."""
    one = "---\n" + service("env: [{name: A, value: &x a}, {name: B, value: *x}],")
    result = lint([Text("x.yaml", (one * 4000).encode())], Aim(), ignored=["duplicate-object"])
    assert (result.objects, result.findings) == (4000, [])


def test_many_placeholders_in_one_line_are_read_in_no_time() -> None:
    args = ", ".join(['"--served-model-name={{.Name}}"'] * 50_000)
    assert not result_of(service(f"args: [{args}],")).findings


def test_a_chain_of_anchors_ends() -> None:
    lines = ["x0: &x0 {a: 1}"] + [f"x{n}: &x{n} {{a: *x{n - 1}}}" for n in range(1, 5000)]
    result = result_of(service().rstrip() + "\n" + "\n".join(lines) + "\n")
    assert len(result.findings) == 1000
    assert result.cut == {"x.yaml": 4000}


def test_many_mistakes_are_cut_off() -> None:
    text = service() + "".join(f"x{n}: 1\n" for n in range(1500))
    result = result_of(text)
    assert (len(result.findings), result.cut) == (1000, {"x.yaml": 500})


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
