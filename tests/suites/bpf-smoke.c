// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads, attaches and runs BPF programs of each kind whose code the kernel writes or
 * changes, by bpf(2) alone, and checks what they computed. Built with the nolibc of
 * the kernel tree. Prints "bpf-smoke: <name> " and "ok", "FAIL <why>" or "skip <why>",
 * then how many failed; exits 1 if any did.
 */
#include "nolibc.h"
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
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
#define SHR(d, i)		INSN(BPF_ALU64 | BPF_RSH | BPF_K, d, 0, 0, i)
#define LOAD(d, s, o)		INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE(d, s, o)		INSN(BPF_STX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE32(d, o, i)	INSN(BPF_ST | BPF_MEM | BPF_W, d, 0, o, i)
#define COUNT(d, s)		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, d, s, 0, BPF_ADD)
#define SKIP_NE(d, i, n)	INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, n, i)
#define SKIP_EQ(d, i, n)	INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, n, i)
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
static int failed;

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

static int attach_raw(int prog, const char *name)
{
	union bpf_attr attr = { .raw_tracepoint = { .name = PTR(name), .prog_fd = prog } };

	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

/* The number of a named type of the kernel, as the verifier wants it; 0 if not found. */
static int btf_id(const char *name, int kind)
{
	static const unsigned char extra[] = {
		[BTF_KIND_INT] = 4, [BTF_KIND_ARRAY] = 12, [BTF_KIND_VAR] = 4, [BTF_KIND_DECL_TAG] = 4,
	};
	static const unsigned char each[] = {
		[BTF_KIND_STRUCT] = 12, [BTF_KIND_UNION] = 12, [BTF_KIND_ENUM] = 8,
		[BTF_KIND_FUNC_PROTO] = 8, [BTF_KIND_DATASEC] = 12, [BTF_KIND_ENUM64] = 12,
	};
	static char *btf;
	struct btf_header *h;
	struct btf_type *t;
	unsigned int at, k;
	ssize_t n, size = 0;
	int fd, id = 1;

	if (!btf) {
		fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
		if (fd < 0)
			return 0;
		btf = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		while ((n = read(fd, btf + size, (32 << 20) - size)) > 0)
			size += n;
		close(fd);
	}
	h = (struct btf_header *)btf;
	for (at = 0; at < h->type_len; id++) {
		t = (struct btf_type *)(btf + h->hdr_len + h->type_off + at);
		k = BTF_INFO_KIND(t->info);
		if (k == (unsigned int)kind && !strcmp(btf + h->hdr_len + h->str_off + t->name_off, name))
			return id;
		at += sizeof(*t);
		at += k < sizeof(extra) ? extra[k] : 0;
		at += k < sizeof(each) ? each[k] * BTF_INFO_VLEN(t->info) : 0;
	}
	return 0;
}

static int returns(void)
{
	struct bpf_insn p[] = { MOV(R0, 42), EXIT };
	int fd = load(BPF_PROG_TYPE_SOCKET_FILTER, p, ARRAY_SIZE(p));

	FAIL_IF(fd < 0, "load: error %d", errno);
	EXPECT("result", run(fd, 1), 42);
	close(fd);
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

/* Counts in a map what this process does; what others do is not counted. */
#define COUNT_OWN(counter) \
	HELPER(BPF_FUNC_get_current_pid_tgid), SHR(R0, 32), \
	SKIP_EQ(R0, getpid(), 2), MOV(R0, 0), EXIT, \
	ELEMENT(counter), MOV(R7, 1), COUNT(R0, R7), MOV(R0, 0), EXIT

static int raw_tracepoint(void)
{
	int counter = map_create(BPF_MAP_TYPE_ARRAY, 1, 8);
	struct bpf_insn p[] = {
		/* sys_enter(regs, number) */
		LOAD(R6, R1, 8), SKIP_EQ(R6, __NR_getppid, 2), MOV(R0, 0), EXIT,
		COUNT_OWN(counter),
	};
	int fd = load(BPF_PROG_TYPE_RAW_TRACEPOINT, p, ARRAY_SIZE(p));
	int link, i;

	FAIL_IF(fd < 0, "load: error %d", errno);
	link = attach_raw(fd, "sys_enter");
	FAIL_IF(link < 0, "attach: error %d", errno);
	for (i = 0; i < 20; i++)
		getppid();
	close(link);
	getppid();
	EXPECT("hits", map_read(counter), 20);
	close(fd);
	close(counter);
	return 0;
}

static int read_number(const char *path)
{
	char buf[32] = "";
	int fd = open(path, O_RDONLY);

	read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return atoi(buf);
}

/* Both call a function of the kernel each time that no other check here counts. */
static void read_and_write_nothing(int times)
{
	int fd[2];

	pipe(fd);
	while (times--) {
		read(fd[0], fd, 0);
		write(fd[1], fd, 0);
	}
	close(fd[0]);
	close(fd[1]);
}

static int probe(int at_return)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr), .config = at_return, .config1 = PTR("vfs_read"),
		.type = read_number("/sys/bus/event_source/devices/kprobe/type"),
	};
	int counter = map_create(BPF_MAP_TYPE_ARRAY, 1, 8);
	struct bpf_insn p[] = { COUNT_OWN(counter) };
	int fd = load(BPF_PROG_TYPE_KPROBE, p, ARRAY_SIZE(p));
	int event, i;

	FAIL_IF(!attr.type, "no kprobe events");
	FAIL_IF(fd < 0, "load: error %d", errno);
	for (i = 1; i <= 3; i++) {
		event = syscall(__NR_perf_event_open, &attr, -1, 0, -1, 0);
		FAIL_IF(event < 0, "event: error %d", errno);
		FAIL_IF(ioctl(event, PERF_EVENT_IOC_SET_BPF, fd) < 0, "attach: error %d", errno);
		FAIL_IF(ioctl(event, PERF_EVENT_IOC_ENABLE, 0) < 0, "enable: error %d", errno);
		read_and_write_nothing(10);
		close(event);
		read_and_write_nothing(1);
		EXPECT("hits", map_read(counter), i * 10);
	}
	close(fd);
	close(counter);
	return 0;
}

static int kprobe(void)
{
	return probe(0);
}

static int kretprobe(void)
{
	return probe(1);
}

static int kprobe_multi(void)
{
	static const char * const names[] = { "vfs_read", "vfs_write" };
	union bpf_attr attr = { 0 };
	int counter = map_create(BPF_MAP_TYPE_ARRAY, 1, 8);
	struct bpf_insn p[] = { COUNT_OWN(counter) };
	int fd = load_for(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, 0, p, ARRAY_SIZE(p));
	int link;

	FAIL_IF(fd < 0, "load: error %d", errno);
	attr.link_create.prog_fd = fd;
	attr.link_create.attach_type = BPF_TRACE_KPROBE_MULTI;
	attr.link_create.kprobe_multi.syms = PTR(names);
	attr.link_create.kprobe_multi.cnt = ARRAY_SIZE(names);
	link = bpf(BPF_LINK_CREATE, &attr);
	FAIL_IF(link < 0, "attach: error %d", errno);
	read_and_write_nothing(10);
	close(link);
	read_and_write_nothing(1);
	EXPECT("hits", map_read(counter), 20);
	close(fd);
	close(counter);
	return 0;
}

/*
 * The kernel has functions for this: a test run of a tracing program calls, among
 * others, bpf_fentry_test6(16, 17, (short)18, (int)19, 20, 21), which returns the sum.
 */
#define SUM 111

static int load_tracing(int attach, const char *function, const struct bpf_insn *p, int n)
{
	int id = btf_id(function, BTF_KIND_FUNC);

	if (!id) {
		SET_ERRNO(ENOENT);
		return -1;
	}
	return load_for(BPF_PROG_TYPE_TRACING, attach, id, p, n);
}

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
	int entry, exit, link[2], i;

	FAIL_IF(!btf_id("bpf_fentry_test6", BTF_KIND_FUNC), "the kernel has no type of its function");
	entry = load_tracing(BPF_TRACE_FENTRY, "bpf_fentry_test6", at_entry, ARRAY_SIZE(at_entry));
	FAIL_IF(entry < 0, "load: error %d", errno);
	exit = load_tracing(BPF_TRACE_FEXIT, "bpf_fentry_test6", at_exit, ARRAY_SIZE(at_exit));
	FAIL_IF(exit < 0, "load of fexit: error %d", errno);
	for (i = 1; i <= 10; i++) {
		link[0] = attach_raw(entry, NULL);
		FAIL_IF(link[0] < 0, "attach: error %d", errno);
		EXPECT("run with fentry", run_ctx(entry, NULL, 0), 0);
		link[1] = attach_raw(exit, NULL);
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

/*
 * The run adds bpf_modify_return_test(1, &two), which we make 100, and another function's
 * 29; the upper half counts which of them had their effect.
 */
static int modify_return(void)
{
	struct bpf_insn p[] = { MOV(R0, 100), EXIT };
	int fd = load_tracing(BPF_MODIFY_RETURN, "bpf_modify_return_test", p, ARRAY_SIZE(p));
	int link;

	FAIL_IF(fd < 0, "load: error %d", errno);
	EXPECT("result before", run_ctx(fd, NULL, 0), 2 << 16 | (4 + 29));
	link = attach_raw(fd, NULL);
	FAIL_IF(link < 0, "attach: error %d", errno);
	EXPECT("result", run_ctx(fd, NULL, 0), 1 << 16 | (100 + 29));
	close(link);
	EXPECT("result after", run_ctx(fd, NULL, 0), 2 << 16 | (4 + 29));
	close(fd);
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

static int attach_filter(int fd, struct sock_filter *filter, int n)
{
	struct sock_fprog prog = { .len = n, .filter = filter };

	return __sysret(syscall(__NR_setsockopt, fd, 1 /* SOL_SOCKET */, 26 /* SO_ATTACH_FILTER */,
				&prog, sizeof(prog)));
}

/* How many bytes of a message arrive; -1: none. */
static int arrives(int fd[2], const char *text)
{
	char buf[32];

	if (write(fd[0], text, strlen(text)) != (ssize_t)strlen(text))
		return -2;
	return syscall(__NR_recvfrom, fd[1], buf, sizeof(buf), 0x40 /* MSG_DONTWAIT */, NULL, NULL);
}

static int classic_filter(void)
{
	/* Four bytes of what begins with an A, nothing else. */
	struct sock_filter small[] = {
		{ BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 }, { BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'A' },
		{ BPF_RET | BPF_K, 0, 0, 4 }, { BPF_RET | BPF_K, 0, 0, 0 },
	};
	/* The first byte plus one, many times over: as long as a program may be. */
	static struct sock_filter large[BPF_MAXINSNS];
	const int n = ARRAY_SIZE(large);
	int fd[2], i;

	FAIL_IF(__sysret(syscall(__NR_socketpair, 1 /* AF_UNIX */, 2 /* SOCK_DGRAM */, 0, fd)) < 0,
		"socketpair: error %d", errno);
	EXPECT("bytes without a filter", arrives(fd, "Another"), 7);
	FAIL_IF(attach_filter(fd[1], small, ARRAY_SIZE(small)) < 0, "attach: error %d", errno);
	EXPECT("bytes that pass", arrives(fd, "Another"), 4);
	EXPECT("bytes that do not", arrives(fd, "other"), -1);

	for (i = 1; i < n - 3; i++)
		large[i] = (struct sock_filter){ BPF_ALU | BPF_ADD | BPF_K, 0, 0, 1 };
	large[0] = small[0];
	large[n - 3] = (struct sock_filter){ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'B' + n - 4 };
	large[n - 2] = small[2];
	large[n - 1] = small[3];
	FAIL_IF(attach_filter(fd[1], large, n) < 0, "attach of a large one: error %d", errno);
	EXPECT("bytes that pass the large one", arrives(fd, "Bytes"), 4);
	EXPECT("bytes that do not pass it", arrives(fd, "Another"), -1);
	close(fd[0]);
	close(fd[1]);
	return 0;
}

/* Programs of many sizes, some with a function more. */
static int load_and_run(int process, int round)
{
	struct bpf_insn p[512];
	int fill = (process * 61 + round * 37) % 500, n = 0, fd;

	p[n++] = MOV(R0, process << 8);
	while (n <= fill)
		p[n++] = ADD(R0, 1);
	if (round % 2) {
		p[n++] = MOV_R(R1, R0);
		p[n++] = CALL(1);
		p[n++] = EXIT;
		p[n++] = MOV_R(R0, R1);
	}
	p[n++] = EXIT;
	fd = load(BPF_PROG_TYPE_SOCKET_FILTER, p, n);
	if (fd < 0 || run(fd, 1) != (process << 8) + fill)
		return 1;
	close(fd);
	return 0;
}

static int concurrent(void)
{
	enum { PROCESSES = 4, ROUNDS = 50 };
	int wrong = 0, ended = 0, status, i, j;

	for (i = 0; i < PROCESSES; i++) {
		if (fork() == 0) {
			for (j = 0; j < ROUNDS; j++)
				wrong += load_and_run(i, j);
			exit(!!wrong);
		}
	}
	while (waitpid(-1, &status, 0) > 0) {
		ended++;
		wrong += status != 0;
	}
	EXPECT("processes", ended, PROCESSES);
	EXPECT("processes with a wrong result", wrong, 0);
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

static struct perf_event_mmap_page *ring[RINGS];
static struct { __u64 time; struct record *r; } record[RECORDS];
static struct { __u64 addr; __u32 len; } symbol[SYMBOLS];

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

/* Copies, for a record may be in two parts. */
static int read_rings(int rings)
{
	int n = 0, i;

	for (i = 0; i < rings; i++) {
		char *data = (char *)ring[i] + ring[i]->data_offset;
		__u64 size = ring[i]->data_size, at = 0, end = ring[i]->data_head, j;

		while (at < end && n < RECORDS) {
			struct perf_event_header *h = (void *)(data + at % size);
			char *copy = malloc(h->size);

			for (j = 0; j < h->size; j++)
				copy[j] = data[(at + j) % size];
			record[n].r = (void *)copy;
			record[n++].time = *(__u64 *)(copy + h->size - 8);
			at += h->size;
		}
	}

	return n;
}

/* On most instructions of a function there can be a probe, which needs a slot. */
static int slots(void)
{
	char text[64];
	int on, n = 0, i;

	for (i = 1; i < 64 && n < 8; i++) {
		int fd = open("/sys/kernel/tracing/kprobe_events", O_WRONLY | O_APPEND);

		snprintf(text, sizeof(text), "p:smoke/p%d do_sys_openat2+%d", n, i);
		n += write(fd, text, strlen(text)) > 0;
		close(fd);
	}
	FAIL_IF(!n, "no probe can be set");
	on = open("/sys/kernel/tracing/events/smoke/enable", O_WRONLY);
	write(on, "1", 1);
	close(open("/proc/self/stat", O_RDONLY));
	write(on, "0", 1);
	close(on);
	while (n--) {
		int fd = open("/sys/kernel/tracing/kprobe_events", O_WRONLY | O_APPEND);

		snprintf(text, sizeof(text), "-:smoke/p%d", n);
		FAIL_IF(write(fd, text, strlen(text)) < 0, "a probe cannot be removed: %d", errno);
		close(fd);
	}

	return 0;
}

/* Its trampoline is made for it alone (x86). */
static int traced(void)
{
	const char *dir = "/sys/kernel/tracing/instances/smoke";
	int fd;

	if (mkdir(dir, 0755) < 0)
		return 0;
	fd = open("/sys/kernel/tracing/instances/smoke/set_ftrace_filter", O_WRONLY);
	write(fd, "do_sys_openat2", 14);
	close(fd);
	fd = open("/sys/kernel/tracing/instances/smoke/current_tracer", O_WRONLY);
	write(fd, "function", 8);
	close(open("/proc/self/stat", O_RDONLY));
	write(fd, "nop", 3);
	close(fd);
	rmdir(dir);

	return 0;
}

/* What lies between _stext and _etext, which has symbols of its own. */
static int kernel_text(__u64 *start, __u64 *end)
{
	static char buf[1 << 16];
	int fd = open("/proc/kallsyms", O_RDONLY), have = 0, n;
	char *line, *next;

	*start = *end = 0;
	while ((n = read(fd, buf + have, sizeof(buf) - 1 - have)) > 0 && !*end) {
		buf[have + n] = 0;
		for (line = buf; (next = strchr(line, '\n')); line = next + 1) {
			*next = 0;
			if (strlen(line) < 19)
				continue;
			if (!strcmp(line + 19, "_stext"))
				*start = strtoul(line, NULL, 16);
			if (!strcmp(line + 19, "_etext"))
				*end = strtoul(line, NULL, 16);
		}
		have = strlen(line);
		memmove(buf, line, have);
	}
	close(fd);

	return *end > *start;
}

/*
 * perf files text under the symbol that it falls into: a symbol is announced before its
 * text and goes after it, with the size that it had, and symbols do not overlap.
 */
static int perf_records(void)
{
	int rings = open_rings(), n, i, j, symbols = 0, seen = 0, texts = 0;
	__u64 start, end;

	FAIL_IF(!rings, "no ring: error %d", errno);
	FAIL_IF(!kernel_text(&start, &end), "kallsyms tells no addresses");
	if (slots() || traced() || subprograms() || kprobe() || dispatcher() || classic_filter())
		return 1;
	if (!access("/sys/kernel/btf/vmlinux", R_OK) && (fentry() || struct_ops()))
		return 1;
	sleep(2);
	n = read_rings(rings);
	FAIL_IF(n == RECORDS, "too many records");
	/* By time; few are out of order. */
	for (i = 1; i < n; i++) {
		for (j = i; j && record[j - 1].time > record[j].time; j--) {
			typeof(record[0]) other = record[j];

			record[j] = record[j - 1];
			record[j - 1] = other;
		}
	}
	for (i = 0; i < n; i++) {
		struct record *r = record[i].r;

		if (r->head.type == PERF_RECORD_LOST)
			FAIL_IF(1, "records were lost");
		if (r->head.type == PERF_RECORD_KSYMBOL) {
			char *name = r->symbol.name;

			for (j = 0; j < symbols; j++) {
				if (r->addr < symbol[j].addr + symbol[j].len &&
				    symbol[j].addr < r->addr + r->symbol.len)
					break;
			}
			if (!(r->symbol.flags & PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER)) {
				FAIL_IF(j < symbols, "%s at %lx overlaps the one at %lx", name,
					(long)r->addr, (long)symbol[j].addr);
				FAIL_IF(symbols == SYMBOLS, "too many symbols");
				symbol[symbols].addr = r->addr;
				symbol[symbols++].len = r->symbol.len;
				seen++;
			} else if (j < symbols) {
				FAIL_IF(symbol[j].addr != r->addr || symbol[j].len != r->symbol.len,
					"%s at %lx had %u bytes and goes with %u", name,
					(long)r->addr, symbol[j].len, r->symbol.len);
				symbol[j] = symbol[--symbols];
			}
		}
		if (r->head.type == PERF_RECORD_TEXT_POKE && (r->addr < start || r->addr >= end)) {
			__u32 len = r->text.new_len > r->text.old_len ? r->text.new_len : r->text.old_len;

			texts++;
			for (j = 0; j < symbols; j++) {
				if (r->addr >= symbol[j].addr &&
				    r->addr + len <= symbol[j].addr + symbol[j].len)
					break;
			}
			FAIL_IF(j == symbols, "text of %u to %u bytes at %lx without a symbol",
				r->text.old_len, r->text.new_len, (long)r->addr);
		}
	}
	FAIL_IF(!seen, "no symbol was announced");
	snprintf(why, sizeof(why), "%d symbols, %d changes of text", seen, texts);

	return 0;
}

static void check(const char *name, int (*f)(void))
{
	char line[320];
	int bad = f();

	if (bad)
		snprintf(line, sizeof(line), "bpf-smoke: %s FAIL %s\n", name, why);
	else
		snprintf(line, sizeof(line), "bpf-smoke: %s ok\n", name);
	write(1, line, strlen(line));
	failed += bad;
}

/* Without the types of the kernel's functions nothing can be attached by them. */
static void check_with_types(const char *name, int (*f)(void))
{
	char line[320];
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);

	if (fd < 0) {
		snprintf(line, sizeof(line), "bpf-smoke: %s skip the kernel has no types\n", name);
		write(1, line, strlen(line));
		return;
	}
	close(fd);
	check(name, f);
}

int main(void)
{
	char line[64];

#define CHECK(f) check(#f, f)
#define CHECK_WITH_TYPES(f) check_with_types(#f, f)
	CHECK(returns);
	CHECK(subprograms);
	CHECK(tail_call);
	CHECK(dispatcher);
	CHECK(dispatcher_in_use);
	CHECK(raw_tracepoint);
	CHECK(kprobe);
	CHECK(kretprobe);
	CHECK(kprobe_multi);
	CHECK_WITH_TYPES(fentry);
	CHECK_WITH_TYPES(modify_return);
	CHECK_WITH_TYPES(struct_ops);
	CHECK(classic_filter);
	CHECK(concurrent);
	CHECK(perf_records);
	snprintf(line, sizeof(line), "bpf-smoke: %d failed\n", failed);
	write(1, line, strlen(line));
	return failed != 0;
}
