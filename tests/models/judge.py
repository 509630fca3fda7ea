#!/usr/bin/env python3
"""Run the models and their mutants, and see that nobody has changed the code behind them.

usage: judge.py --tree DIR --out DIR --results FILE [--herd7 CMD] [--spin CMD] [--jobs N] [--update] [MODEL...]

A model is a file FOLDER/NAME. Its header consists of lines that begin with "// ":
  of: FILE SYMBOL...		the code that it is of
  expect [CASE]: VERDICT [OPTION...]
  mutant NAME [of CASE]: SED	must turn the verdict of the (first) case
  same NAME [of CASE]: SED	must not: what the code has, but this model does not need
"""
import argparse
import collections
import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = {'lkmm': 'herd7', 'arm64': 'herd7', 'spin': 'spin', 'alloc': None}
HEAD = re.compile(r'// (of|expect|mutant|same)\b ?([^:]*): (.*)')
Run = collections.namedtuple('Run', 'name want options sed')


def definition(text, name):
    """The lines that define a function or macro in C or assembler, without comments."""
    text = re.sub(r'/\*.*?\*/|//[^\n]*', '', text, flags=re.S)
    found = []
    for pattern in (r'^(?!#)[^\s{}][^\n;{}]*?\b%s\([^;{}]*?\)\n\{\n.*?^\}', r'^#define\s+%s\b(?:[^\n]*\\\n)*[^\n]*',
                    r'^\s*\.macro\s+%s\b.*?^\s*\.endm', r'^SYM_\w*START\w*\(%s\).*?^SYM_\w*END\w*\(%s\)'):
        found += re.findall(pattern.replace('%s', re.escape(name)), text, re.S | re.M)
    return ''.join(''.join(found).split())


def read(path):
    return open(path, encoding='utf-8').read() if os.path.exists(path) else ''


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


class Model:
    def __init__(self, name):
        self.name, self.kind = name, name.split('/')[0]
        self.of, self.runs = [], []
        lines = read(os.path.join(HERE, name)).split('\n')
        cases = {}
        for what, label, value in (m.groups() for m in map(HEAD.match, lines) if m):
            if what == 'of':
                path, *symbols = value.split()
                self.of += [(path, s) for s in symbols]
            elif what == 'expect':
                verdict, *options = value.split()
                cases[label] = Run(label, verdict, options, '')
                self.runs.append(cases[label])
            else:
                label, _, case = label.partition(' of ')
                base = cases[case] if case else self.runs[0]
                self.runs.append(Run(what + ' ' + label, base.want, base.options, value))
        self.body = '\n'.join(x for x in lines if not x.startswith('// '))


def command(args, cwd, limit=900):
    p = subprocess.run(['timeout', str(limit), *args], cwd=cwd, capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def judge_herd(a, model, work, text, options):
    # What marks a line for sed.
    write(work + '/test.litmus', re.sub(r' *//.*|; (?=[a-z]+ *[|;])[a-z]+', '', text))
    flags = ['-conf', 'linux-kernel.cfg'] if model.kind == 'lkmm' else ['-variant', 'self']
    _, out = command([a.herd7, *flags, *options, work + '/test.litmus'], a.tree + '/tools/memory-model')
    found = re.search(r'^Observation \S+ (\w+)', out, re.M)
    return (found[1].replace('Always', 'Sometimes') if found else 'error'), out


def judge_spin(a, _model, work, text, options):
    write(work + '/model.pml', text)
    rc, out = command([a.spin, '-a', *options, 'model.pml'], work)
    if rc == 0:
        rc, out = command(['gcc', '-w', '-O2', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=4000', '-o', 'pan', 'pan.c'], work)
    if rc != 0:
        return 'error', out
    _, out = command(['./pan', '-m1000000', '-w25', '-n'], work)
    if 'assertion violated' in out:
        return 'fails', out
    done = 'errors: 0' in out and 'max search depth too small' not in out and 'Search not completed' not in out
    return ('holds' if done else 'error'), out


def judge_alloc(a, model, work, text, options):
    write(work + '/execmem_text.c', re.sub(r'^#include .*', '', text, flags=re.M))
    write(work + '/model.c', model.body)
    rc, out = command(['gcc', '-w', '-O2', '-I', work, '-I', HERE + '/alloc', *options, '-o', 'model', 'model.c'], work)
    if rc == 0:
        rc, out = command(['./model'], work)
        return {0: 'holds', 1: 'fails', 139: 'fails', -11: 'fails'}.get(rc, 'error'), out
    return 'error', out


def try_run(a, model, run):
    """The verdict, what was printed, seconds."""
    begin = time.time()
    # Mutants of several cases may have one name, and run at the same time.
    name = f'{model.name} {model.runs.index(run)} {run.name}'
    work = os.path.join(a.out, re.sub(r'\W+', '-', name))
    os.makedirs(work, exist_ok=True)
    text = read(a.tree + '/' + model.of[0][0]) if model.kind == 'alloc' else model.body
    if run.sed:
        p = subprocess.run(['sed', '-e', run.sed], input=text, capture_output=True, text=True)
        if p.returncode or p.stdout == text:
            return 'error', 'sed changes nothing: ' + run.sed + p.stderr, 0
        text = p.stdout
    judge = {'spin': judge_spin, 'alloc': judge_alloc}.get(model.kind, judge_herd)
    got, out = judge(a, model, work, text, run.options)
    if got != 'error':
        shutil.rmtree(work)
    return got, out, time.time() - begin


def stale(a, models):
    """How many symbols are not as they were when the models were made."""
    old = read(HERE + '/of').splitlines()
    new = {}
    for m in models:
        for file, symbol in m.of:
            text = definition(read(os.path.join(a.tree, file)), symbol)
            new[file, symbol] = hashlib.sha256(text.encode()).hexdigest()[:16] if text else 'missing'
    if a.update:
        write(HERE + '/of', ''.join(sorted('%s %s %s\n' % (*k, v) for k, v in new.items())))
    changed = [k for k, v in new.items() if v == 'missing' or not a.update and '%s %s %s' % (*k, v) not in old]
    for m in models:
        mine = ['%s (%s)' % (s, new[f, s]) if new[f, s] == 'missing' else s for f, s in m.of if (f, s) in changed]
        if mine:
            print('%s: code has changed since the model was made: %s\n'
                  '    look at the model, then run tests/models/run --update' % (m.name, ', '.join(dict.fromkeys(mine))))
    return len(changed)


def report(model, results, total):
    """Print a line for the model, and what went wrong."""
    seconds, verdicts, problems = 0.0, [], []
    count = collections.Counter(runs=len(results))
    for run, (got, out, took) in zip(model.runs, results):
        kind = run.name.split(' ')[0] if run.sed else 'verdicts'
        ok = got not in ('error', run.want) if kind == 'mutant' else got == run.want
        seconds += took
        count[kind] += 1
        count[kind + ' ok'] += ok
        if kind == 'verdicts':
            verdicts.append(got)
        if not ok:
            problems.append('    %s: %s, expected %s%s\n        %s' % (
                run.name or 'as it is', got, 'not ' if kind == 'mutant' else '', run.want,
                '\n        '.join(out.strip().split('\n')[-8:])))
    print('%-28s %-10s %-10s %6s %5s %8.1f' % (
        model.name, model.runs[0].want, ','.join(dict.fromkeys(verdicts)) + (' (%d)' % len(verdicts)) * (len(verdicts) > 1),
        '%d/%d' % (count['mutant ok'], count['mutant']), count['same'] or '', seconds))
    print(*problems, sep='\n', end='\n' * bool(problems), flush=True)
    total.update(count)
    total['failed' if problems else 'passed'] += 1


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    for option in ('tree', 'out', 'results', 'herd7', 'spin'):
        p.add_argument('--' + option, default='')
    p.add_argument('--jobs', type=int, default=1)
    p.add_argument('--update', action='store_true')
    p.add_argument('models', nargs='*')
    a = p.parse_args()
    models = [Model(k + '/' + f) for k in sorted(KINDS) for f in sorted(os.listdir(HERE + '/' + k)) if not f.endswith('.h')]
    total = collections.Counter(failed=stale(a, models))
    if a.update:
        sys.exit(total['failed'] > 0)
    models = [m for m in models if not a.models or any(n in m.name for n in a.models)]
    pool = concurrent.futures.ThreadPoolExecutor(a.jobs)
    print('%-28s %-10s %-10s %6s %5s %8s' % ('model', 'expected', 'got', 'turned', 'same', 'seconds'))
    todo = [(m, not KINDS[m.kind] or getattr(a, KINDS[m.kind])) for m in models]
    todo = [(m, [pool.submit(try_run, a, m, r) for r in m.runs if tool]) for m, tool in todo]
    for m, jobs in todo:
        if jobs:
            report(m, [j.result() for j in jobs], total)
        else:
            print('%-28s skipped: no %s' % (m.name, KINDS[m.kind]))
            total['skipped'] += 1
    total['failed'] += not models
    print('\n%d models: %d runs, %d verdicts, %d of %d mutants turn theirs, %d passed, %d failed, %d skipped' % (
        len(models), total['runs'], total['verdicts'], total['mutant ok'], total['mutant'], total['passed'],
        total['failed'], total['skipped']))
    write(a.results, 'models\tmodels and their mutants\t%d\t%d\t%d\n' % (total['passed'], total['failed'], total['skipped']))
    sys.exit(total['failed'] > 0)


main()
