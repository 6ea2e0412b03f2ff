/*
 * sh.c: the only program in the base image that modelcar puts under a model.
 *
 * KServe, Open Data Hub and Kubeflow Pipelines run a few shell lines in a model's container. This program understands
 * these and nothing else: see docs/base.md for the lines, the grammar and the reasons.
 *
 * A line is interpreted straight from its text by recursive descent, twice: first with `run` off, when every word is
 * read and every command is checked but nothing is done, then with `run` on. Both passes are the same code, so what
 * was checked is what runs. What it can't do ends in refuse(): one line on standard error, exit code 127.
 *
 * There is one process: ( ) and $( ) need no other, since the only state they could change is that `exit` was called.
 * All memory is in the arrays below; libc allocates once for an open folder. It starts no program, opens no file but
 * folders to list them, and reads neither standard input nor the environment.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE = 16 * 1024,       /* bytes of a line, at most */
	DEPTH = 32,             /* how many ( ), $( ) and loops may be inside each other */
	TEXT = 256 * 1024,      /* bytes of all words in use at a time */
	WORDS = 4096,           /* and their number */
	OUTPUT = 64 * 1024,     /* bytes kept of what is printed inside $( ) */
	NAMES = 4096,           /* names that ls sorts at a time: 1 MiB of them */
	SHOWN = 60,             /* bytes of the offending part that a refusal shows */
	OUT = 1, ERR = 2        /* the streams, as bits and as numbers */
};

static const char *const DELIMITERS = " \t\n;&|<>()";   /* strchr() finds the end of the line among them, too */

static const char *p;           /* what is read next */
static int depth;               /* lists inside each other */
static int status;              /* of the last command that ran: $? */
static int leaving;             /* `exit` was called: nothing runs until its ( ), $( ) or line ends */
static int silent;              /* streams that go to /dev/null */
static int loose;               /* this command has an unquoted $( ): before it runs its words can't be counted */
static int cut;                 /* a word of this command is from a $( ) that printed more than is kept */

static char text[TEXT];         /* the words in use, one after the other; the last may be in the making */
static size_t ntext;
static char *words[WORDS];
static int nwords;
static char unknown[] = "?";    /* stands for a word with a $( ) in it, before the command runs */

static char output[OUTPUT];     /* printed and not yet written, or inside $( ) to become a word */
static size_t noutput;
static int inside;              /* how many $( ) are open */
static int overflow;            /* the innermost of them printed more than there was room for */
static int broken;              /* errno of a write that failed, else 0 */

static void list(int run);

/* --- saying what is wrong ------------------------------------------------------------------------------------- */

/* One line on standard error, from parts that end with a null. What would break the line becomes a question mark. */
static void say(const char *part, ...)
{
	char line[PATH_MAX + 256];
	size_t n = 0;
	va_list parts;

	va_start(parts, part);
	for (; part; part = va_arg(parts, const char *))
		for (; *part && n < sizeof line - 1; part++) {
			line[n] = *part;
			if ((unsigned char)*part < ' ' || *part == 127)
				line[n] = '?';
			n++;
		}
	va_end(parts);
	line[n++] = '\n';
	if (write(ERR, line, n) < 0)
		return; /* nobody listens */
}

/* The end of everything: something that this program can't do. */
static _Noreturn void refuse(const char *what, const char *where)
{
	char shown[SHOWN + 4] = "";
	size_t n;

	for (n = 0; n < SHOWN && where[n]; n++)
		shown[n] = where[n];
	if (where[n])
		memcpy(shown + n, "...", 4);
	say("sh: ", what, *where ? ": " : "", shown,
	    "; this image's sh knows only the lines that KServe runs: for more, build it with --base ubi9/ubi-micro",
	    (char *)0);
	_exit(127);
}

/* A command that failed, as errno says. */
static void fail(const char *command, const char *what)
{
	int why = errno;

	if (!(silent & ERR))
		say(command, ": ", what, ": ", strerror(why), (char *)0);
}

/* --- standard output ------------------------------------------------------------------------------------------ */

static void flush(void)
{
	size_t done = 0;

	while (done < noutput && !broken) {
		ssize_t n = write(OUT, output + done, noutput - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			broken = errno;
	}
	noutput = 0;
}

static void put(const char *s)
{
	if (silent & OUT)
		return;
	for (; *s; s++) {
		if (noutput == OUTPUT && !inside)
			flush();
		if (noutput == OUTPUT) {
			overflow = 1;
			return;
		}
		output[noutput++] = *s;
	}
}

/* --- the commands: each checks its words and then, if it is to run, does its work; returns its exit code -------- */

/* Reads options of one letter, those in `known`, as bits into `given`. Returns the index of the first operand. */
static int options(int argc, char **argv, const char *known, unsigned *given)
{
	int i, j;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (!strcmp(argv[i], "--"))
			return i + 1;
		for (const char *c = argv[i] + 1; *c; c++) {
			const char *at = strchr(known, *c);
			if (!at)
				refuse("unknown option", argv[i]);
			*given |= 1U << (at - known);
		}
	}
	for (j = i; j < argc; j++) /* where POSIX reads an operand and GNU an option */
		if (argv[j][0] == '-' && argv[j][1])
			refuse("option after an operand", argv[j]);
	return i;
}

static int do_true(int argc, char **argv, int run)
{
	(void)argc, (void)run;
	return !strcmp(argv[0], "false");
}

static int do_echo(int argc, char **argv, int run)
{
	int plain = argc > 1 && !strcmp(argv[1], "-n"), first = 1 + plain;

	/* What shells disagree on: other options, and backslashes. */
	if (first < argc && argv[first][0] == '-' && argv[first][1] && !argv[first][1 + strspn(argv[first] + 1, "neE")])
		refuse("unknown option", argv[first]);
	for (int i = first; i < argc; i++)
		if (strchr(argv[i], '\\'))
			refuse("backslash in echo", argv[i]);
	if (!run)
		return 0;
	for (int i = first; i < argc; i++) {
		put(argv[i]);
		if (i < argc - 1)
			put(" ");
	}
	if (!plain)
		put("\n");
	return 0;
}

static int do_exit(int argc, char **argv, int run)
{
	int code = argc > 1 ? 0 : status;

	if (argc > 2)
		refuse("exit with more than a number", argv[2]);
	if (argc == 2 && argv[1] != unknown) {
		const char *digit = argv[1];
		do {
			if (*digit < '0' || *digit > '9' || (code = 10 * code + (*digit - '0')) > 255)
				refuse("exit with what is no number up to 255", argv[1]);
		} while (*++digit);
	}
	if (run)
		leaving = 1;
	return code;
}

/* N, N.N, with a unit, or infinity. */
static int do_sleep(int argc, char **argv, int run)
{
	long long seconds = 0, billionths = 0, weight = 1000000000, unit = 1;
	struct timespec left;
	const char *c, *start;

	if (argc != 2)
		refuse("sleep with other than one time", argc > 2 ? argv[2] : "");
	if (!strcmp(argv[1], "infinity"))
		while (run)
			pause();
	if (argv[1] == unknown || !strcmp(argv[1], "infinity"))
		return 0;
	for (c = start = argv[1]; *c >= '0' && *c <= '9' && c - start < 9; c++)
		seconds = 10 * seconds + (*c - '0');
	if (c > start && *c == '.')
		for (c++; *c >= '0' && *c <= '9' && weight > 1; c++)
			billionths += (*c - '0') * (weight /= 10);
	unit = *c == 'm' ? 60 : *c == 'h' ? 3600 : *c == 'd' ? 86400 : 1;
	if (*c == 's' || unit > 1)
		c++;
	if (*argv[1] < '0' || *argv[1] > '9' || *c)
		refuse("sleep with what is no time", argv[1]);
	billionths *= unit;
	left.tv_sec = (time_t)(seconds * unit + billionths / 1000000000);
	left.tv_nsec = (long)(billionths % 1000000000);
	while (run && nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
	return 0;
}

/* A folder, and before it each folder above it that isn't there. */
static int make_folder(const char *name)
{
	char path[PATH_MAX];
	size_t n = strlen(name);
	struct stat s;

	errno = n ? ENAMETOOLONG : ENOENT;
	if (!n || n >= sizeof path)
		return -1;
	memcpy(path, name, n + 1);
	for (size_t at = 1; at <= n; at++) {
		if (name[at] && name[at] != '/')
			continue;
		path[at] = 0;
		if (mkdir(path, 0777) < 0) {
			int why = errno;
			if (stat(path, &s) < 0 || !S_ISDIR(s.st_mode)) {
				errno = why;
				return -1;
			}
		}
		path[at] = name[at];
	}
	return 0;
}

static int do_mkdir(int argc, char **argv, int run)
{
	unsigned given = 0;
	int i = options(argc, argv, "p", &given), code = 0;

	if (!given)
		refuse("mkdir without -p", "");
	if (i == argc)
		refuse("mkdir without a folder", "");
	for (; run && i < argc; i++) {
		if (make_folder(argv[i]) < 0) {
			fail("mkdir", argv[i]);
			code = 1;
		}
	}
	return code;
}

/* Where in a folder a link to `target` goes: under the last name of that. */
static int join(char *path, size_t size, const char *folder, const char *target)
{
	size_t end = strlen(target), start, n = strlen(folder);

	while (end > 0 && target[end - 1] == '/')
		end--;
	for (start = end; start > 0 && target[start - 1] != '/'; start--)
		continue;
	if (n + 1 + end - start >= size)
		return -1;
	memcpy(path, folder, n);
	path[n] = '/';
	memcpy(path + n + 1, target + start, end - start);
	path[n + 1 + end - start] = 0;
	return 0;
}

static int same_file(const char *target, const char *name)
{
	struct stat t, n;

	return !stat(target, &t) && !lstat(name, &n) && t.st_dev == n.st_dev && t.st_ino == n.st_ino;
}

/* A link in the way is never followed: with -f it is replaced, without it the command fails. */
static int do_ln(int argc, char **argv, int run)
{
	unsigned given = 0;
	int i = options(argc, argv, "sf", &given);
	char path[PATH_MAX];
	const char *target, *name;
	struct stat s;

	if (!(given & 1))
		refuse("ln without -s", "");
	if (argc - i != 2)
		refuse("ln with other than a target and a name", argc - i > 2 ? argv[i + 2] : "");
	if (!run)
		return 0;
	target = argv[i];
	name = argv[i + 1];
	if (!lstat(name, &s) && S_ISDIR(s.st_mode)) {
		if (join(path, sizeof path, name, target) < 0) {
			errno = ENAMETOOLONG;
			fail("ln", name);
			return 1;
		}
		name = path;
	}
	if (!symlink(target, name))
		return 0;
	if (errno == EEXIST && given & 2) {
		if (same_file(target, name)) /* would be gone, and the link lead to itself */
			errno = EEXIST;
		else if (!unlink(name) && !symlink(target, name))
			return 0;
	}
	fail("ln", name);
	return 1;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/*
 * The names of a folder in order, however many there are. Each pass over the folder finds the next ones: where there is
 * no room for all that come after `last`, the lower half is kept, and what comes after `limit` is for a later pass.
 */
static int list_folder(DIR *folder, int all)
{
	static char names[NAMES][NAME_MAX + 1];
	char last[NAME_MAX + 1] = "", limit[NAME_MAX + 1];

	do {
		struct dirent *entry;
		size_t n = 0;

		limit[0] = 0;
		rewinddir(folder);
		while (errno = 0, (entry = readdir(folder))) {
			const char *name = entry->d_name;
			size_t length = strlen(name);
			if (!strcmp(name, ".") || !strcmp(name, "..") || (name[0] == '.' && !all) || length > NAME_MAX)
				continue;
			if ((last[0] && strcmp(name, last) <= 0) || (limit[0] && strcmp(name, limit) > 0))
				continue;
			if (n == NAMES) {
				qsort(names, n, sizeof *names, by_name);
				n = NAMES / 2;
				memcpy(limit, names[n - 1], sizeof limit);
			}
			memcpy(names[n++], name, length + 1);
		}
		if (errno)
			return -1;
		qsort(names, n, sizeof *names, by_name);
		if (limit[0] && n > NAMES / 2)
			n = NAMES / 2;
		for (size_t i = 0; i < n; i++) {
			put(names[i]);
			put("\n");
		}
		if (n > 0)
			memcpy(last, names[n - 1], sizeof last);
	} while (limit[0] && !overflow && !broken);
	return 0;
}

static int do_ls(int argc, char **argv, int run)
{
	unsigned given = 0;
	int i = options(argc, argv, "A1", &given), code;
	const char *path = i < argc ? argv[i] : ".";
	struct stat s;
	DIR *folder;

	if (argc - i > 1)
		refuse("ls of more than one folder", argv[i + 1]);
	if (!run)
		return 0;
	folder = opendir(path);
	if (!folder) {
		int why = errno;
		if (stat(path, &s) == 0 ? !S_ISDIR(s.st_mode) : errno == ENOENT && lstat(path, &s) == 0) {
			put(path); /* a file, or a link that leads nowhere */
			put("\n");
			return 0;
		}
		errno = why;
		fail("ls", path);
		return 2;
	}
	code = list_folder(folder, (given & 1) != 0);
	if (code < 0)
		fail("ls", path);
	closedir(folder);
	return code < 0 ? 2 : 0;
}

/* What a $( ) printed may have been cut. It can still be asked whether that is empty; nothing else. */
static void need_whole(void)
{
	if (cut)
		refuse("$( ) printed more than 64 KiB", "");
}

/* As POSIX says, by the number of words. 1 is true; before it runs, with words unknown, the answer means nothing. */
static int test(int argc, char **argv, int run)
{
	struct stat s;

	if (argc == 0)
		return 0;
	if (argc == 1)
		return *argv[0] != 0;
	if (argc == 3 && (!strcmp(argv[1], "=") || !strcmp(argv[1], "!="))) {
		need_whole();
		return !strcmp(argv[0], argv[2]) == (argv[1][0] == '=');
	}
	if (argc <= 4 && !strcmp(argv[0], "!"))
		return !test(argc - 1, argv + 1, run);
	if (argc == 2 && argv[0][0] == '-' && argv[0][1] && strchr("defLnz", argv[0][1]) && !argv[0][2]) {
		if (argv[0][1] == 'n' || argv[0][1] == 'z')
			return (*argv[1] != 0) == (argv[0][1] == 'n');
		need_whole();
		if (!run || (argv[0][1] == 'L' ? lstat(argv[1], &s) : stat(argv[1], &s)) < 0)
			return 0;
		return argv[0][1] == 'd' ? S_ISDIR(s.st_mode) : argv[0][1] == 'f' ? S_ISREG(s.st_mode) :
		       argv[0][1] == 'L' ? S_ISLNK(s.st_mode) : 1;
	}
	if (!run && ((argc == 2 && argv[0] == unknown) || (argc == 3 && argv[1] == unknown)))
		return 0; /* what it compares will be seen when it runs */
	refuse("unknown test", argv[argc == 3 && strcmp(argv[0], "!") ? 1 : 0]);
}

static int do_test(int argc, char **argv, int run)
{
	if (!strcmp(argv[0], "[") && (--argc == 0 || argv[argc] == unknown || strcmp(argv[argc], "]")))
		refuse("[ without its ]", "");
	return !test(argc - 1, argv + 1, run);
}

static const struct builtin {
	const char *name;
	int (*call)(int argc, char **argv, int run);
} builtins[] = {
	{ "[", do_test },
	{ "echo", do_echo },
	{ "exit", do_exit },
	{ "false", do_true },
	{ "ln", do_ln },
	{ "ls", do_ls },
	{ "mkdir", do_mkdir },
	{ "sleep", do_sleep },
	{ "test", do_test },
	{ "true", do_true },
};

static const struct builtin *find(const char *name)
{
	for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
		if (!strcmp(builtins[i].name, name))
			return &builtins[i];
	refuse("unknown command", name);
}

static void execute(const struct builtin *builtin, int argc, char **argv)
{
	status = builtin->call(argc, argv, 1);
	if (!inside)
		flush();
	if (broken) {
		errno = broken;
		fail(builtin->name, "standard output");
		status = 1;
		broken = 0;
	}
}

/* --- words ---------------------------------------------------------------------------------------------------- */

static void add(char c)
{
	if (ntext == TEXT)
		refuse("words too long", "");
	text[ntext++] = c;
}

static void finish_word(size_t start)
{
	add(0);
	if (nwords == WORDS)
		refuse("too many words", "");
	words[nwords++] = text + start;
}

static void skip_blanks(void)
{
	while (*p == ' ' || *p == '\t' || (*p == '\\' && p[1] == '\n'))
		p += *p == '\\' ? 2 : 1;
}

static void skip_lines(void)
{
	for (skip_blanks(); *p == '\n'; skip_blanks())
		p++;
}

/* Whether a reserved word comes next. */
static int comes(const char *word)
{
	size_t n = strlen(word);

	return !strncmp(p, word, n) && strchr(DELIMITERS, p[n]);
}

static void expect(const char *what)
{
	skip_lines();
	if (what[0] == ')' ? *p != ')' : !comes(what))
		refuse(*p ? "can't go on at" : "the line ends too early", p);
	p += strlen(what);
}

/* $( ): what it prints is in `output`, from the index returned on; the caller takes it and sets noutput back to it. */
static size_t substitute(int run)
{
	size_t start = noutput, end;
	int was_silent = silent, was_overflow = overflow, was_leaving = leaving;

	p += 2;
	inside++;
	overflow = 0;
	silent &= ~OUT;
	list(run);
	expect(")");
	for (end = noutput; end > start && output[end - 1] == '\n'; end--)
		continue;
	if (!overflow)
		noutput = end;
	else if (end == start) /* there is no room to tell whether it's empty */
		refuse("$( ) printed more than 64 KiB", "");
	else
		cut = 1;
	inside--;
	overflow = was_overflow;
	silent = was_silent;
	leaving = was_leaving;
	return start;
}

/* What begins with a dollar sign: the number of this process, or 1 for a $( ) that is left to the caller. */
static int dollar(void)
{
	char digits[3 * sizeof(long)];
	size_t n = 0;

	if (p[1] == '(' && p[2] != '(')
		return 1;
	if (p[1] != '$')
		refuse("variables and other $ expressions", p);
	for (long id = getpid(); id; id /= 10)
		digits[n++] = (char)('0' + id % 10);
	while (n > 0)
		add(digits[--n]);
	p += 2;
	return 0;
}

/* Between double quotes. Returns whether there was a $( ). */
static int quoted(int run)
{
	int asked = 0;

	for (p++; *p != '"';) {
		if (*p == '\\' && p[1] && strchr("$`\"\\\n", p[1])) {
			if (p[1] != '\n')
				add(p[1]);
			p += 2;
		} else if (*p == '$') {
			if (dollar()) {
				size_t start = substitute(run), end = noutput;
				for (noutput = start; start < end; start++)
					add(output[start]);
				asked = 1;
			}
		} else if (*p && *p != '`') {
			add(*p++);
		} else {
			refuse(*p ? "backquotes" : "a quote has no end", p);
		}
	}
	p++;
	return asked;
}

/* An unquoted $( ): blanks in what it prints divide words. Returns where the word begins that is in the making. */
static size_t split(int run, size_t word, int *exists)
{
	size_t start = substitute(run), end = noutput;

	loose = 1;
	need_whole();
	for (noutput = start; start < end; start++) {
		if (strchr("*?[", output[start]))
			refuse("unquoted $( ) printed a pattern", "");
		if (!strchr(" \t\n", output[start])) {
			add(output[start]);
		} else if (ntext > word || *exists) {
			finish_word(word);
			word = ntext;
			*exists = 0;
		}
	}
	return word;
}

/* Reads a word and appends what it stands for to `words`: one word, but for an unquoted $( ). */
static void read_word(int run)
{
	size_t start = ntext;
	int exists = 0, asked = 0; /* even if it's empty, since it was quoted; there was a $( ) in quotes */

	if (*p == '~' || *p == '#')
		refuse(*p == '~' ? "home folders" : "comments", p);
	while (!strchr(DELIMITERS, *p)) {
		switch (*p) {
		case '\'':
			exists = 1;
			for (p++; *p != '\''; p++) {
				if (!*p)
					refuse("a quote has no end", "");
				add(*p);
			}
			p++;
			break;
		case '"':
			exists = 1;
			asked |= quoted(run);
			break;
		case '\\':
			if (!p[1])
				refuse("the line ends in a backslash", "");
			if (p[1] != '\n')
				add(p[1]);
			p += 2;
			break;
		case '$':
			if (dollar())
				start = split(run, start, &exists);
			break;
		case '[':
			if (ntext == start && !exists && strchr(DELIMITERS, p[1])) {
				add(*p++);
				break;
			}
			/* FALLTHROUGH */
		case '*':
		case '?':
			refuse("patterns", p);
		case '`':
			refuse("backquotes", p);
		default:
			add(*p++);
		}
	}
	if (ntext > start || exists || asked) {
		finish_word(start);
		if (asked && !run)
			words[nwords - 1] = unknown;
	}
}

/* --- the grammar ---------------------------------------------------------------------------------------------- */

/* [1]>/dev/null or 2>/dev/null. Returns which stream it is, 0 if there is none. Nothing is opened. */
static int redirection(void)
{
	size_t digits, mark = ntext;
	int first = nwords, stream = OUT, was_loose = loose;

	skip_blanks();
	digits = strspn(p, "0123456789");
	if (p[digits] != '>' && p[digits] != '<')
		return 0;
	if (digits)
		stream = digits == 1 ? *p - '0' : 0;
	if ((stream != OUT && stream != ERR) || p[digits] == '<')
		refuse("redirections but to /dev/null", p);
	p += digits + 1;
	skip_blanks();
	loose = 0;
	read_word(0);
	if (loose || nwords != first + 1 || strcmp(words[first], "/dev/null"))
		refuse("redirections but to /dev/null", nwords > first ? words[first] : p);
	loose = was_loose;
	nwords = first;
	ntext = mark;
	return stream;
}

/* A command with its words. */
static void simple(int run)
{
	size_t mark = ntext;
	int first = nwords, was_cut = cut, was_loose = loose, was_silent = silent, quiet = 0, stream;
	const struct builtin *builtin = 0;

	cut = loose = 0;
	while ((stream = redirection()) || !strchr(DELIMITERS, *p)) {
		quiet |= stream;
		if (stream)
			continue;
		read_word(run);
		if (!builtin && (loose || words[nwords - 1] == unknown))
			refuse("a command's name from $( )", "");
		if (!builtin)
			builtin = find(words[first]);
	}
	if (!builtin)
		refuse(*p ? "can't go on at" : "the line ends too early", p);
	if (builtin->call != do_test)
		need_whole();
	silent |= quiet;
	if (run)
		execute(builtin, nwords - first, words + first);
	else if (!loose)
		builtin->call(nwords - first, words + first, 0);
	silent = was_silent;
	loose = was_loose;
	cut = was_cut;
	nwords = first;
	ntext = mark;
}

/* ( list ), or while or until list do list done. */
static void compound(int run)
{
	int was_leaving = leaving, until = *p == 'u', result = 0, again;
	const char *start;

	if (*p == '(') {
		p++;
		list(run);
		expect(")");
		leaving = was_leaving;
		return;
	}
	p += strlen("while");
	start = p;
	do {
		p = start;
		list(run);
		expect("do");
		again = run && !leaving && (status != 0) == until;
		list(again);
		expect("done");
		if (again)
			result = status;
	} while (again && !leaving);
	if (run && !leaving)
		status = result;
}

static void command(int run)
{
	int was_silent = silent, quiet = 0, stream;
	const char *start, *end;

	run = run && !leaving;
	skip_blanks();
	if (*p != '(' && !comes("while") && !comes("until")) {
		simple(run);
		return;
	}
	start = p;
	compound(0); /* the redirections that it runs under come after it */
	while ((stream = redirection()))
		quiet |= stream;
	end = p;
	if (run) {
		p = start;
		silent |= quiet;
		compound(1);
		silent = was_silent;
		p = end;
	}
}

/* command { && command | || command } */
static void and_or(int run)
{
	command(run);
	for (skip_blanks(); !strncmp(p, "&&", 2) || !strncmp(p, "||", 2); skip_blanks()) {
		int wanted = (*p == '&') == (status == 0);
		p += 2;
		skip_lines();
		command(run && wanted);
	}
}

/* and_or { ; and_or } [ ; ], with newlines for semicolons */
static void list(int run)
{
	if (++depth > DEPTH)
		refuse("nested too deep", p);
	skip_lines();
	for (and_or(run); *p == ';' || *p == '\n'; and_or(run)) {
		p++;
		skip_lines();
		if (!*p || *p == ')' || comes("do") || comes("done"))
			break;
	}
	depth--;
}

/* --- the program ---------------------------------------------------------------------------------------------- */

/* Ends the program as if there were no handler, but for process 1: without one the kernel spares that. */
static void stop(int number)
{
	if (getpid() != 1) {
		signal(number, SIG_DFL);
		raise(number);
	}
	_exit(128 + number);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	char *name = argc > 0 ? argv[0] : unknown, *slash = strrchr(name, '/');
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = stop;
	action.sa_flags = SA_NODEFER; /* so that raise() comes through */
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &action, 0);
	sigprocmask(SIG_SETMASK, &action.sa_mask, 0); /* empty: whatever was blocked is blocked no more */

	if (slash)
		name = slash + 1;
	if (strcmp(name, "sh")) { /* a command by its own name */
		const struct builtin *builtin = find(name);
		if (builtin->call == do_exit)
			refuse("unknown command", name);
		argv[0] = name;
		builtin->call(argc, argv, 0);
		execute(builtin, argc, argv);
		return status;
	}
	if (argc < 3 || strcmp(argv[1], "-c") || argv[2][0] == '-' || argv[2][0] == '+')
		refuse("called as other than sh -c LINE", argc > 1 ? argv[1] : "");
	if (strlen(argv[2]) > LINE)
		refuse("a line of more than 16 KiB", argv[2]);
	for (int run = 0; run <= 1; run++) {
		p = argv[2];
		skip_lines();
		if (*p)
			list(run);
		if (*p)
			refuse("can't go on at", p);
	}
	return status;
}
