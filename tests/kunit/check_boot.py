#!/usr/bin/env python3
"""Check one boot of the KUnit suites by its console log.

usage: check_boot.py BOOT BUILD_DIR CONSOLE [TSV [SECONDS]]
       check_boot.py --case SUITE.CASE CONSOLE

kunit.py parses the log, but calls a boot in which everything was skipped a success, and takes
no notice of what else the kernel prints. Each suite that BUILD_DIR/.config has must run, no
case may fail, or be skipped unless tests/kunit/expected lists it, the lines listed there must
be in the log, and no warning of the kernel. Prints what is wrong, appends counts and SECONDS to TSV,
exits 1 if anything is wrong. FILTER=<glob>: only these suites were asked for. BOOT "-" is a
boot under the checker: suites must run and pass, skips and the rest of the log do not matter.

--case prints the status of one case, and how many of its parameters passed.
"""
import fnmatch
import json
import os
import pathlib
import re
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
build = pathlib.Path(os.environ.get("TEXT_POKE_BUILD") or here / "../../build")

# pseries without a disk has an empty nvram, and says so.
BAD = re.compile(r"""
    Oops | \bBUG:\ | kernel\ BUG | WARNING:\ (?!nvram\ corruption\ detected) | Kernel\ panic | Call\ Trace | Call\ trace:
  | possible\ circular\ locking | possible\ recursive\ locking | inconsistent\ lock\ state
  | suspicious\ RCU\ usage | rcu.*self-detected\ stall | rcu.*detected\ stalls
  | soft\ lockup | hard\ LOCKUP | hung\ task | blocked\ for\ more\ than
  | Unable\ to\ handle\ kernel | general\ protection\ fault | KASAN: | UBSAN: | KCSAN:
  | Checked\ W\+X\ mappings:\ FAILED | insecure\ W\+X\ mapping
  | sleeping\ function\ called | refcount_t: | list_(add|del)\ corruption
  | code-patching:\ test\ failed | selftest.*(fail|FAIL) | self-tests?.*FAIL
""", re.X)

# Suites by the option that builds them.
SUITES = {"KPROBES_SANITY_TEST": "kprobes_test", "LIST_KUNIT_TEST": "list-kunit-test"}


def complaints(log):
    """The lines of a log that no kernel should print."""
    return [line for line in log.splitlines() if BAD.search(line)]


def leaves(group, *path):
    """(suite, case or case:parameter, status) of every test case below a group."""
    for case in group.get("test_cases", []):
        name = re.sub(r"[^A-Za-z0-9]+", "_", case["name"]).strip("_")
        yield "".join(path[:1]), ":".join([*path[1:], name]), case["status"]
    for sub in group.get("sub_groups", []):
        yield from leaves(sub, *path, sub["name"])


def results(console):
    """The same by kunit.py, whose stdout has the results for people."""
    said = subprocess.run([sys.executable, build / "linux/tools/testing/kunit/kunit.py", "parse", "--json=/dev/stderr",
                           os.path.abspath(console)], capture_output=True, text=True, check=False).stderr
    try:
        return list(leaves(json.loads(said)))
    except ValueError:
        return []


def expected(boot):
    """[(suite, regex of cases) that may be skipped], [regex that must be in the log]"""
    skips, lines = [], []
    for raw in (here / "expected").read_text().splitlines():
        words = raw.split("#", 1)[0].split(None, 2)
        if words and re.fullmatch(words[1], boot):
            if words[0] == "skip":
                skips.append(words[2].split(None, 2)[:2])
            else:
                lines.append(words[2].strip())
    return skips, lines


def suites_of(out):
    for option in re.findall(r"^CONFIG_(\w+)=y", pathlib.Path(out, ".config").read_text(), re.M):
        if option in SUITES:
            yield SUITES[option]
        elif re.fullmatch("(TEXT_PATCHING|EXECMEM|.*_TEXT)_KUNIT_TEST", option):
            yield option.removesuffix("_KUNIT_TEST").lower()


def check(boot, out, console, log):
    """({suite: [passed, failed, skipped]}, what is wrong)"""
    glob = os.environ.get("FILTER") or "*"
    skips, lines = expected(boot)
    wrong, rows = [], {}
    for suite, case, status in results(console):
        row = rows.setdefault(suite, [0, 0, 0])
        row[{"PASS": 0, "SKIP": 2}.get(status, 1)] += 1
        if status not in ("PASS", "SKIP"):
            wrong.append(f"{suite}.{case}: {status}")
        elif boot != "-" and status == "SKIP" and not any(suite == s and re.fullmatch(c, case) for s, c in skips):
            wrong.append(f"{suite}.{case}: skipped unexpectedly")
    for suite in suites_of(out):
        if fnmatch.fnmatch(suite, glob.partition(".")[0]):
            if suite not in rows:
                wrong.append(f"suite {suite} did not run: the kernel stopped earlier")
            elif not sum(rows[suite][:2]):
                wrong.append(f"suite {suite}: no case ran")
    if not rows:
        wrong.append("no test ran")
    if boot != "-":
        wrong += complaints(log)
    wrong += [f"missing in the log: {regex}" for regex in lines if not re.search(regex, log)]
    return rows, wrong


def main():
    if sys.argv[1] == "--case":
        suite, _, name = sys.argv[2].partition(".")
        seen = [s for of, case, s in results(sys.argv[3]) if of == suite and name in (case, case.partition(":")[0])]
        bad = [s for s in seen if s not in ("PASS", "SKIP")]
        print(bad[0] if bad else "PASS" if "PASS" in seen else "SKIP" if seen else "MISSING", seen.count("PASS"))
        return
    boot, out, console = sys.argv[1:4]
    log = pathlib.Path(console).read_text(errors="replace")
    rows, wrong = check(boot, out, console, log)
    if len(sys.argv) > 4:
        with open(sys.argv[4], "a") as f:
            # All problems other than failing cases count as one failed check.
            for suite, counts in [*sorted(rows.items()), ("boot log", [int(not wrong), int(bool(wrong)), 0])]:
                print(boot, suite, *counts, *sys.argv[5:], sep="\t", file=f)
    for w in wrong[:15]:
        print(f"    {w}")
    if len(wrong) > 15:
        print(f"    and {len(wrong) - 15} more")
    if not rows:
        print("    the last lines of the console:", *log.splitlines()[-12:], sep="\n    | ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
