// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the KUnit suites do not reach: programs that user space attaches to the kernel or
 * has the kernel patch, and what perf is told about code. Built with the nolibc of the
 * kernel tree. Prints "bpf-smoke: <name> " and "ok", "FAIL <why>" or "skip <why>", then
 * how many failed. usage: bpf-smoke ADDRESS-OF-_stext ADDRESS-OF-_etext
 */
#include "nolibc.h"
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/perf_event.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PTR(p) ((__u64)(unsigned long)(p))

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV(d, i)		INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_R(d, s)		INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD(d, i)		INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define ADD_R(d, s)		INSN(BPF_ALU64 | BPF_ADD | BPF_X, d, s, 0, 0)
#define AND(d, i)		INSN(BPF_ALU64 | BPF_AND | BPF_K, d, 0, 0, i)
#define LOW32(d)		INSN(BPF_ALU | BPF_MOV | BPF_X, d, d, 0, 0)
#define LOAD(d, s, o)		INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE32(d, o, i)	INSN(BPF_ST | BPF_MEM | BPF_W, d, 0, o, i)
#define COUNT(d, s)		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, d, s, 0, BPF_ADD)
#define SKIP_NE(d, i, n)	INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, n, i)
#define HELPER(n)		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, n)
#define CALL(n)			INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, n)
#define EXIT			INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MAP(d, fd)		INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), \
				INSN(0, 0, 0, 0, 0)
/* r0 = the element of the array fd, or the program ends. */
#define ELEMENT(fd)		STORE32(BPF_REG_10, -4, 0), MOV_R(BPF_REG_2, BPF_REG_10), \
				ADD(BPF_REG_2, -4), MAP(BPF_REG_1, fd), \
				HELPER(BPF_FUNC_map_lookup_elem), SKIP_NE(BPF_REG_0, 0, 1), EXIT

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

static char why[256];

/* What a check returns; the first thing that is wrong is what is printed. */
#define FAIL_IF(cond, ...) do {							\
	if (cond) {								\
		snprintf(why, sizeof(why), __VA_ARGS__);			\
		return 1;							\
	}									\
} while (0)
#define EXPECT(what, got, want) do {						\
	unsigned long long _got = (got), _want = (want);			\
	FAIL_IF(_got != _want, "%s: %llu, expected %llu", what, _got, _want);	\
} while (0)

static long bpf(int cmd, union bpf_attr *attr)
{
	return __sysret(syscall(__NR_bpf, cmd, attr, sizeof(*attr)));
}

static int map_create(int type, int entries, int value_size)
{
	union bpf_attr attr = {
		.map_type = type, .key_size = 4, .value_size = value_size, .max_entries = entries,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

static __u64 map_read(int fd)
{
	__u64 value = ~0ULL;
	__u32 key = 0;
	union bpf_attr attr = { .map_fd = fd, .key = PTR(&key), .value = PTR(&value) };

	bpf(BPF_MAP_LOOKUP_ELEM, &attr);
	return value;
}

static int map_write(int fd, __u32 key, const void *value)
{
	union bpf_attr attr = { .map_fd = fd, .key = PTR(&key), .value = PTR(value) };

	return bpf(value ? BPF_MAP_UPDATE_ELEM : BPF_MAP_DELETE_ELEM, &attr);
}

static int load_for(int type, int attach, int btf_id, const struct bpf_insn *insns, int n)
{
	union bpf_attr attr = {
		.prog_type = type, .expected_attach_type = attach, .attach_btf_id = btf_id,
		.insns = PTR(insns), .insn_cnt = n, .license = PTR("GPL"),
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

static int load(int type, const struct bpf_insn *insns, int n)
{
	return load_for(type, 0, 0, insns, n);
}

/* What the program returns, or -1. */
static long long run(int fd, int repeat)
{
	static char data[64];
	union bpf_attr attr = { .test = {
		.prog_fd = fd, .repeat = repeat, .data_in = PTR(data), .data_size_in = sizeof(data),
	} };

	return bpf(BPF_PROG_TEST_RUN, &attr) < 0 ? -1 : (long long)attr.test.retval;
}

/* Runs a program that wants no data. */
static long long run_ctx(int fd, const void *ctx, int size)
{
	union bpf_attr attr = { .test = {
		.prog_fd = fd, .ctx_in = PTR(ctx), .ctx_size_in = size,
	} };

	return bpf(BPF_PROG_TEST_RUN, &attr) < 0 ? -1 : (long long)attr.test.retval;
}

static int attach(int prog)
{
	union bpf_attr attr = { .raw_tracepoint.prog_fd = prog };

	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

static char types[32 << 20];

/* Returns whether the kernel has types, by which functions are found. */
static int read_types(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	ssize_t n, size = 0;

	if (fd < 0)
		return 0;
	while ((n = read(fd, types + size, sizeof(types) - size)) > 0)
		size += n;
	close(fd);
	return 1;
}

/* The number of a named type of the kernel, as the verifier wants it; 0 if not found. */
static int btf_id(const char *name, unsigned int kind)
{
	static const unsigned char extra[] = {
		[BTF_KIND_INT] = 4, [BTF_KIND_ARRAY] = 12, [BTF_KIND_VAR] = 4, [BTF_KIND_DECL_TAG] = 4,
	};
	static const unsigned char each[] = {
		[BTF_KIND_STRUCT] = 12, [BTF_KIND_UNION] = 12, [BTF_KIND_ENUM] = 8,
		[BTF_KIND_FUNC_PROTO] = 8, [BTF_KIND_DATASEC] = 12, [BTF_KIND_ENUM64] = 12,
	};
	const struct btf_header *h = (void *)types;
	unsigned int at, k;
	int id = 1;

	for (at = 0; at < h->type_len; id++) {
		const struct btf_type *t = (void *)(types + h->hdr_len + h->type_off + at);

		k = BTF_INFO_KIND(t->info);
		if (k == kind && !strcmp(types + h->hdr_len + h->str_off + t->name_off, name))
			return id;
		at += sizeof(*t);
		at += k < sizeof(extra) ? extra[k] : 0;
		at += k < sizeof(each) ? each[k] * BTF_INFO_VLEN(t->info) : 0;
	}
	return 0;
}

/* Seven functions deep, called twice; each adds one to what the next one returns. */
static int subprograms(void)
{
	struct bpf_insn p[64] = {
		MOV(R1, 5), CALL(5), MOV_R(R6, R0), MOV(R1, 100), CALL(2), ADD_R(R0, R6), EXIT,
	};
	int n = 7, i, fd;

	for (i = 0; i < 6; i++) {
		p[n++] = CALL(2);
		p[n++] = ADD(R0, 1);
		p[n++] = EXIT;
	}
	p[n++] = MOV_R(R0, R1);
	p[n++] = ADD(R0, 1);
	p[n++] = EXIT;
	fd = load(BPF_PROG_TYPE_SOCKET_FILTER, p, n);
	FAIL_IF(fd < 0, "load: error %d", errno);
	EXPECT("result", run(fd, 1), 5 + 7 + 100 + 7);
	close(fd);
	return 0;
}

static int load_tail_call(int progs, int counter, int index, int otherwise)
{
	struct bpf_insn p[] = {
		MOV_R(R6, R1), ELEMENT(counter), MOV(R7, 1), COUNT(R0, R7),
		MOV_R(R1, R6), MAP(R2, progs), MOV(R3, index), HELPER(BPF_FUNC_tail_call),
		MOV(R0, otherwise), EXIT,
	};

	return load(BPF_PROG_TYPE_SOCKET_FILTER, p, ARRAY_SIZE(p));
}

/* The jump with a constant index is rewritten whenever the entry changes. */
static int tail_call(void)
{
	int progs = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4);
	int counter = map_create(BPF_MAP_TYPE_ARRAY, 1, 8);
	int caller = load_tail_call(progs, counter, 2, 1);
	int target[2] = {
		load_tail_call(progs, counter, 3, 11), load_tail_call(progs, counter, 3, 22),
	};
	int i;

	FAIL_IF(progs < 0 || counter < 0, "maps: error %d", errno);
	FAIL_IF(caller < 0 || target[0] < 0 || target[1] < 0, "load: error %d", errno);
	EXPECT("result without an entry", run(caller, 1), 1);
	for (i = 0; i < 20; i++) {
		FAIL_IF(map_write(progs, 2, &target[i % 2]), "entry: error %d", errno);
		EXPECT("result with an entry", run(caller, 1), i % 2 ? 22 : 11);
	}
	FAIL_IF(map_write(progs, 2, NULL), "no entry: error %d", errno);
	EXPECT("result when the entry is gone", run(caller, 1), 1);
	EXPECT("programs that ran", map_read(counter), 1 + 20 * 2 + 1);

	/* Into itself, until the limit: once, and 33 tail calls. */
	FAIL_IF(map_write(progs, 2, &caller), "entry: error %d", errno);
	EXPECT("result at the limit", run(caller, 1), 1);
	EXPECT("programs that ran at the limit", map_read(counter), 42 + 34);
	FAIL_IF(map_write(progs, 2, NULL), "no entry: error %d", errno);
	for (i = 0; i < 2; i++)
		close(target[i]);
	close(caller);
	close(counter);
	close(progs);
	return 0;
}

/* XDP programs are called through the dispatcher, which is rewritten for each. */
static int dispatcher(void)
{
	int fd[8], i;

	for (i = 0; i < 8; i++) {
		struct bpf_insn p[] = { MOV(R0, 100 + i), EXIT };

		fd[i] = load(BPF_PROG_TYPE_XDP, p, ARRAY_SIZE(p));
		FAIL_IF(fd[i] < 0, "load: error %d", errno);
		EXPECT("result", run(fd[i], 3), 100 + i);
	}
	while (--i >= 0) {
		EXPECT("result again", run(fd[i], 3), 100 + i);
		close(fd[i]);
	}
	return 0;
}

/* Four run programs through the dispatcher while four others have it rewritten, twice a run. */
static int dispatcher_in_use(void)
{
	enum { PROCESSES = 8, ROUNDS = 20 };
	volatile int *stop = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pid[PROCESSES], wrong = 0, status, fd, i, j;

	FAIL_IF(stop == MAP_FAILED, "mmap: error %d", errno);
	for (i = 0; i < PROCESSES; i++) {
		struct bpf_insn p[] = { MOV(R0, 100 + i), EXIT };

		pid[i] = fork();
		FAIL_IF(pid[i] < 0, "fork: error %d", errno);
		if (pid[i])
			continue;
		for (j = 0; i % 2 && j < ROUNDS; j++) {
			fd = load(BPF_PROG_TYPE_XDP, p, ARRAY_SIZE(p));
			wrong += run(fd, 3) != 100 + i;
			close(fd);
		}
		if (i % 2)
			exit(!!wrong);
		fd = load(BPF_PROG_TYPE_XDP, p, ARRAY_SIZE(p));
		do {
			wrong += run(fd, 1) != 100 + i;
			/* Emulators keep an int3 that they translate while it is written over. */
			usleep(300);
		} while (!*stop);
		exit(!!wrong);
	}
	for (i = 1; i < PROCESSES; i += 2)
		wrong += waitpid(pid[i], &status, 0) != pid[i] || status;
	*stop = 1;
	for (i = 0; i < PROCESSES; i += 2)
		wrong += waitpid(pid[i], &status, 0) != pid[i] || status;
	EXPECT("processes with a wrong result", wrong, 0);
	munmap((void *)stop, getpagesize());
	return 0;
}

/*
 * The kernel has functions for this: a test run of a tracing program calls, among
 * others, bpf_fentry_test6(16, 17, (short)18, (int)19, 20, 21), which returns the sum.
 */
#define SUM 111

static int fentry(void)
{
	int seen = map_create(BPF_MAP_TYPE_ARRAY, 1, 8), returned = map_create(BPF_MAP_TYPE_ARRAY, 1, 8);
	/* Of a shorter argument the upper part is not defined. */
	struct bpf_insn at_entry[] = {
		LOAD(R6, R1, 0), LOAD(R2, R1, 8), ADD_R(R6, R2), LOAD(R2, R1, 16), AND(R2, 0xffff),
		ADD_R(R6, R2), LOAD(R2, R1, 24), LOW32(R2), ADD_R(R6, R2), LOAD(R2, R1, 32),
		ADD_R(R6, R2), LOAD(R2, R1, 40), ADD_R(R6, R2),
		ELEMENT(seen), COUNT(R0, R6), MOV(R0, 0), EXIT,
	};
	struct bpf_insn at_exit[] = {
		LOAD(R6, R1, 48), LOW32(R6), ELEMENT(returned), COUNT(R0, R6), MOV(R0, 0), EXIT,
	};
	int id = btf_id("bpf_fentry_test6", BTF_KIND_FUNC), entry, exit, link[2], i;

	FAIL_IF(!id, "the kernel has no type of its function");
	entry = load_for(BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, id, at_entry, ARRAY_SIZE(at_entry));
	FAIL_IF(entry < 0, "load: error %d", errno);
	exit = load_for(BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, id, at_exit, ARRAY_SIZE(at_exit));
	FAIL_IF(exit < 0, "load of fexit: error %d", errno);
	for (i = 1; i <= 10; i++) {
		link[0] = attach(entry);
		FAIL_IF(link[0] < 0, "attach: error %d", errno);
		EXPECT("run with fentry", run_ctx(entry, NULL, 0), 0);
		link[1] = attach(exit);
		FAIL_IF(link[1] < 0, "attach of fexit: error %d", errno);
		EXPECT("run with both", run_ctx(entry, NULL, 0), 0);
		close(link[0]);
		EXPECT("run with fexit", run_ctx(entry, NULL, 0), 0);
		close(link[1]);
		EXPECT("run with none", run_ctx(entry, NULL, 0), 0);
		EXPECT("sum of arguments", map_read(seen), i * 2 * SUM);
		EXPECT("sum of results", map_read(returned), i * 2 * SUM);
	}
	close(entry);
	close(exit);
	close(seen);
	close(returned);
	return 0;
}

/* The second function of bpf_dummy_ops: (state, int, unsigned short, char, unsigned long) */
static int struct_ops(void)
{
	int state = 0;
	__u64 args[] = { PTR(&state), 1000, 200, 30, 4 };
	struct bpf_insn p[] = {
		LOAD(R0, R1, 8), LOW32(R0), LOAD(R2, R1, 16), AND(R2, 0xffff), ADD_R(R0, R2),
		LOAD(R2, R1, 24), AND(R2, 0xff), ADD_R(R0, R2), LOAD(R2, R1, 32), ADD_R(R0, R2), EXIT,
	};
	int fd, i;

	fd = load_for(BPF_PROG_TYPE_STRUCT_OPS, 1, btf_id("bpf_dummy_ops", BTF_KIND_STRUCT),
		      p, ARRAY_SIZE(p));
	FAIL_IF(fd < 0, "load: error %d", errno);
	for (i = 0; i < 10; i++)
		EXPECT("result", run_ctx(fd, args, sizeof(args)), 1234);
	close(fd);
	return 0;
}

/* --- what perf is told about code --- */

enum { RINGS = 16, RING_PAGES = 64, RECORDS = 8192, SYMBOLS = 512 };

struct record {
	struct perf_event_header head;
	__u64 addr;
	union {
		struct {
			__u32 len;
			__u16 type, flags;
			char name[];
		} symbol;
		struct {
			__u16 old_len, new_len;
		} text;
	};
};

/* Whether the kernel has types; what lies between _stext and _etext has other symbols. */
static int have_types;
static __u64 stext, etext;

static struct perf_event_mmap_page *ring[RINGS];
static struct { __u64 time; struct record *r; } record[RECORDS];
static struct { __u64 addr; __u32 len; } symbol[SYMBOLS];
static int records, symbols;

static int open_rings(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_DUMMY, .size = sizeof(attr),
		.sample_type = PERF_SAMPLE_TIME, .sample_id_all = 1, .ksymbol = 1, .text_poke = 1,
	};
	int n, fd;

	for (n = 0; n < RINGS; n++) {
		fd = syscall(__NR_perf_event_open, &attr, -1, n, -1, 0);
		if (fd < 0)
			break;
		ring[n] = mmap(NULL, (RING_PAGES + 1) * getpagesize(), PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);
		if (ring[n] == MAP_FAILED)
			break;
	}
	return n;
}

/* Sorts the records by time. As nobody takes any out, a ring ends when it is full. */
static void read_ring(const struct perf_event_mmap_page *ring)
{
	char *data = (char *)ring + ring->data_offset;
	struct record *r;
	__u64 at, time;
	int i;

	for (at = 0; at < ring->data_head && records < RECORDS; at += r->head.size) {
		r = (void *)(data + at);
		time = *(__u64 *)(data + at + r->head.size - 8);
		for (i = records++; i && record[i - 1].time > time; i--)
			record[i] = record[i - 1];
		record[i].time = time;
		record[i].r = r;
	}
}

/*
 * On most instructions of a function there can be a probe, which needs a slot. A tracer
 * of one function has a trampoline of its own (x86).
 */
static int slots_and_tracer(void)
{
	char *script[] = { "sh", "-ec",
		"cd /sys/kernel/tracing; n=0\n"
		"for i in $(seq 63); do\n"
		"	[ $n = 8 ] || ! echo p:smoke/p$n do_sys_openat2+$i >>kprobe_events || n=$((n + 1))\n"
		"done 2>/dev/null\n"
		"echo 1 >events/smoke/enable; cat /proc/self/stat >/dev/null; echo 0 >events/smoke/enable\n"
		"while [ $n != 0 ]; do n=$((n - 1)); echo -:smoke/p$n >>kprobe_events; done\n"
		"mkdir instances/smoke 2>/dev/null || exit 0\n"
		"echo do_sys_openat2 >instances/smoke/set_ftrace_filter\n"
		"echo function >instances/smoke/current_tracer; cat /proc/self/stat >/dev/null\n"
		"echo nop >instances/smoke/current_tracer; rmdir instances/smoke\n", NULL };
	int status, pid = fork();

	if (!pid)
		exit(execve("/bin/sh", script, environ));
	FAIL_IF(waitpid(pid, &status, 0) != pid || status, "probes or tracer: status %x", status);
	return 0;
}

/* The number of the symbol that overlaps these addresses, or of none. */
static int find_symbol(__u64 addr, __u32 len)
{
	int i;

	for (i = 0; i < symbols; i++) {
		if (addr < symbol[i].addr + symbol[i].len && symbol[i].addr < addr + len)
			break;
	}
	return i;
}

static int check_symbol(const struct record *r)
{
	int i = find_symbol(r->addr, r->symbol.len);

	if (!(r->symbol.flags & PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER)) {
		FAIL_IF(i < symbols, "%s at %lx overlaps the one at %lx", r->symbol.name,
			(long)r->addr, (long)symbol[i].addr);
		FAIL_IF(symbols == SYMBOLS, "too many symbols");
		symbol[symbols].addr = r->addr;
		symbol[symbols++].len = r->symbol.len;
	} else if (i < symbols) {
		FAIL_IF(symbol[i].addr != r->addr || symbol[i].len != r->symbol.len,
			"%s at %lx had %u bytes and goes with %u", r->symbol.name,
			(long)r->addr, symbol[i].len, r->symbol.len);
		symbol[i] = symbol[--symbols];
	}
	return 0;
}

static int check_text(const struct record *r)
{
	__u32 len = r->text.new_len > r->text.old_len ? r->text.new_len : r->text.old_len;
	int i = find_symbol(r->addr, len);

	FAIL_IF(i == symbols || r->addr < symbol[i].addr ||
		r->addr + len > symbol[i].addr + symbol[i].len,
		"text of %u to %u bytes at %lx without a symbol", r->text.old_len,
		r->text.new_len, (long)r->addr);
	return 0;
}

/*
 * perf files text under the symbol that it falls into: a symbol is announced before its
 * text and goes after it, with the size that it had, and symbols do not overlap.
 */
static int perf_records(void)
{
	int rings = open_rings(), seen = 0, i;

	FAIL_IF(!rings, "no ring: error %d", errno);
	FAIL_IF(etext <= stext, "where is the kernel's text?");
	if (slots_and_tracer() || subprograms() || dispatcher() ||
	    (have_types && (fentry() || struct_ops())))
		return 1;
	sleep(2);
	for (i = 0; i < rings; i++)
		read_ring(ring[i]);
	FAIL_IF(records == RECORDS, "too many records");
	for (i = 0; i < records; i++) {
		const struct record *r = record[i].r;

		FAIL_IF(r->head.type == PERF_RECORD_LOST, "records were lost");
		seen += r->head.type == PERF_RECORD_KSYMBOL;
		if (r->head.type == PERF_RECORD_KSYMBOL && check_symbol(r))
			return 1;
		if (r->head.type == PERF_RECORD_TEXT_POKE && (r->addr < stext || r->addr >= etext) &&
		    check_text(r))
			return 1;
	}
	FAIL_IF(!seen, "no symbol was announced");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
		int needs_types;
	} checks[] = {
		{ "tail_call", tail_call, 0 }, { "dispatcher_in_use", dispatcher_in_use, 0 },
		{ "fentry", fentry, 1 }, { "struct_ops", struct_ops, 1 },
		{ "perf_records", perf_records, 0 },
	};
	int failed = 0, bad;
	unsigned int i;

	if (argc > 2) {
		stext = strtoul(argv[1], NULL, 16);
		etext = strtoul(argv[2], NULL, 16);
	}
	have_types = read_types();
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		bad = 0;
		if (checks[i].needs_types && !have_types) {
			printf("bpf-smoke: %s skip the kernel has no types\n", checks[i].name);
		} else {
			bad = checks[i].run();
			printf("bpf-smoke: %s %s%s\n", checks[i].name, bad ? "FAIL " : "ok", bad ? why : "");
		}
		failed += bad;
	}
	printf("bpf-smoke: %d failed\n", failed);
	return failed != 0;
}
