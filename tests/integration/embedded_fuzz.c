/*
 * Random bytes, and random changes to lines that the base understands, through its parser and its commands, built with
 * sanitizers. Nothing is done for real: what changes files or waits is replaced, and only remembered.
 *
 *   embedded_fuzz SEED SECONDS        prints what it has seen; ends with 1 where something is wrong
 */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static sigjmp_buf end;
static int effects;     /* things that would have been done */
static int refused;     /* it ended in refuse() */
static char complaint[8192];

static unsigned long long state;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static _Noreturn void fake_exit(int code)
{
	refused = code == 127;
	siglongjmp(end, 1);
}

static ssize_t fake_write(int to, const void *bytes, size_t n)
{
	if (to == 2) {
		size_t kept = n < sizeof complaint ? n : sizeof complaint - 1;
		memcpy(complaint, bytes, kept);
		complaint[kept] = 0;
	} else {
		effects++;
	}
	if (pick(50) == 0) {
		errno = EIO;
		return -1;
	}
	return (ssize_t)(n > 1 && pick(4) == 0 ? n / 2 : n);
}

static int fake_change(void)
{
	static const int reasons[] = { EEXIST, EEXIST, ENOENT, EACCES, EROFS, ENOTDIR };

	effects++;
	errno = reasons[pick(6)];
	return pick(3) == 0 ? 0 : -1;
}

static int fake_stat(struct stat *s)
{
	static const mode_t kinds[] = { S_IFDIR, S_IFREG, S_IFLNK, S_IFIFO };

	effects++;
	memset(s, 0, sizeof *s);
	s->st_mode = kinds[pick(4)];
	s->st_ino = pick(3);
	errno = ENOENT;
	return pick(3) == 0 ? -1 : 0;
}

static DIR *fake_opendir(void)
{
	effects++;
	if (pick(4) == 0) {
		errno = EACCES;
		return 0;
	}
	return opendir(".");
}

static int fake_nanosleep(void)
{
	effects++;
	errno = EINTR;
	return pick(2) ? 0 : -1;
}

static int fake_pause(void)
{
	effects++;
	siglongjmp(end, 1);
}

#define main sh_main
#define _exit(code) fake_exit(code)
#define write(to, bytes, n) fake_write(to, bytes, n)
#define symlink(target, name) ((void)strlen(target), (void)strlen(name), fake_change())
#define unlink(name) ((void)strlen(name), fake_change())
#define mkdir(name, mode) ((void)strlen(name), fake_change())
#define stat(name, s) ((void)strlen(name), fake_stat(s))
#define lstat(name, s) ((void)strlen(name), fake_stat(s))
#define opendir(name) ((void)strlen(name), fake_opendir())
#define nanosleep(time, left) ((void)(time)->tv_sec, fake_nanosleep())
#define pause() fake_pause()
#define sigaction(number, action, old) ((void)(action))
#define sigprocmask(how, set, old) ((void)(set))
#include "sh.c"

/* --- lines ---------------------------------------------------------------------------------------------------- */

static const char *const seeds[] = {
	"ln -sf /proc/$$/root/models /mnt/models && sleep infinity",
	"mkdir -p '/mnt/a b' && ln -sf /proc/$$/root/models '/mnt/it'\\''s' && sleep infinity",
	"echo 'Pre-fetching modelcar x: ' && [ -d /models ] && [ \"$(ls -A /models)\" ] && echo 'OK' || (echo 'NOK' && exit 1)",
	"ln -s /proc/$$/root/models \"/oci/m\" && echo \"Running\" && until [ -f \"/oci/done\" ]; do sleep 1; done",
	"ls /models >/dev/null", "(exit 3); while test ! -L x; do true; done 2>/dev/null",
	"echo $(ls -A1 .) a$(echo ' b ')c \"$(echo \"$(ls; echo x)\" 1>/dev/null)\"; [ ! \"$(ls)\" != a ]",
	"test -n a && [ -z '' ] || echo -n $(echo a; (false; exit)) b\\ c d\\\ne\n\n; sleep 0.5h",
	"until [ -e a ]\ndo\nmkdir -p a//b/ -- c; ln -sf a/ b; done && exit 255; echo \"\\$\\`\\\"\\\\\"",
};
static const char *const pieces[] = {
	"$(", "$( ", ")", "(", "\"", "'", "\\", "$$", "$", "`", " ", "\t", "\n", ";", "&&", "||", "&", "|", ">/dev/null", "2>/dev/null",
	">", "2>", "<", "while ", "until ", " do ", " done", "; do ", "; done", "[ ", " ]", "test ", "! ", " = ", " != ", "-d ", "-n ", "-L ",
	"echo ", "echo -n ", "ls ", "ls -A ", "ln -s ", "ln -sf ", "mkdir -p ", "sleep ", "sleep infinity", "true", "false", "exit ", "exit",
	"infinity", "0.1", "9d", "300", "--", "-", "*", "?", "[", "]", "~", "#", "=", "!", "{", "}", "\\\n", "''", "\"\"", "a", "/", ".", "\x80",
	"$(ls -A .)", "\"$(ls -A .)\"", "; true", " && false",
};

enum { ROOM = LINE + 4096 };
static char line[ROOM + 1];

static size_t put_in(size_t length, size_t at, const char *bytes, size_t n)
{
	if (length + n > ROOM)
		return length;
	memmove(line + at + n, line + at, length - at);
	memcpy(line + at, bytes, n);
	return length + n;
}

static void make_line(void)
{
	static char part[ROOM];
	const char *seed = seeds[pick(sizeof seeds / sizeof *seeds)];
	size_t length = pick(8) ? put_in(0, 0, seed, strlen(seed)) : 0;

	for (unsigned changes = pick(pick(4) ? 4 : 40); changes; changes--) {
		size_t at = pick((unsigned)length + 1), n = pick(16) + 1, to;
		const char *piece = pieces[pick(sizeof pieces / sizeof *pieces)];
		char byte = (char)(pick(255) + 1);
		switch (pick(8)) {
		case 0: /* a byte goes */
			if (at < length)
				memmove(line + at, line + at + 1, length-- - at - 1);
			break;
		case 1: /* another byte */
			if (at < length)
				line[at] = byte;
			break;
		case 2: /* all of it once more, or often */
			memcpy(part, line, length);
			for (unsigned times = pick(10) ? 1 : pick(200); times; times--) {
				length = put_in(length, length, "; ", 2);
				length = put_in(length, length, part, strlen(seed) < length ? strlen(seed) : length);
			}
			break;
		case 3: /* all of it inside of something */
			for (unsigned times = pick(10) ? 1 : pick(50); times; times--) {
				static const char *const around[][2] = {
					{ "(", ")" }, { "echo \"$( ", ")\"" }, { "echo $( ", ")" }, { "[ \"$( ", ")\" ]" },
					{ "while ", "; do exit; done" }, { "until true; do ", "; done" }, { "\"", "\"" },
				};
				const char *const *pair = around[pick(7)];
				length = put_in(length, 0, pair[0], strlen(pair[0]));
				length = put_in(length, length, pair[1], strlen(pair[1]));
			}
			break;
		case 4: /* a part of it elsewhere */
			n = n < length - at ? n : length - at;
			memcpy(part, line + at, n);
			to = pick((unsigned)length + 1);
			length = put_in(length, to, part, n);
			break;
		case 5: /* a long word */
			memset(part, pick(2) ? 'a' : byte, sizeof part);
			length = put_in(length, at, part, pick(20) ? n : pick(ROOM));
			break;
		default:
			length = put_in(length, at, piece, strlen(piece));
		}
	}
	line[length] = 0;
}

/* --- runs ----------------------------------------------------------------------------------------------------- */

static void give_up(int number)
{
	signal(number, give_up);
	siglongjmp(end, 2);
}

static void reset(void)
{
	depth = status = leaving = silent = loose = cut = nwords = inside = overflow = broken = 0;
	ntext = noutput = 0;
	effects = refused = 0;
	complaint[0] = 0;
}

static void wrong(const char *what)
{
	printf("wrong: %s\nline: <<<%s>>>\ncomplaint: %s\n", what, line, complaint);
	exit(1);
}

static void limit_time(long microseconds)
{
	struct itimerval limit = { { 0, 0 }, { 0, microseconds } };

	setitimer(ITIMER_VIRTUAL, &limit, 0);
}

/* Checks the line as main() does first. Returns whether it is understood. */
static int check(void)
{
	reset();
	if (!sigsetjmp(end, 1)) {
		p = line;
		skip_lines();
		if (*p)
			list(0);
		if (*p)
			refuse("can't go on at", p);
		if (depth || ntext || nwords || noutput || inside || silent || loose || cut || leaving)
			wrong("something is left of the check");
	}
	if (effects)
		wrong("the check did something");
	return !refused;
}

/* All of it. Returns whether it came to an end by itself. */
static int run(int argc, char **argv)
{
	int how;

	reset();
	how = sigsetjmp(end, 1);
	if (!how) {
		limit_time(20000);
		sh_main(argc, argv);
		limit_time(0);
		if (depth || ntext || nwords || noutput || inside || silent || loose || cut)
			wrong("something is left of the run");
		if (status < 0 || status > 255)
			wrong("a strange exit code");
		return 1;
	}
	limit_time(0);
	if (refused) {
		size_t n = strlen(complaint);
		if (n == 0 || complaint[n - 1] != '\n' || memchr(complaint, '\n', n - 1) || !strstr(complaint, "--base ubi9/ubi-micro\n"))
			wrong("a refusal that isn't one line with the advice");
	}
	return how == 1;
}

static void by_name_of_command(void)
{
	static char *words_of_line[64];
	int n = 1;

	words_of_line[0] = (char *)builtins[pick(sizeof builtins / sizeof *builtins)].name;
	for (char *word = strtok(line, " \n"); word && n < 60; word = strtok(0, " \n"))
		words_of_line[n++] = word;
	words_of_line[n] = 0;
	run(n, words_of_line);
}

static int fuzz(int argc, char **argv)
{
	unsigned long lines = 0, understood = 0, unended = 0;
	time_t until = time(0) + (argc > 2 ? atol(argv[2]) : 1);
	char *call[] = { "sh", "-c", line, 0 };

	state = 88172645463325252ULL + (argc > 1 ? strtoull(argv[1], 0, 10) : 0) * 2654435761ULL;
	signal(SIGVTALRM, give_up);
	while (lines % 64 || time(0) < until) {
		lines++;
		make_line();
		if (pick(10) == 0) {
			by_name_of_command();
			continue;
		}
		if (check()) {
			understood++;
			unended += !run(3, call);
			if (refused && !strstr(line, "$(") && line[0] != '-' && line[0] != '+' && strlen(line) <= LINE)
				wrong("it was refused only as it ran");
		} else if (pick(4) == 0) {
			run(3, call);
			if (!refused || effects)
				wrong("it did something of what it can't do");
		}
	}
	printf("%lu lines, %lu understood, %lu of them without an end\n", lines, understood, unended);
	return 0;
}

#undef main
int main(int argc, char **argv)
{
	return fuzz(argc, argv);
}
