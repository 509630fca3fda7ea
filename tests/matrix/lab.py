#!/usr/bin/env python3
"""Describe the configurations of tests/matrix/configurations for lab engines.

usage: lab.py OUT <table of tests/matrix/run --list
       lab.py --check OUT	does what lies there hold the rules? See RULES below.

ARTIFACTS is where a lab finds build/matrix, as "make matrix KEEP=1" leaves it.
"""
import copy
import glob
import importlib
import os
import re
import sys

import yaml

FIELDS = ("name arch karch cross compiler kind base machine cpu smp qemu_machine args "
          "symbols all").split()

# What a lab's root file system needs is in the kernel's own configuration, not in ours.
LAB = {
    # arch: (architecture of TuxSuite, its device, configuration)
    "x86_64": ("x86_64", "qemu-x86_64", "defconfig"),
    "i386": ("i386", "qemu-i386", "defconfig"),
    "arm64": ("arm64", "qemu-arm64", "defconfig"),
    "riscv": ("riscv", "qemu-riscv64", "defconfig"),
    "powerpc": ("powerpc", "qemu-ppc64le", "ppc64le_defconfig"),
    "ppc64": ("powerpc", "qemu-ppc64", "ppc64_defconfig"),
    "ppc32": ("powerpc", "qemu-ppc32", "pmac32_defconfig"),
    "s390": ("s390", "qemu-s390", "defconfig"),
    "arm": ("arm", "qemu-armv7", "multi_v7_defconfig"),
    "mips": ("mips", "qemu-mips64el", "malta_defconfig"),
    "loongarch": ("loongarch", None, "defconfig"),
    "parisc": ("parisc", None, "defconfig"),
    "um": ("um", None, "defconfig"),
}
TOOLCHAIN = {"gcc": "gcc-13", "gcc-12": "gcc-12", "clang-19": "clang-nightly"}


def rows(lines):
    for line in lines:
        row = dict(zip(FIELDS, line.rstrip("\n").split("\t")))
        row["kunit"] = row["base"].startswith("kunit")
        row["symbols"] = row["symbols"].split()
        row["all"] = row["all"].split()
        yield row


def kconfig(row):
    """A configuration of the kernel, and what to change: NAME=y, m or n."""
    if not row["kunit"]:
        wanted, base = row["symbols"], row["base"]
    else:
        base = LAB[row["arch"]][2]
        # What the fragments leave out is to build faster; what the line does is meant.
        wanted = [s for s in row["all"] if not s.endswith("=n") or s in row["symbols"]]
    return [base] + ["CONFIG_" + s for s in wanted if re.fullmatch(r"\w+=[ymn]", s)]


def tuxsuite(table):
    """Random configurations are left out: no seed can be given."""
    jobs, builds = [], []
    for row in table:
        if row["base"].startswith("randconfig"):
            continue
        arch, device, _ = LAB[row["arch"]]
        build = {"build_name": row["name"], "target_arch": arch,
                 "toolchain": TOOLCHAIN[row["compiler"]], "kconfig": kconfig(row),
                 "targets": ["kernel"]}
        # The processor and the machine of a device cannot be chosen.
        if row["kind"] == "boot" and device and not row["cpu"] and not row["qemu_machine"]:
            test = {"device": device, "tests": ["kunit"]}
            if row["args"]:
                test["boot_args"] = row["args"]
            jobs.append({"build": build, "test": test})
        else:
            builds.append(build)
    if builds:
        jobs.append({"builds": builds})
    return {"version": 1, "name": "text-poke",
            "description": "The configurations of make matrix", "jobs": jobs}


def machine(row):
    """The QemuArchParams of a configuration file of kunit.py."""
    params = {}
    text = open(row["machine"]).read()
    text = re.sub(r"^from .* import .*$", "", text, flags=re.M)

    def take(**kwargs):
        params.update(kwargs)

    exec(compile(text, row["machine"], "exec"), {"QemuArchParams": take, "os": os, "sys": sys})
    return params


def lava(row):
    params = machine(row)
    # The kernel restarts when KUnit is done: once is enough.
    extra = list(params["extra_qemu_params"]) + ["-no-reboot"]
    for option, value in ("-machine", row["qemu_machine"]), ("-cpu", row["cpu"]), ("-smp", row["smp"]):
        if value:
            # QEMU takes the last one.
            extra += [option, value]
    args = f"{params['kernel_command_line']} kunit_shutdown=reboot {row['args']}".strip()
    image = f"{os.environ.get('ARTIFACTS') or 'http://artifacts.invalid'}/{row['name']}/{params['kernel_path']}"
    return {
        "job_name": f"text-poke {row['name']}",
        "device_type": "qemu",
        "visibility": "public",
        "priority": "medium",
        "timeouts": {"job": {"minutes": 30}, "action": {"minutes": 15}},
        # Not KVM: results must not depend on the host.
        "context": {"arch": params["qemu_arch"], "no_kvm": True, "extra_options": extra},
        "actions": [
            {"deploy": {"timeout": {"minutes": 5}, "to": "tmpfs", "images": {
                "kernel": {"image_arg": f'-kernel {{kernel}} -append "{args}"', "url": image}}}},
            # No prompt to wait for: there is no root file system.
            {"boot": {"timeout": {"minutes": 5}, "method": "qemu", "media": "tmpfs"}},
            {"test": {"timeout": {"minutes": 20}, "monitors": [{
                "name": "kunit",
                "start": "KTAP version 1",
                "end": "reboot: Restarting system|Kernel panic - not syncing",
                "pattern": r"(?P<result>not ok|ok) \d+ (?P<test_case_id>[^\s#]+)",
                "fixupdict": {"ok": "pass", "not ok": "fail"}}]}},
        ],
    }


def kernelci(table):
    """Its boots tell whether the kernel complains; KUnit's cases are not counted there."""
    jobs, scheduler, platforms = {}, [], {}
    for row in table:
        if row["base"].startswith("randconfig"):
            continue
        _, device, _ = LAB[row["arch"]]
        build = f"kbuild-text-poke-{row['name']}"
        base, *extra = kconfig(row)
        params = {"arch": row["karch"], "compiler": TOOLCHAIN[row["compiler"]],
                  "defconfig": base, "fragments": extra}
        if row["cross"]:
            params["cross_compile"] = row["cross"]
        jobs[build] = {"template": "kbuild.jinja2", "kind": "kbuild", "params": params,
                       "rules": {"tree": ["text-poke"]}}
        scheduler.append({"job": build, "runtime": {"type": "kubernetes"}, "event": {
            "channel": "node", "kind": "checkout", "name": "checkout", "state": "available"}})
        if row["kind"] != "boot" or not device or row["cpu"] or row["qemu_machine"]:
            continue
        boot = f"boot-text-poke-{row['name']}"
        jobs[boot] = {"template": "baseline.jinja2", "kind": "job", "kcidb_test_suite": "boot",
                      "params": {"extra_kernel_args": row["args"]} if row["args"] else {}}
        scheduler.append({"job": boot, "runtime": {"type": "lava"}, "platforms": [device],
                          "event": {"channel": "node", "kind": "kbuild", "name": build,
                                    "state": "available", "result": "pass"}})
        platforms[device] = {"arch": row["karch"], "boot_method": "qemu", "mach": "qemu"}
    return {
        "trees": {"text-poke": {"url": "https://tree.invalid/linux.git"}},
        "build_configs": {"text-poke": {"tree": "text-poke", "branch": "series"}},
        "platforms": platforms, "jobs": jobs, "scheduler": scheduler,
    }


# RULES. LAVA publishes its schema: lava_common.schemas of the package lava-common, used as
# it is. The other two publish none that works without their service; these are the rules
# in their documentation, as far as a file shows whether it keeps them.

def check_tuxsuite(plan):
    """docs/plan/kernel/specifications.md, docs/tuxbuild/{kconfig,toolchains,
    target-architectures}.md and docs/tuxtest/features/devices.md of tuxsuite 1.44.4; the
    names of arguments are the attributes of LocalBuild and LocalTest in its local_plan.py."""
    build_keys = set("target_arch kconfig toolchain environment targets make_variables kernel_image "
                     "patch_series image_sha build_name".split())
    test_keys = set("device boot_args bios dtb kernel modules overlay parameters rootfs tests "
                    "test_name timeouts commands qemu_image shared".split())
    arches = set("i386 x86_64 arm arm64 mips riscv arc s390 powerpc sparc parisc sh hexagon um m68k "
                 "loongarch".split())
    toolchains = re.compile(r"gcc-(8|9|1[0-3])|clang-(1[0-6]|nightly|android)|llvm-(17|nightly)|rust.*")
    devices = set("qemu-" + d for d in "arm64 arm64be armv5 armv7 armv7be i386 mips32 mips32el mips64 "
                  "mips64el ppc32 ppc64 ppc64le riscv64 s390 sh4 sparc64 x86_64".split())
    if plan.get("version") != 1:
        yield "version is not 1"
    for n, job in enumerate(plan.get("jobs", [])):
        if set(job) not in ({"build", "test"}, {"build", "tests"}, {"builds"}, {"builds", "test"},
                            {"builds", "tests"}, {"tests"}):
            yield f"job {n}: {sorted(job)} may not stand together"
        for build in job.get("builds", []) + ([job["build"]] if "build" in job else []):
            where = build.get("build_name", f"job {n}")
            for key in set(build) - build_keys:
                yield f"{where}: a build has no {key}"
            for key in {"target_arch", "toolchain", "kconfig"} - set(build):
                yield f"{where}: no {key}"
            if build.get("target_arch") not in arches:
                yield f"{where}: unknown target_arch"
            if not toolchains.fullmatch(build.get("toolchain", "")):
                yield f"{where}: unknown toolchain"
            first, *more = build.get("kconfig") or [""]
            if not first.endswith("config"):
                yield f"{where}: kconfig does not begin with a configuration"
            for line in more:
                if not re.fullmatch(r"CONFIG_\w+=[ymn]", line):
                    yield f"{where}: kconfig: {line}"
        for test in job.get("tests", []) + ([job["test"]] if "test" in job else []):
            for key in set(test) - test_keys:
                yield f"job {n}: a test has no {key}"
            if test.get("device") not in devices:
                yield f"job {n}: unknown device"


def check_kernelci(data):
    """tests/validate_yaml.py and doc/config-reference.md of kernelci-pipeline."""
    for name, job in data["jobs"].items():
        if job.get("kind") not in ("kbuild", "job", "process", "test"):
            yield f"{name}: kind"
        if job["kind"] != "kbuild" and not (job.get("template") and job.get("kcidb_test_suite")):
            yield f"{name}: template or kcidb_test_suite"
        if job["kind"] == "kbuild":
            for key in {"arch", "compiler"} - set(job.get("params", {})):
                yield f"{name}: params have no {key}"
        if name not in [entry["job"] for entry in data["scheduler"]]:
            yield f"{name}: nobody runs it"
    for entry in data["scheduler"]:
        if entry["job"] not in data["jobs"]:
            yield f"{entry['job']}: no such job"
        for key in "channel", "state", "kind":
            if not entry.get("event", {}).get(key):
                yield f"{entry['job']}: event has no {key}"
        if entry.get("event", {}).get("kind") == "kbuild" and entry["event"]["name"] not in data["jobs"]:
            yield f"{entry['job']}: waits for a build that is not there"
        for platform in entry.get("platforms", []):
            if platform not in data["platforms"]:
                yield f"{entry['job']}: no platform {platform}"
    for name, platform in data["platforms"].items():
        for key in {"arch", "boot_method", "mach"} - set(platform):
            yield f"{name}: no {key}"
    for name, config in data["build_configs"].items():
        if not config.get("branch") or config.get("tree") not in data["trees"]:
            yield f"{name}: tree or branch"


def check_lava(job):
    import voluptuous
    from lava_common.schemas import validate
    try:
        validate(job)
    except voluptuous.Invalid as e:
        yield f"{job.get('job_name')}: {e}"
    # What the schema leaves open.
    for action in job.get("actions", []):
        for monitor in action.get("test", {}).get("monitors", []):
            if not {"result", "test_case_id"} <= set(re.compile(monitor["pattern"]).groupindex):
                yield f"{job.get('job_name')}: the pattern names no result or no case"


def broken(data, *path):
    """A copy without what PATH leads to."""
    data = copy.deepcopy(data)
    at = data
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return data


def check(out):
    """Each check must find a fault that is put in first."""
    wrong = []
    with open(f"{out}/tuxsuite-plan.yaml") as f:
        plan = yaml.safe_load(f)
    with open(f"{out}/kernelci.yaml") as f:
        kci = yaml.safe_load(f)
    jobs = []
    for path in sorted(glob.glob(f"{out}/lava/*.yaml")):
        with open(path) as f:
            jobs.append(yaml.safe_load(f))
    last = list(plan["jobs"][-1])[0]
    faults = [("tuxsuite", check_tuxsuite, broken(plan, "version")),
              ("tuxsuite", check_tuxsuite, broken(plan, "jobs", -1, last, *([0] if last == "builds" else []),
                                                  "toolchain")),
              ("kernelci", check_kernelci, broken(kci, "scheduler", 0, "event", "kind")),
              ("kernelci", check_kernelci, broken(kci, "jobs", kci["scheduler"][0]["job"], "params", "arch"))]
    try:
        importlib.import_module("lava_common.schemas")
    except ImportError as e:
        print(f"lava: not checked, the schema could not be had: {e}")
    else:
        if jobs:
            faults += [("lava", check_lava, broken(jobs[0], "visibility")),
                       ("lava", check_lava, broken(jobs[0], "actions", 2, "test", "monitors", 0, "end"))]
        wrong += [w for job in jobs for w in check_lava(job)]
        print(f"lava: {len(jobs)} jobs, against the schema of lava-common")
    for name, function, data in faults:
        if not list(function(data)):
            wrong.append(f"{name}: the check does not find a fault that was put in")
    wrong += check_tuxsuite(plan)
    print(f"tuxsuite: {len(plan['jobs'])} jobs, against the rules of its documentation")
    wrong += check_kernelci(kci)
    print(f"kernelci: {len(kci['jobs'])} jobs, against the rules of its documentation")
    for w in wrong:
        print(f"    {w}")
    return 1 if wrong else 0


class Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def write(path, data, comment):
    with open(path, "w") as f:
        f.write("".join(f"# {line}\n" for line in comment))
        yaml.dump(data, f, Dumper=Dumper, sort_keys=False, width=100)


def main():
    if sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]))
    out = sys.argv[1]
    table = list(rows(sys.stdin))
    made = "Made by make lab from tests/matrix/configurations."
    os.makedirs(f"{out}/lava", exist_ok=True)
    write(f"{out}/tuxsuite-plan.yaml", tuxsuite(table), [
        made, "tuxsuite plan submit --git-repo <your tree with the series> --git-ref <branch> tuxsuite-plan.yaml"])
    write(f"{out}/kernelci.yaml", kernelci(table), [
        made, "For the folder config/ of kernelci-pipeline; the address of the tree is to be filled in."])
    for row in table:
        if row["kind"] == "boot" and row["machine"]:
            write(f"{out}/lava/{row['name']}.yaml", lava(row), [
                made, f"lavacli jobs submit {row['name']}.yaml"])


if __name__ == "__main__":
    main()
