/* SPDX-License-Identifier: GPL-2.0-only */
/* What /proc and /sys say about the machine: its processors, and how far they are apart. */

static bool read_cpu(int cpu, const char *name, char *text, int size)
{
	char path[128];
	int fd, n;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
	fd = open(path, O_RDONLY);
	n = read(fd, text, size - 1);
	text[n > 0 ? n : 0] = 0;
	close(fd);
	return n > 0;
}

static bool same(int a, int b, const char *name)
{
	char s[4096], t[4096];

	return !read_cpu(a, name, s, sizeof(s)) || !read_cpu(b, name, t, sizeof(t)) || !strcmp(s, t);
}

/* 0 for threads of one core; what is not known counts as near. */
static int distance(int a, int b)
{
	char list[4096];

	if (read_cpu(a, "topology/thread_siblings_list", list, sizeof(list)) &&
	    strpbrk(list, ",-") && same(a, b, "topology/thread_siblings_list"))
		return 0;
	return 1 + !same(a, b, "cache/index2/shared_cpu_list") +
		2 * !same(a, b, "cache/index3/shared_cpu_list") +
		4 * !same(a, b, "topology/die_id") + 8 * !same(a, b, "topology/physical_package_id");
}

/* The writer takes the first CPU; one reader each: a sibling, the nearest core, the farthest. */
static void find_places(void)
{
	int nearest = 100, farthest = 0, d;

	if (syscall(SYS_sched_getaffinity, 0, sizeof(allowed), allowed) < 0)
		give_up("the CPUs are not known");
	for (int cpu = 0; cpu < 64 * (int)ARRAY_SIZE(allowed); cpu++) {
		if (!(allowed[cpu / 64] >> cpu % 64 & 1))
			continue;
		cpus++;
		if (writer_cpu < 0) {
			writer_cpu = cpu;
			continue;
		}
		d = distance(writer_cpu, cpu);
		if (!d) {
			place_cpu[SIBLING] = cpu;
		} else if (d < nearest) {
			nearest = d;
			place_cpu[NEAR] = cpu;
		}
		if (d && d >= farthest) {
			farthest = d;
			place_cpu[FAR] = cpu;
		}
	}
	if (farthest <= nearest)
		place_cpu[FAR] = -1;
}

/* The lines of /proc/cpuinfo that name a processor, each value once; a hypervisor; the kernel. */
static const char system_is[] =
	"awk -F '[\t ]*: ' '$1 ~ /^(vendor_id|model name|cpu family|model|stepping|microcode|isa|uarch|cpu|"
	"revision|CPU (implementer|architecture|variant|part|revision)|mvendorid|marchid|mimpid)$/ && !seen[$0]++ {"
	"	printf \"%-17s%s\\n\", $1, $2 }' /proc/cpuinfo\n"
	"vm='no sign of one'\n"
	"! test -e /sys/hypervisor/type || vm='yes: /sys/hypervisor'\n"
	"! test -e /proc/device-tree/hypervisor || vm='yes: the device tree says so'\n"
	"! grep -q '^flags.* hypervisor' /proc/cpuinfo || vm='yes: flag \"hypervisor\"'\n"
	"printf '%-17s%s\\n' 'virtual machine' \"$vm\" kernel \"$(uname -r)\"";

/* Other work costs runs: who waits for a CPU executes nothing. */
static void print_load(const char *when)
{
	double load;

	if (getloadavg(&load, 1) == 1)
		printf("%-17s%.1f\n", when, load);
}

static void print_machine(void)
{
	time_t t = time(NULL);
	char day[32];

	strftime(day, sizeof(day), "%Y-%m-%d", gmtime(&t));
	printf("What text-patching.rst relies on, tried on a processor (" ARCH ", %s)\n\n", day);
	if (system(system_is))
		printf("%-17snot known\n", "processor");
	printf("%-17s%d\n%-17s%s\n", "CPUs", cpus, "compiler", __VERSION__);
	if (ctr)
		printf("%-17s%#lx (IDC %lu, DIC %lu)\n", "CTR_EL0", ctr, ctr >> 28 & 1, ctr >> 29 & 1);
	if (hwcap)
		printf("%-17s%#lx\n", "AT_HWCAP", hwcap);
	print_load("load at first");
	printf("%-17s%d\n", "writer on CPU", writer_cpu);
	for (int p = SIBLING; p <= FAR; p++)
		if (place_cpu[p] >= 0)
			printf("%-17s%d (%s)\n", "reader on CPU", place_cpu[p], place_name[p]);
		else
			printf("%-17snone (%s)\n", "reader on CPU", place_name[p]);
}
