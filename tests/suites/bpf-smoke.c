// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads, attaches and runs BPF programs of each kind whose code the kernel writes or
 * changes, by bpf(2) alone, and checks what they computed. Built with the nolibc of
 * the kernel tree. Prints "bpf-smoke: <name> ok" or "bpf-smoke: <name> FAIL <why>",
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

/* Seven functions deep, each adds one to what the next one returns. */
static int subprograms(void)
{
	struct bpf_insn p[64];
	int n = 0, i, fd;

	p[n++] = MOV(R1, 5);
	p[n++] = CALL(4);
	p[n++] = MOV_R(R6, R0);
	p[n++] = MOV(R1, 100);
	p[n++] = CALL(1);
	p[n++] = EXIT;
	/* Both calls above are to here but the first one's argument must be kept. */
	for (i = 0; i < 6; i++) {
		p[n++] = CALL(2);
		p[n++] = ADD(R0, 1);
		p[n++] = EXIT;
	}
	p[n++] = MOV_R(R0, R1);
	p[n++] = ADD(R0, 1);
	p[n++] = EXIT;
	p[4] = MOV_R(R6, R6);
	fd = load(BPF_PROG_TYPE_SOCKET_FILTER, p, n);
	FAIL_IF(fd < 0, "load: error %d", errno);
	EXPECT("result", run(fd, 1), 12);
	close(fd);
	return 0;
}
