#!/usr/bin/env python3
"""Put mutants of the lines that the series adds into a tree, each behind a number.

usage: generate.py TREE LIST FILE...
       generate.py --drop LIST MESSAGES
       generate.py --compiled LIST OBJCOPY OBJECT...

Coccinelle says where the operators of operators.cocci apply in FILE; this program rewrites the
text, so that mutant N is active if the kernel is booted with "mutant=N". LIST gets a line for
each: number, id, operator, file, function, line and the text that is changed. An id names the
file, the function, the operator and the text, so that changes elsewhere do not alter it.

Mutants that do not compile are left out: --drop puts their numbers into LIST.drop, by the
compiler's messages. --compiled removes from LIST what this architecture or configuration does
not compile.
"""
import hashlib
import itertools
import os
import re
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
cache = os.path.join(os.environ.get("TEXT_POKE_BUILD") or os.path.join(here, "../../build"), "generated", "found")

# Statements that only look, print or assert; deleting one changes no behaviour that the
# series promises. Barriers are left to the models: an emulator on a strongly ordered host
# shows no difference.
LOOKS = re.compile(r"(WARN|BUG|BUILD_BUG|static_assert|lockdep_|might_|pr_|printk|cond_resched|cpu_relax|"
                   r"instrumentation_|trace_hardirqs|kmsan_|kasan_|DEFINE_|KUNIT_|guard\b|scoped_guard|EXPORT_|"
                   r"va_|LIST_HEAD|seq_put|seq_printf|__set_current_state)")
ORDER = re.compile(r"(smp_(mb|rmb|wmb|store_release|load_acquire)|barrier|dsb|isb|mb|rmb|wmb|local_flush_icache|"
                   r"sync_core)\b")
# One of two statements that are exchanged does something that others see.
ACTS = re.compile(r"\w*(lock|sync|flush|free|wait|copy|store|set|clear|queue|perf_event|ksymbol|cache|poke|put|remove|add)")
# Macros that need an lvalue or a constant.
LVALUE = re.compile(r"(READ_ONCE|WRITE_ONCE|smp_\w+|rcu_\w+|list_\w+|hlist_\w+|container_of|x?chg|cmpxchg|this_cpu_\w+|"
                    r"per_cpu\w*|[A-Z_0-9]+|KUNIT\w*|typeof|sizeof|offsetof|static_branch\w+|__\w+|trace_\w+)$")
SYMMETRIC = re.compile(r"^(min|max|min3|max3|swap|min_t|max_t|WARN.*|pr_.*|likely|IS_ENABLED|BUILD_BUG.*|list_.*)$")
SWAP = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+",
        "&": "|", "|": "&", "&&": "||", "||": "&&"}


class Edit:
    def __init__(self, kind, start, end, render, operators):
        self.kind, self.start, self.end, self.render = kind, start, end, render
        self.operators = operators      # one mutant for each
        self.numbers = []


def added_lines(tree, path):
    out = subprocess.run(["git", "-C", tree, "diff", "-U0", "base", "HEAD", "--", path],
                         check=True, capture_output=True, text=True).stdout
    lines = set()
    for m in re.finditer(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", out, re.M):
        first, n = int(m[1]), int(m[2] or 1)
        lines.update(range(first, first + n))
    return lines


def line_starts(text):
    return [0, *itertools.accumulate(map(len, text.splitlines(True)))]


def bodies(text):
    """(start, end) of each { ... } at the first column."""
    return [(m.start(), m.end()) for m in re.finditer(r"^\{\n(.*\n)*?\}", text, re.M)]


def matches(text, path, touched):
    """What Coccinelle finds. It takes scoped_guard() for a loop if it looks like one, and is
    not shown bodies without a line of the series, since it takes minutes for some."""
    for start, end in reversed(bodies(text)):
        if not touched(start, end):
            body = re.sub(r"[^\n]", " ", text[start + 1:end - 1])
            text = text[:start + 1] + body + text[end - 1:]
    text = text.replace("scoped_guard(", "while       (")
    with open(os.path.join(here, "operators.cocci")) as f:
        key = hashlib.sha1((f.read() + text).encode()).hexdigest()
    os.makedirs(cache, exist_ok=True)
    kept = os.path.join(cache, key)
    if not os.path.exists(kept):
        with open(kept + ".c", "w") as f:
            f.write(text)
        r = subprocess.run(["spatch", "--no-includes", "--very-quiet", "--sp-file",
                            os.path.join(here, "operators.cocci"), kept + ".c"], capture_output=True, text=True)
        if r.returncode:
            sys.exit(f"error: Coccinelle fails on {path}: {r.stderr[-500:]}")
        with open(kept + ".new", "w") as f:
            f.write(r.stdout)
        os.rename(kept + ".new", kept)
    with open(kept) as f:
        return sorted({tuple(line.rstrip("\n").split("\t")) for line in f if "\t" in line})


class Source:
    def __init__(self, tree, path):
        self.path = path
        self.text = subprocess.run(["git", "-C", tree, "show", f"HEAD:{path}"], check=True,
                                   capture_output=True, text=True).stdout
        self.lines = line_starts(self.text)
        self.added = added_lines(tree, path)
        self.functions = []
        self.edits = []
        self.read()

    def at(self, line, column):
        # Coccinelle counts a tab as one column.
        return self.lines[int(line) - 1] + int(column)

    def span(self, words):
        return self.at(*words[:2]), self.at(*words[2:4])

    def line(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def function(self, offset):
        return next((f for f in self.functions if f["start"] <= offset < f["end"]), None)

    def add(self, kind, start, end, render, operators, at=None):
        line = self.line(start if at is None else at)
        if self.function(start) and line in self.added and not self.in_directive(start, end):
            self.edits.append(Edit(kind, start, end, render, operators))

    def in_directive(self, start, end):
        first = self.text.rfind("\n", 0, start) + 1
        return any(line.lstrip().startswith("#") or line.endswith("\\")
                   for line in self.text[first:end].split("\n"))

    def statement_end(self, end):
        m = re.compile(r"\s*;").match(self.text, end)
        return m.end() if m else None

    def read(self):
        found = matches(self.text, self.path,
                        lambda a, b: not self.added.isdisjoint(range(self.line(a), self.line(b) + 1)))
        for m in found:
            if m[0] == "function":
                start, end = self.at(*m[4:6]), self.at(*m[8:10])
                # A macro that opens a function can hide where another one ends.
                self.functions.append({"name": m[1], "type": m[2], "params": m[3], "start": start, "end": end})
        conditions = {self.span(m[1:]) for m in found if m[0] == "condition"}
        for f in self.functions:
            values = {"void": [""], "bool": [" false", " true"]}
            default = [" NULL"] if f["type"].endswith("*") else [" 0"]
            if re.match(r"(struct|union) \w+$", f["type"]):
                continue
            for value in values.get(f["type"], default):
                self.add("early", f["start"] + 1, f["start"] + 1,
                         lambda e, g, value=value: f" if (mutant({e.numbers[0]})) return{value};", [f"return{value} early"],
                         at=self.text.find("\n", f["start"]) + 1)
        for m in found:
            getattr(self, "on_" + m[0], lambda m, c: None)(m, conditions)
        for regex, form in ((r"guard\(mutex\)\(([^;]*)\);", "guard(mutant_mutex)(%s);"),
                            (r"scoped_guard\(mutex, ([^)]*)\)", "scoped_guard(mutant_mutex, %s)")):
            for m in re.finditer(regex, self.text):
                self.add("guard", m.start(), m.end(), lambda e, g, x=m[1], form=form: form % (
                    f"mutant({e.numbers[0]}) ? NULL : ({x})"), ["mutex not taken"])

    def on_statement(self, m, _):
        start, end = self.span(m[1:])
        text = self.text[start:end]
        end = self.statement_end(end)
        if end is None or LOOKS.match(text) or ORDER.match(text):
            return
        name = "call deleted" if re.match(r"\w+\(", text) else "assignment deleted"
        self.add("statement", start, end,
                 lambda e, g: f"{{ if (!mutant({e.numbers[0]})) {g(start, end)} }}", [name])

    def on_pair(self, m, _):
        a, b = self.span(m[1:5]), self.span(m[5:9])
        a_end, b_end = self.statement_end(a[1]), self.statement_end(b[1])
        if a_end is None or b_end is None or self.text[a_end:b[0]].strip():
            return
        texts = self.text[a[0]:a[1]], self.text[b[0]:b[1]]
        if any(LOOKS.match(t) or not re.match(r"\w+\(", t) for t in texts) or not any(map(ACTS.match, texts)):
            return
        self.add("pair", a[0], b_end, lambda e, g: "{ if (mutant(%d)) { %s %s } else { %s %s } }" % (
            e.numbers[0], g(b[0], b_end), g(a[0], a_end), g(a[0], a_end), g(b[0], b_end)), ["statements exchanged"])

    def on_condition(self, m, _):
        start, end = self.span(m[1:])
        if re.match(r"(!?\(?(IS_ENABLED|WARN|IS_BUILTIN|__builtin))|BUILD_BUG", self.text[start:end]):
            return
        self.add("condition", start, end, lambda e, g: f"mutant_condition({e.numbers[0]}, ({g(start, end)}))",
                 ["condition true", "condition false", "condition negated"])

    def on_loop(self, m, _):
        start, end = self.span(m[1:])
        if self.text[:start].rstrip(" (").endswith("scoped_guard"):
            return
        self.add("condition", start, end, lambda e, g: f"(!mutant({e.numbers[0]}) && ({g(start, end)}))", ["loop never entered"])

    def on_binary(self, m, conditions):
        a, b = self.span(m[1:5]), self.span(m[5:9])
        op = self.text[a[1]:b[0]].strip()
        if op not in SWAP:
            return      # a parenthesis between
        start, end = a[0], b[1]
        if op in ("==", "!=") and (start, end) in conditions:
            return
        if op in ("&&", "||"):
            self.add("logic", start, end, lambda e, g: "(mutant(%d) ? ((%s) %s (%s)) : ((%s) %s (%s)))" % (
                e.numbers[0], g(*a), SWAP[op], g(*b), g(*a), op, g(*b)), [f"{op} to {SWAP[op]}"])
            return
        names = [f"{op} to {SWAP[op]}"] + (["one more"] if op in "+-" else [])

        def render(e, g):
            left, right = f"_l{e.numbers[0]}", f"_r{e.numbers[0]}"
            forms = [f"{left} {SWAP[op]} {right}", f"{left} {op} {right} + 1"]
            choice = "".join(f"mutant({n}) ? {form} : " for n, form in zip(e.numbers, forms))
            return (f"({{ __auto_type {left} = ({g(*a)}); __auto_type {right} = ({g(*b)}); "
                    f"{choice}{left} {op} {right}; }})")
        self.add("binary", start, end, render, names)

    def on_result(self, m, _):
        start, end = self.span(m[1:])
        f = self.function(start)
        text = self.text[start:end]
        if f is None or text in ("0", "NULL", "false", "true"):
            return
        if f["type"] == "bool":
            self.add("result", start, end, lambda e, g: f"(!!({g(start, end)}) ^ mutant({e.numbers[0]}))", ["result negated"])
        else:
            zero = "NULL" if f["type"].endswith("*") else "0"
            self.add("result", start, end, lambda e, g: f"(mutant({e.numbers[0]}) ? {zero} : ({g(start, end)}))",
                     ["error dropped" if re.match(r"-E|err|ret|rc", text) else f"result {zero}"])

    def on_arguments(self, m, _):
        name, o, a, b = m[1], self.span(m[2:6]), self.span(m[6:10]), self.span(m[10:14])
        if name in ("min", "max", "min_t", "max_t"):
            other = {"min": "max", "max": "min"}[name[:3]] + name[3:]
            close = self.close(o[1])
            if close:
                self.add("minmax", o[0], close, lambda e, g: "(mutant(%d) ? %s%s : %s%s)" % (
                    e.numbers[0], other, g(o[1], close), name, g(o[1], close)), [f"{name} to {other}"])
            return
        if SYMMETRIC.match(name) or LVALUE.match(name) or self.text[a[1]:b[0]].strip() != ",":
            return
        # Text and numbers cannot be exchanged, and a constant with a pointer does not compile.
        self.add("arguments", a[0], b[1], lambda e, g: "mutant(%d) ? (%s) : (%s), mutant(%d) ? (%s) : (%s)" % (
            e.numbers[0], g(*b), g(*a), e.numbers[0], g(*a), g(*b)), ["arguments exchanged"])

    def on_variable(self, m, _):
        name, (start, end) = m[1], self.span(m[2:6])
        f = self.function(start)
        if f is None or LVALUE.match(m[6]):
            return
        params = [re.match(r"(.*?)\s*(\w+)$", p.strip()) for p in f["params"].split(",")]
        params = {p[2]: p[1].replace("const ", "") for p in params if p}
        others = [p for p in params if p != name and params[p] == params.get(name)]
        if others:
            self.add("variable", start, end, lambda e, g: f"(mutant({e.numbers[0]}) ? {others[0]} : {name})", ["another variable"])

    def close(self, opening):
        depth = 0
        for i in range(self.text.index("(", opening), len(self.text)):
            depth += {"(": 1, ")": -1}.get(self.text[i], 0)
            if depth == 0:
                return i + 1
        return None

    RANK = ["pair", "statement", "condition", "result", "arguments", "minmax", "logic", "binary", "variable", "guard", "early"]

    def settle(self):
        """Sort, and leave out what overlaps without being nested."""
        self.edits.sort(key=lambda e: (e.start, -e.end, self.RANK.index(e.kind)))
        kept, stack, seen = [], [], set()
        for e in self.edits:
            key = (e.kind, e.start, e.end, tuple(e.operators))
            while stack and stack[-1].end <= e.start:
                stack.pop()
            if key in seen or (stack and e.end > stack[-1].end):
                continue
            seen.add(key)
            kept.append(e)
            if e.end > e.start:
                stack.append(e)
        self.edits = kept

    def write(self, tree, dropped):
        """The text with its mutants. Where each came to stand goes to its spans."""
        live = [e for e in self.edits if not dropped.issuperset(e.numbers)]

        def generate(start, end, skip=None):
            out, pos = "", start
            inside = [e for e in live if start <= e.start and e.end <= end]
            if skip in inside:
                inside = inside[inside.index(skip) + 1:]
            for e in inside:
                if e.start >= pos:
                    text = e.render(e, lambda a, b, e=e: generate(a, b, e))
                    out += f"{self.text[pos:e.start]}\x01{e.numbers[0]}\x02{text}\x03"
                    pos = e.end
            return out + self.text[pos:end]

        text, spans, opened = "", {}, []
        for piece in re.split(r"(\x01\d+\x02|\x03)", generate(0, len(self.text))):
            if piece[:1] == "\x01":
                opened.append((int(piece[1:-1]), len(text)))
            elif piece == "\x03":
                number, start = opened.pop()
                spans.setdefault(number, []).append((start, len(text)))
            else:
                text += piece
        include = "#include <linux/mutant.h>\n"
        first = min((a for s in spans.values() for a, _ in s), default=len(text))
        at = max((m.end() for m in re.finditer(r"^#include.*\n", text, re.M) if m.start() < first), default=0)
        text = text[:at] + include + text[at:]
        name = os.path.join(tree, self.path)
        with open(name) as f:
            same = f.read() == text
        if not same:
            with open(name, "w") as f:
                f.write(text)
        return {n: [(a + len(include), b + len(include)) for a, b in s] for n, s in spans.items()}


def drop(listing, messages):
    """Add the innermost mutant at each place that the compiler names to LIST.drop."""
    spans = {}
    with open(listing + ".spans") as f:
        tree = f.readline().strip()
        for line in f:
            path, numbers, *where = line.rstrip("\n").split("\t")
            numbers = [int(n) for n in numbers.split(",")]
            spans.setdefault(path, []).extend((*map(int, w.split("-")), numbers) for w in where)
    new, unplaced, texts = set(), set(), {}
    with open(messages, errors="replace") as f:
        for line in f:
            # What an inline function asserts is wrong where it is called.
            line = re.sub(r"^ +inlined from .* at (\S+:\d+:\d+):$", r"\1: note: expansion", line)
            m = re.match(r"(?:\S*?linux/)?(\S+?):(\d+):(\d+): (error|warning|note): (.*)", line)
            if not m:
                continue
            path = next((p for p in spans if m[1].endswith(p)), None)
            if path is None or (m[4] == "note" and "expansion" not in m[5]):
                if m[4] == "error":
                    unplaced.add(line.strip())
                continue
            if path not in texts:
                with open(os.path.join(tree, path)) as src:
                    text = src.read()
                texts[path] = text, line_starts(text)
            text, starts = texts[path]
            row, column = int(m[2]) - 1, int(m[3]) - 1
            # The compiler advances to multiples of eight at a tab.
            offset, at = starts[row], 0
            while at < column and text[offset] != "\n":
                at = (at // 8 + 1) * 8 if text[offset] == "\t" else at + 1
                offset += 1
            inner = min((s for s in spans[path] if s[0] <= offset < s[1]), key=lambda s: s[1] - s[0], default=None)
            line_end = text.index("\n", offset)
            if m[4] == "note":
                # The fault is in an argument of the macro or function.
                within = [s for s in spans[path] if offset < s[0] < line_end]
                for s in within:
                    new.update(s[2])
                inner = None if within else inner
            if inner:
                new.update(inner[2])
            elif m[4] == "error":
                unplaced.add(line.strip())
    with open(listing + ".drop", "a") as f:
        f.writelines(f"{n}\n" for n in sorted(new))
    print(f"{len(new)} dropped")
    if not new:
        sys.exit("error: no mutant explains these messages:\n" + "\n".join(sorted(unplaced)[:10]))


def compiled(listing, objcopy, *objects):
    numbers = set()
    for o in objects:
        subprocess.run([objcopy, "--dump-section", f".discard.mutants={listing}.bin", o, "/dev/null"], check=True)
        with open(listing + ".bin", "rb") as f:
            data = f.read()
        order = "big" if open(o, "rb").read(6)[5] == 2 else "little"
        numbers.update(int.from_bytes(data[i:i + 4], order) for i in range(0, len(data), 4))
    if not numbers:
        sys.exit("error: the objects name no mutant")
    with open(listing) as f:
        rows = f.readlines()
    with open(listing, "w") as f:
        f.writelines(r for r in rows if int(r.split("\t")[0]) in numbers)
    print(f"{len(numbers)} of {len(rows)} mutants are compiled")


def main():
    if sys.argv[1] == "--drop":
        return drop(*sys.argv[2:])
    if sys.argv[1] == "--compiled":
        return compiled(*sys.argv[2:])
    tree, listing, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    dropped = set()
    if os.path.exists(listing + ".drop"):
        with open(listing + ".drop") as f:
            dropped = {int(line) for line in f}
    number, rows, where = 1, [], [tree]
    for path in files:
        source = Source(tree, path)
        source.settle()
        seen = {}
        for e in source.edits:
            text = " ".join(source.text[e.start:e.end].split())
            line = source.line(e.start)
            name = source.function(e.start)["name"]
            for operator in e.operators:
                e.numbers.append(number)
                key = f"{path}:{name}:{operator}:{hashlib.sha1(text.encode()).hexdigest()[:6]}"
                seen[key] = seen.get(key, 0) + 1
                if seen[key] > 1:
                    key += f".{seen[key]}"
                rows.append((number, key, operator, path, name, line, text))
                number += 1
        spans = source.write(tree, dropped)
        for e in source.edits:
            if e.numbers[0] in spans:
                where.append("\t".join([path, ",".join(map(str, e.numbers))] + [f"{a}-{b}" for a, b in spans[e.numbers[0]]]))
    with open(listing, "w") as f:
        f.writelines("\t".join(map(str, r)) + "\n" for r in rows if r[0] not in dropped)
    with open(listing + ".spans", "w") as f:
        f.write("\n".join(where) + "\n")
    print(f"{sum(r[0] not in dropped for r in rows)} mutants in {len(files)} files, {len(dropped)} do not compile; "
          f"highest number {number - 1}")


if __name__ == "__main__":
    main()
