#!/usr/bin/env python3
"""Boot a kernel that has generated mutants once for each mutant of a sample; say who notices.

usage: judge.py [--checker] ARCH BUILD_DIR LIST NUMBER SEED TREE

The kernel first runs all suites with "mutant=-1", and says which mutants each suite reached. A
mutant that no suite and no boot reached runs only in the second boot of "make kunit". Each other
one is booted with the suites that reached it, or with all if the boot did, and is caught if a case fails or is skipped, if the kernel prints
what no kernel should print, or if it does not come to an end. A file BUILD_DIR.verdicts keeps
the verdicts by TREE and id, so that a run that was interrupted goes on.

The score of a file is caught / (sample - equivalent). EQUIVALENT has a line for each equivalent
mutant or group: a pattern of ids, a tab, the argument. "ARCH " before the pattern restricts it, and
commas separate several hashes.
"""
import concurrent.futures
import fnmatch
import os
import random
import re
import subprocess
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
top = os.path.join(here, "..", "..")
sys.path.insert(0, os.path.join(here, "..", "kunit"))
os.environ.setdefault("TEXT_POKE_BUILD", os.path.join(top, "build"))
from check_boot import complaints   # noqa: E402


# The second boot that "make kunit" makes: arguments of QEMU and of the kernel.
SECOND = {"x86_64": (["-cpu", "Skylake-Server"], ["retbleed=stuff", "spectre_v2=retpoline", "preempt=full",
                                                 "ftrace=function", "ftrace_filter=panic"]),
          "powerpc": ([], ["disable_radix"])}


def boot(arch, out, seconds, *args, qemu=()):
    """The console and whether the machine stopped by itself, at once when a mutant is caught."""
    cmd = ["timeout", "-k", "5", str(seconds), os.path.join(top, "scripts", "qemu"), arch, out,
           " ".join(("kunit.enable=1", "kunit_shutdown=reboot", "oops=panic", "panic_on_warn=1") + args), "-serial", "stdio", *qemu]
    r = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.stdout.decode(errors="replace").replace("\r", ""), r.returncode == 0


def equivalents():
    """The patterns, one for each hash."""
    with open(os.path.join(here, "EQUIVALENT")) as f:
        patterns = [line.split("\t")[0].rpartition(":") for line in f if "\t" in line and line[0] not in "#\t"]
    return [f"{place}:{h}" for place, _, hashes in patterns for h in hashes.split(",")]


class Judge:
    def __init__(self, arch, out, listing, tree):
        self.arch, self.out, self.tree = arch, out, tree
        with open(listing) as f:
            self.mutants = [line.rstrip("\n").split("\t") for line in f]
        self.verdicts = {}
        self.path = out.rstrip("/") + ".verdicts"
        if os.path.exists(self.path):
            with open(self.path) as f:
                for line in f:
                    at, key, verdict = line.rstrip("\n").split("\t", 2)
                    if at == tree:
                        self.verdicts[key] = verdict

    def clean(self):
        begin = time.time()
        log, ended = boot(self.arch, self.out, 900, "mutant=-1")
        with open(self.out + ".clean", "w") as f:
            f.write(log)
        bad = complaints(log) + re.findall(r"^ *not ok .*", log, re.M)
        if not ended or bad:
            sys.exit(f"error: the kernel without an active mutant fails: {bad[:3]}; console: {self.out}.clean")
        self.seconds = time.time() - begin
        self.skipped = set(re.findall(r"mutant: skipped (\S+)", log))
        self.reached, self.suites = {}, []
        for what, at, bits in re.findall(r"mutants reached: (\S+) (\d+) ([0-9a-f]+)", log):
            for i in range(64):
                if int(bits, 16) >> i & 1:
                    self.reached.setdefault(int(at) + i, []).append(what)
        self.suites = list(dict.fromkeys(re.findall(r"# Subtest: (\S+)", log)))
        print(f"mutants: {self.arch}: {len(self.mutants)} generated, {sum(int(m[0]) in self.reached for m in self.mutants)} "
              f"of them reached by {len(self.suites)} suites or the boot; the boot takes {self.seconds:.0f} s", flush=True)

    def judge(self, m):
        number, key = int(m[0]), m[1]
        if key in self.verdicts:
            return self.verdicts[key]
        suites, args, verdict = self.reached.get(number), [f"mutant={number}"], "not reached"
        if suites:
            if "boot" not in suites:
                args.append("mutant_suites=" + ",".join(suites))
            log, verdict = self.run(args)
            if verdict == "survived":
                with open(f"{self.out}-{number}.console", "w") as f:
                    f.write(log)
        if verdict in ("survived", "not reached") and self.arch in SECOND:
            qemu, more = SECOND[self.arch]
            again = self.run(args + more, qemu)[1]
            # It skips other cases than the first one.
            if again != "survived" and not again.startswith("skipped "):
                verdict = again
        return self.keep(key, verdict)

    def run(self, args, qemu=()):
        # Once more if it does not end: the host may be busy.
        for patience in 1, 2:
            log, ended = boot(self.arch, self.out, patience * (60 + 3 * self.seconds), *args, qemu=qemu)
            verdict = self.read(log, ended)
            if verdict != "does not end":
                break
        return log, verdict

    def read(self, log, ended):
        m = re.search(r"mutant: caught by (\S+)", log) or re.search(r"^ *not ok \d+ (\S+)", log, re.M)
        if m:
            return m[1]
        bad = complaints(log)
        if bad:
            return "log: " + re.sub(r"^\[[^]]*\] *", "", bad[0])[:70]
        skipped = set(re.findall(r"mutant: skipped (\S+)", log)) - self.skipped
        if skipped:
            return "skipped " + min(skipped)
        if not ended:
            return "does not end"
        if "reboot: Restarting system" not in log:
            return "log: the machine stops"
        return "survived"

    def keep(self, key, verdict):
        with open(self.path, "a") as f:
            f.write(f"{self.tree}\t{key}\t{verdict}\n")
        self.verdicts[key] = verdict
        return verdict


def main():
    checker = "--checker" in sys.argv
    arch, out, listing, n, seed, tree = [a for a in sys.argv[1:] if a != "--checker"]
    j = Judge(arch, out, listing, tree)
    j.clean()
    sample = sorted(j.mutants, key=lambda m: m[1])
    random.Random(seed).shuffle(sample)
    sample = sample[:int(n)]
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("PARALLEL", "2"))) as pool:
        for m, verdict in zip(sample, pool.map(j.judge, sample)):
            if verdict in ("survived", "not reached"):
                print(f"{verdict}: {m[1]} line {m[5]}: {m[6][:100]}", flush=True)
    if checker:
        for m in sample:
            if j.verdicts[m[1]] == "survived":
                subprocess.run([os.path.join(top, "tests/coherence/run"), arch, out, f"mutant={m[0]}"],
                               env=dict(os.environ, NAME=f"{arch}-mutant", TIMEOUT="400"), capture_output=True)
                with open(os.path.join(os.environ["TEXT_POKE_BUILD"], "coherence", f"{arch}-mutant.log"), errors="replace") as f:
                    found = re.search(r"^VIOLATION rule=(\S+)", f.read(), re.M)
                if found:
                    j.keep(m[1], f"checker: {found[1]}")
                    print(f"checker: {found[1]}: {m[1]}", flush=True)
    known, table = equivalents(), {}
    for m in sample:
        row = table.setdefault(m[3], dict.fromkeys(("sample", "caught", "equivalent", "lives"), 0))
        row["sample"] += 1
        if j.verdicts[m[1]] not in ("survived", "not reached"):
            row["caught"] += 1
        elif any(fnmatch.fnmatchcase(name, pattern) for pattern in known for name in (m[1], f"{arch} {m[1]}")):
            row["equivalent"] += 1
        else:
            row["lives"] += 1
    total = {k: sum(r[k] for r in table.values()) for k in ("sample", "caught", "equivalent", "lives")}
    print(f"\n{arch}, seed {seed}\n{'file':44} {'sample':>7} {'caught':>7} {'equivalent':>11} {'live':>6} {'score':>7}")
    for name, r in sorted(table.items()) + [("all", total)]:
        of = r["sample"] - r["equivalent"]
        print(f"{name:44} {r['sample']:7} {r['caught']:7} {r['equivalent']:11} {r['lives']:6} "
              + (f"{100 * r['caught'] / of:6.1f}%" if of else "      -"))
    sys.exit(100 * total["caught"] < 95 * (total["sample"] - total["equivalent"]))


main()
