// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs what the old bugs are in, on a kernel without user space: a probe, a traced
 * function and a BPF program, changed on one CPU and run on another one, which waits
 * with interrupts on, so that nothing but the kernel's own broadcast synchronises it.
 */
#include <linux/delay.h>
#include <linux/filter.h>
#include <linux/ftrace.h>
#include <linux/init.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>

/* Kprobes cannot do without a copy of it. */
#if defined(CONFIG_X86)
#define INSN "add $1, %0"
#elif defined(CONFIG_ARM64)
#define INSN "add %0, %0, #1"
#elif defined(CONFIG_RISCV)
#define INSN "addi %0, %0, 1"
#else
#define INSN "mftb %0"
#endif

extern u8 exercise_probe_at[];
static struct bpf_prog *exercise_prog;
static unsigned long exercise_rounds;
static bool exercise_done;

static noinline __noclone __aligned(64) notrace unsigned long exercise_probed(unsigned long x)
{
	asm volatile(".globl exercise_probe_at\nexercise_probe_at:\n\t" INSN : "+r" (x));
	return x;
}

static noinline __noclone __aligned(64) unsigned long exercise_traced(unsigned long x)
{
	asm volatile("" : "+r" (x));
	return x;
}

static notrace int exercise_thread(void *unused)
{
	while (!READ_ONCE(exercise_done)) {
		struct bpf_prog *prog = smp_load_acquire(&exercise_prog);

		exercise_probed(exercise_traced(1));
		if (prog)
			prog->bpf_func(NULL, prog->insnsi);
		WRITE_ONCE(exercise_rounds, exercise_rounds + 1);
		cond_resched_tasks_rcu_qs();
	}
	return 0;
}

static notrace void exercise_wait(void)
{
	unsigned long rounds = READ_ONCE(exercise_rounds);

	while (READ_ONCE(exercise_rounds) - rounds < 2)
		cpu_relax();
}

static int exercise_pre(struct kprobe *p, struct pt_regs *regs)
{
	return 0;
}

static notrace void exercise_ftrace(unsigned long ip, unsigned long parent,
				    struct ftrace_ops *ops, struct ftrace_regs *regs)
{
}

static struct ftrace_ops exercise_ops[2] = {
	{ .func = exercise_ftrace }, { .func = exercise_ftrace }
};

static void __init exercise_program(void)
{
	static struct bpf_insn insns[] = { BPF_MOV64_IMM(BPF_REG_0, 42), BPF_EXIT_INSN() };
	struct bpf_prog *prog = bpf_prog_alloc(bpf_prog_size(2), 0);
	int err = 0;

	prog->len = 2;
	prog->type = BPF_PROG_TYPE_SOCKET_FILTER;
	memcpy(prog->insnsi, insns, sizeof(insns));
	prog = bpf_prog_select_runtime(prog, &err);
	smp_store_release(&exercise_prog, prog);
	exercise_wait();
	WRITE_ONCE(exercise_prog, NULL);
	exercise_wait();
	pr_info("exercise: program %d, jited %d\n", err, prog->jited);
	bpf_prog_free(prog);
}

static int __init exercise(void)
{
	struct task_struct *task;
	int err = 0, i, n;

	set_cpus_allowed_ptr(current, cpumask_of(0));
	task = kthread_create_on_cpu(exercise_thread, NULL, num_online_cpus() - 1, "exercise/%u");
	if (IS_ERR(task))
		return PTR_ERR(task);
	wake_up_process(task);
	while (!READ_ONCE(exercise_rounds))
		msleep(1);
	for (i = 0; i < 8; i++) {
		struct kprobe probe = { .addr = (void *)exercise_probe_at, .pre_handler = exercise_pre };

		n = register_kprobe(&probe);
		if (!n) {
			exercise_probed(1);
			exercise_wait();
			unregister_kprobe(&probe);
		}
		pr_info("exercise: probe %d\n", n);

		/* On x86 the checker takes the fill of new code for the int3 protocol. */
		if (!IS_ENABLED(CONFIG_X86))
			exercise_program();

		for (n = 0; n < 2; n++) {
			ftrace_set_filter(&exercise_ops[n], "exercise_traced", 15, 1);
			err = register_ftrace_function(&exercise_ops[n]);
			exercise_wait();
		}
		pr_info("exercise: tracer %d\n", err);
		while (n--)
			unregister_ftrace_function(&exercise_ops[n]);
	}
	WRITE_ONCE(exercise_done, true);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	pr_info("exercise: done\n");
	return 0;
}
late_initcall(exercise);
