"""The embedded base beyond the lines that KServe runs today: what dash does, where it does it, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shells import ARCHITECTURES, HERE, Outcome, Shell, ours, reference

LIKE_DASH = [
    "",
    "  \n\t\n",
    "true",
    "false",
    "true\n",
    "\n\necho a\n\n\necho b\n",
    "echo",
    "echo -n a",
    "echo -n",
    "echo - -- a",
    "echo   a\tb   'c  d'   \"e  f\"",
    "echo a\\ b \\$ \\\" \\' \\; \\& \\| \\( \\) \\* \\~ \\# \\` end",
    "echo a\\\nb \\\n c",
    'echo "a\\\nb" "\\$\\"\\`"',
    "echo '$HOME `x` $(y) * ? [z] ~ # & | ; < > ( )'",
    "echo 'it'\\''s' \"it's\" it\\'s '\"'",
    "echo a''b\"\"c '' \"\" d",
    "echo a#b c=d e~f /~ x] ] [ [ {a,b} } ! % + @ : ^ ,",
    "echo åäö 中文",
    "echo $$ \"$$\" a$$b '$$' \\$\\$",
    '[ $$ = "$$" ] && [ $$ = $(echo $$) ] && (echo $$) && echo $(echo $$)',
    "true && echo a || echo b",
    "false && echo a || echo b",
    "false || true && echo a",
    "true || echo a && echo b",
    "false; echo a; false",
    "true &&\n\n echo a ||\n echo b",
    "(echo a; false) || echo b",
    "(echo a)&&(echo b);(exit 3)",
    "((echo a); (exit 4))",
    "exit",
    "exit 0",
    "exit 255",
    "exit 007",
    "false; exit",
    "true; exit 3; echo a",
    "(exit 3); echo a; exit",
    "(exit 3) || exit 4 && echo a",
    "(false; exit); exit",
    "echo a && (exit 1) && echo b",
    "echo $(exit 3; echo a)b",
    "while false; do echo a; done",
    "until true; do echo a; done; echo b",
    "false; while false; do true; done && echo a",
    "until [ -e /w/n ]; do mkdir -p /w/n; echo once; done",
    "while [ ! -e /w/n ]; do mkdir -p /w/n; false; done || echo b",
    "while true; do exit 5; done; echo a",
    "while exit 6; do echo a; done",
    "(while true; do exit 7; done); exit",
    "until [ -e /w/n ]\ndo\nmkdir -p /w/n\ndone",
    "until [ -d /w/n/n ]; do until [ -d /w/n ]; do mkdir -p /w/n; echo in; done; mkdir -p /w/n/n; done",
    "echo do done while until; echo 'do'",
    "until(true)do(true)done;echo a",
    "echo a >/dev/null; echo b",
    "echo a 1>/dev/null; echo b 1 >/dev/null; echo 3",
    ">/dev/null echo a; 2>/dev/null echo b > /dev/null c",
    "ls /none 2>/dev/null; ls /none 2>'/dev/null' || echo no",
    "(echo a; ls /none; echo b) 2>/dev/null",
    "(echo a; ls /none; echo b) >/dev/null",
    "(echo a; ls /none) >/dev/null 2>/dev/null; echo c",
    "until false; do echo a; exit 2; done >/dev/null",
    '(echo "$(echo in)" >/dev/null; echo out)',
    "(echo $(echo in)) >/dev/null",
    '[ "$(echo a; ls /none 2>/dev/null)" = a ] >/dev/null && echo same',
    'echo "$(echo a; echo; echo)"',
    'echo "$(echo; echo a; echo b)"',
    "echo $(echo; echo a; echo b) $(true) c",
    "echo x$(echo ' a  b ')y \"$(echo ' a  b ')\"",
    'echo "$(echo "$(echo \'a  b\')" "c")" \'$(d)\'',
    'echo "a$(echo ")")b" $(echo \')\')',
    "echo $(echo $(echo $(echo deep)))",
    'echo $( (echo a) ) "$( (exit 2); echo b)"',
    "ls $(echo /w/d) $(true) >/dev/null && echo a",
    "[ $(true) ] || echo none; [ $(echo a) ] && echo one; [ $(echo a = a) ] && echo three",
    "[ ] || echo a; [ '' ] || echo b; [ a ] && echo c; [ -d ] && [ ! ] && [ = ] && echo d",
    "[ ! '' ] && [ ! ! ] || echo a; [ ! a ] || echo b",
    "[ -n a ] && [ -z '' ] && [ -n '' ] || [ -z a ] || echo a",
    "[ a = a ] && [ a != b ] && [ '' = '' ] && [ -d = -d ] && [ ! = ! ] && [ '(' = '(' ] && echo a",
    "[ ! a = b ] && [ ! -d /none ] && [ ! -n '' ] && echo a",
    "test -d /w && test -d /w/d && test ! -d /w/f && test -d /w/l && test ! -d /w/x && echo a",
    "[ -e /w/f ] && [ -e /w/l ] && [ ! -e /w/x ] && [ ! -e /none ] && [ ! -e '' ] && echo a",
    "[ -f /w/f ] && [ ! -f /w/d ] && [ ! -f /w/l ] && [ -L /w/l ] && [ -L /w/x ] && [ ! -L /w/f ] && echo a",
    '[ "$(ls -A /w/d)" ] && [ ! "$(ls -A /w/e)" ] && [ -z "$(ls -A /w/e)" ] && echo a',
    '[ -d /w/secret ] && [ "$(ls -A /w/secret)" ] || echo closed',
    "ls /w/d; ls -A /w/d; ls -1 /w/d; ls -A1 /w/d; ls -1A /w/d; ls -A -1 -- /w/d",
    "ls /w; ls /w/e; ls /w/l; ls /w/x; ls /w/f",
    "ls /none",
    "ls /w/secret",
    "ls /w/secret/inner",
    "ls ''",
    "ls /w/f/a",
    "ls >/dev/null",
    "mkdir -p /w/n/a//b/ /w/n && mkdir -p /w/d /w/l && mkdir -p /w/n/c",
    "mkdir -p /w/f || echo a; mkdir -p /w/f/g || echo b; mkdir -p /w/x || echo c; mkdir -p '' || echo d",
    "mkdir -p /nowhere || echo a; mkdir -p /nowhere /w/n || echo b",
    "mkdir -p '/w/a b' && ls /w",
    "mkdir -p -- /w/-p && ln -s -- -x /w/-y && ls -- /w",
    "ln -s t /w/n; ln -s t /w/n || echo there; ln -s t /w/f || echo file; ln -s t /w/x || echo link",
    "ln -sf t /w/n; ln -sf u /w/n; ln -sf u /w/f; ln -fs u /w/x; ln -s -f u /w/y",
    "ln -s t /w/d; ln -s /a/b/ /w/d/; ln -sf /a/b /w/d; ln -s t /w/d || echo there",
    "ln -s .. /w/d || echo a; ln -s / /w/d || echo b; ln -sf a /w/d && ls /w/d",
    "ln -sf /w/f /w/f || echo same; ln -s '' /w/n || echo empty; ln -s t '' || echo nameless",
    "ln -s t /none/n || echo a; ln -sf t /w/f/n || echo b; ln -s t /w/n/ || echo c; ln -sf t /n || echo d",
    "mkdir -p /w/d/f && ln -sf /a/f /w/d || echo folder",
    "sleep 0; sleep 0s && sleep 0.0 && sleep 0.01 && sleep 0m && sleep 0h && sleep 0d && echo a",
    "'echo' a; \"ec\"ho b; e\\cho c; e\\\ncho d",
]

REFUSED = [
    "curl http://example.com", "'' a", "./ls", "/bin/ls", "Echo a", "if true; then true; fi",
    "for i in a; do true; done", "case a in a) ;; esac", "{ true; }", "! true", "f() { true; }", "x=1", "x=1 true",
    "cd /", "exec sleep 1", "eval true", "set -e", "trap '' TERM", "kill 1", "wait", "rm -rf /w", "cat /w/f",
    "printf a", "read x", ".", ":", "test2", "$(echo ls)", '"$(echo ls)"', "$$", "echo $HOME", "echo ${HOME}",
    'echo "$HOME"', "echo $1", "echo $?", "echo $@", "echo $#", "echo $!", "echo $", "echo $((1+1))", "echo `ls`",
    'echo "`ls`"', "echo *", "echo a?", "echo [a]", "echo a[", "echo ~", "echo ~/a", "echo a # b", "# a", "echo a\\",
    "echo 'a", 'echo "a', 'echo "$(echo a"', "echo $(echo a", "(true", "()", "( )", "true &", "true & true",
    "true | true", "true |& true", "|| true", "&& true", "true &&", "true ||", "true ;; true", ";", "; true",
    "true; ; true", "while true; do true", "while true; true; done", "while; do true; done",
    "until true do true; done", "while true; do; done", "do true; done", "done", "true; done", "(true) true",
    "(true) (true)", "echo a > /w/f", "echo a >/dev/nul", "echo a >> /dev/null", "echo a >&2", "ls 2>&1",
    "ls &>/dev/null", "ls </dev/null", "ls 3>/dev/null", "ls 12>/dev/null", "ls 0</dev/null", "ls <<a",
    "ls >|/dev/null", "ls >", "echo a >$(echo /dev/null)", "echo a >$(true)/dev/null", "(true) 2>/dev/null$(true)",
    'echo $(echo a) >"$(true)"/dev/null', "echo >/dev/null b>x", ">/dev/null", "ls >/dev/null(", "ls -l", "ls -a",
    "ls -la /w", "ls --all", "ls /w -A", "ls /w /w/d", "ls -Al", "ln /w/f /w/n", "ln -f t n", "ln -sn t n",
    "ln -sfn t n", "ln -sv t n", "ln -s t", "ln -s", "ln -s a b c", "ln -s t n -f", "mkdir /w/n", "mkdir -p",
    "mkdir -pv /w/n", "mkdir -m 777 -p /w/n", "mkdir /w/n -p", "sleep", "sleep 1 2", "sleep -1", "sleep a",
    "sleep 1w", "sleep 1.2.3", "sleep .x", "sleep 1e3", "sleep 1ms", "sleep 9999999999", "sleep inf", "exit -1",
    "exit 256", "exit a", "exit ''", "exit 1 2", "echo -e a", "echo -E a", "echo -ne a", "echo -n -n a",
    "echo 'a\\b'", "[", "[ a", "[ a ]]", "[ a b c ]", "[ -s /w/f ]", "[ -r /w ]", "[ -h /w ]", "[ 1 -eq 1 ]",
    "[ a == a ]", "[ a -nt b ]", "[ a -a b ]", "[ a -o b ]", "[ '(' a ')' ]", "[ -d a -a -d b ]", "[ a = b c ]",
    '[ "$(ls)" -gt 3 ]', "[ ! ! ! a b ]", "test a b", '[ a "$(echo ])"', "[[ -d /w ]]",
]  # fmt: skip

REFUSED_AS_IT_RUNS = {
    'ls "$(echo -l)"': "unknown option: -l",
    "ls $(echo -l)": "unknown option: -l",
    "echo $(echo '*')": "unquoted $( ) printed a pattern",
    '[ "$(echo -s)" /w ]': "unknown test: -s",
    "[ 1 $(echo -eq) 1 ]": "unknown test: -eq",
    "[ $(echo a b c d e) ]": "unknown test: a",
    "sleep $(echo 1 2)": "sleep with other than one time: 2",
    'exit "$(echo x)"': "exit with what is no number up to 255: x",
    "mkdir $(true)": "mkdir without -p",
}


def prepared(shell: Shell) -> Shell:
    """With a folder /w that anyone may write to, and some of everything in it."""
    shell.put("/w", None, 0o777)
    for name in (".h", "a", "b", "B"):
        shell.put(f"/w/d/{name}", name)
    shell.put("/w/d", None, 0o777)
    shell.put("/w/e", None)
    shell.put("/w/f", "x")
    shell.put("/w/secret/inner", "x")
    shell.put("/w/secret", None, 0o700)
    (shell.root / "w" / "l").symlink_to("d")
    (shell.root / "w" / "x").symlink_to("gone")
    return shell


@pytest.fixture(params=ARCHITECTURES)
def shell(request: pytest.FixtureRequest, roots: Path) -> Shell:
    return prepared(ours(request.param, roots))


@pytest.mark.parametrize("line", LIKE_DASH)
def test_does_as_dash_does(shell: Shell, roots: Path, line: str) -> None:
    assert shell.line(line) == prepared(reference(roots)).line(line)


def refusals(shell: Shell, line: str) -> str:
    """The line on standard error of what is refused; nothing has been done."""
    before = shell.tree()
    done, errors = shell.said("sh", "-c", line)
    assert done == Outcome(127, "", True, before)
    assert errors.endswith(
        "; this image's sh knows only the lines that KServe runs: for more, build it with --base ubi9/ubi-micro\n"
    )
    assert errors.startswith("sh: ")
    assert errors.count("\n") == 1
    assert errors[:-1].isprintable()
    return errors.removeprefix("sh: ").partition(";")[0]


@pytest.mark.parametrize("line", REFUSED)
def test_refuses_what_it_cannot_do_before_anything_is_done(roots: Path, line: str) -> None:
    shell = prepared(ours(HERE, roots))
    for before in ("", "mkdir -p /w/n; ", "(echo a >/dev/null); ", "echo a && ", "ln -sf t /w/f\n"):
        refusals(shell, before + line)
    for around in ("(mkdir -p /w/n; {})", 'echo "$(echo a; {})"', "until true; do {}; done", "true || {}"):
        refusals(shell, around.format(line))


@pytest.mark.parametrize(("line", "says"), [
    ("echo ok && curl -o x y", "unknown command: curl"),
    ("ls -l /models", "unknown option: -l"),
    ("echo $HOME and what comes after it, which may be a long text, very long indeed", "variables and other $ "
     "expressions: $HOME and what comes after it, which may be a long text, ver..."),
    ("echo a | tee b", "can't go on at: | tee b"),
    ("(echo a", "the line ends too early"),
    ("'x\n\x1b[31mred\x7f'", "unknown command: x??[31mred?"),
    ("[ -s /models ]", "unknown test: -s"),
    (33 * "(" + "true" + 33 * ")", "nested too deep: (true" + 33 * ")"),
    ("echo " + 16 * 1024 * "a", "a line of more than 16 KiB: echo " + 55 * "a" + "..."),
    ("echo " + 5000 * "a ", "too many words"),
])  # fmt: skip
def test_says_what_it_cannot_do(roots: Path, line: str, says: str) -> None:
    assert refusals(prepared(ours(HERE, roots)), line) == says


@pytest.mark.parametrize("line", REFUSED_AS_IT_RUNS)
def test_refuses_what_only_shows_as_it_runs(shell: Shell, line: str) -> None:
    assert refusals(shell, line) == REFUSED_AS_IT_RUNS[line]
    done = shell.line(f'echo a; (ls "$({line})" || echo b); echo c')
    assert (done.code, done.output, done.complained) == (127, "a\n", True)


@pytest.mark.parametrize("args", [
    ("sh",), ("sh", "-c"), ("sh", "script"), ("sh", "-ec", "true"), ("sh", "-e", "-c", "true"),
    ("sh", "-c", "-e", "true"), ("sh", "-c", "--", "true"), ("sh", "-s"), ("sh", "-i"), ("sh", "--help"),
    ("ls", "-l"), ("ln", "a", "b"), ("[", "a"), ("mkdir", "/w/n"), ("sleep", "-1"), ("echo", "-e", "a"),
    ("test", "1", "-eq", "1"),
])  # fmt: skip
def test_is_called_in_no_other_way(shell: Shell, args: tuple[str, ...]) -> None:
    before = shell.tree()
    assert shell.run(*args, stdin=b"echo a\n") == Outcome(127, "", True, before)


@pytest.mark.parametrize("args", [
    ("sh", "-c", "echo a"), ("sh", "-c", "echo a", "name"), ("sh", "-c", "echo a", "name", "one", "two"),
    ("true",), ("true", "a", "--b"), ("false",),
    ("echo", "a  b", "c"), ("echo", "-n", "a"), ("echo", "$HOME", "*", "`a`"),
    ("[", "-d", "/w", "]"), ("[", "]"), ("test", "-f", "/w"), ("test",), ("test", "!", "-e", "/none"),
    ("ls", "-A", "/w/d"), ("ls", "/none"), ("ln", "-sf", "/proc/$$/root", "/w/x"), ("ln", "-s", "t", "/w/x"),
    ("mkdir", "-p", "/w/n/a", "/w/n/b"), ("mkdir", "-p", "/none"), ("sleep", "0"), ("sleep", "0.01s"),
])  # fmt: skip
def test_is_each_command_by_its_name(shell: Shell, roots: Path, args: tuple[str, ...]) -> None:
    assert shell.run(*args) == prepared(reference(roots)).run(*args)


def test_a_link_to_a_folder_in_the_way_is_replaced_and_never_followed(shell: Shell) -> None:
    # GNU's ln would put a link into the folder that the link leads to.
    done = shell.line("ln -sf /t /w/l && ln -s /t /w/l")
    assert (done.code, done.tree["w/l"]) == (1, "-> /t")
    assert not (shell.root / "w" / "d" / "t").is_symlink()


def test_lists_any_number_of_names_in_order(shell: Shell, tmp_path: Path) -> None:
    names = sorted({f"{(number * 7919) % 5003:x}" for number in range(5003)} | {f".{number}" for number in range(1500)})
    folder = shell.put("/w/many", None)
    for name in names:
        (folder / name).touch()
    for options, expected in ((["-A"], names), ([], [name for name in names if not name.startswith(".")])):
        with (tmp_path / "listed").open("w+b") as listed:
            assert shell.exit_code("ls", *options, "/w/many", stdout=listed) == 0
        assert (tmp_path / "listed").read_text().split() == expected


LONG = "a name of so many letters that not so many of them fit into what is kept of what is printed inside "


@pytest.mark.parametrize(("line", "code", "output"), [
    ('[ "$(ls /w/many)" ] && echo yes', 0, "yes\n"),
    ('[ ! "$(ls /w/many)" ] || echo yes', 0, "yes\n"),
    ('[ -n "$(ls /w/many)" ] && echo yes', 0, "yes\n"),
    ('[ -z "$(ls /w/many)" ] || echo yes', 0, "yes\n"),
    ('[ "$(ls /w/many; [ "$(ls /w/d)" ] && echo)" ] && echo no', 127, ""),
    ('echo "$(ls /w/many)"', 127, ""),
    ("echo $(ls /w/many)", 127, ""),
    ('[ "$(ls /w/many)" = a ]', 127, ""),
    ('[ -d "$(ls /w/many)" ]', 127, ""),
    ('ls "$(ls /w/many)"', 127, ""),
    ("ls /w/many >/dev/null && echo yes", 0, "yes\n"),
    ('[ "$(ls /w/many >/dev/null)" ] || echo yes', 0, "yes\n"),
])  # fmt: skip
def test_what_is_too_much_to_keep_can_only_be_asked_for(shell: Shell, line: str, code: int, output: str) -> None:
    for number in range(800):
        shell.put(f"/w/many/{LONG}{number}", "")
    done = shell.line(line)
    assert (done.code, done.output) == (code, output)


def test_output_that_nobody_takes_fails_a_command(shell: Shell) -> None:
    with Path("/dev/full").open("wb") as full:
        for line in ("echo a", "ls /w", "echo a || exit 1"):
            assert shell.exit_code("sh", "-c", line, stdout=full) == 1
        assert shell.exit_code("sh", "-c", "true; echo -n; mkdir -p /w/n", stdout=full) == 0
