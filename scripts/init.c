// SPDX-License-Identifier: GPL-2.0-only
/*
 * The init of the kernels that are booted beyond KUnit. Built with the nolibc of the
 * kernel tree. With "suites" on the command line of the kernel it loads test_bpf,
 * checks for W+X mappings and restarts; else it is a prompt to look around.
 */
#include "nolibc.h"

static void cat(const char *path)
{
	char buf[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		printf("%s: error %d\n", path, errno);
		return;
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		write(1, buf, n);
	close(fd);
}

static void ls(const char *path)
{
	char buf[4096];
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	long n, at;

	if (fd < 0) {
		printf("%s: error %d\n", path, errno);
		return;
	}
	while ((n = getdents64(fd, (struct linux_dirent64 *)buf, sizeof(buf))) > 0) {
		for (at = 0; at < n;) {
			struct linux_dirent64 *d = (struct linux_dirent64 *)(buf + at);

			printf("%s ", d->d_name);
			at += d->d_reclen;
		}
	}
	printf("\n");
	close(fd);
}

static void echo(const char *text, const char *path)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("%s: error %d\n", path, errno);
	close(fd);
}

static void load(const char *path, const char *args)
{
	int fd = open(path, O_RDONLY);

	errno = 0;
	if (syscall(__NR_finit_module, fd, args, 0) < 0)
		printf("init: %s: error %d\n", path, errno);
	else
		printf("init: %s: loaded\n", path);
	close(fd);
}

static int suites(void)
{
	char buf[1024] = "";
	int fd = open("/proc/cmdline", O_RDONLY);

	read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return !!strstr(buf, "suites");
}

static void prompt(void)
{
	char line[256], *arg, *to;
	int at;

	printf("\nCommands: cat FILE, ls DIR, echo TEXT > FILE, load MODULE, dmesg, poweroff.\n"
	       "Ctrl-A X ends QEMU. Try: cat /proc/vmallocinfo\n");
	for (;;) {
		printf("# ");
		for (at = 0; at < (int)sizeof(line) - 1; at++) {
			if (read(0, line + at, 1) != 1)
				return;
			if (line[at] == '\n' || line[at] == '\r')
				break;
		}
		line[at] = 0;
		arg = strchr(line, ' ');
		if (arg)
			*arg++ = 0;
		else
			arg = "";
		if (!strcmp(line, "cat")) {
			cat(arg);
		} else if (!strcmp(line, "ls")) {
			ls(*arg ? arg : "/");
		} else if (!strcmp(line, "load")) {
			load(arg, "");
		} else if (!strcmp(line, "dmesg")) {
			cat("/proc/kmsg");
		} else if (!strcmp(line, "echo") && (to = strstr(arg, " > "))) {
			*to = 0;
			echo(arg, to + 3);
		} else if (!strcmp(line, "poweroff")) {
			return;
		} else if (*line) {
			printf("unknown command\n");
		}
	}
}

int main(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);

	if (suites()) {
		load("/test_bpf.ko", "");
		cat("/sys/kernel/debug/check_wx_pages");
		printf("init: suites done\n");
	} else {
		prompt();
	}
	reboot(LINUX_REBOOT_CMD_RESTART);
	return 0;
}
