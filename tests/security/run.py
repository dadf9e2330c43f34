"""Runs the tests of checks.tsv and says what came of each identifier. Called by ../security.sh."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULT = re.compile(r'^ +(PASS|FAIL|TIMEOUT|ABORT|SIG\w+|LEAK|FLAKY\s+\S+) \[ *([\d.]+)s\] (?:\( *\d+/\d+\) )?(.+)$')


def checks():
    """Identifier, regular expressions, what is checked or why there is no test."""
    for line in (HERE / 'checks.tsv').read_text().splitlines():
        if line and not line.startswith('#'):
            identifier, tests, what = line.split('\t')
            yield identifier, [test.strip() for test in tests.split(' | ') if test.strip()], what


def listed():
    """All tests of the workspace, as "binary test"."""
    command = ['cargo', 'nextest', 'list', '--workspace', '--message-format', 'json', '--cargo-quiet']
    suites = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)['rust-suites']
    return [binary + ' ' + test for binary, suite in suites.items() for test in suite['testcases']]


def nextest_filter(names):
    """Exactly these tests."""
    binaries = {}
    for name in names:
        binary, _, test = name.partition(' ')
        binaries.setdefault(binary, []).append('test(=%s)' % re.sub(r'([\\,()])', r'\\\1', test))
    return ' | '.join('(binary_id(=%s) & (%s))' % (binary, ' | '.join(tests)) for binary, tests in binaries.items())


def run(names, long):
    """Results by name, figures and reasons for skipping by identifier or name."""
    environment = dict(os.environ)
    if long:
        environment['LAPSTRAKE_SECURITY_LONG'] = '1'
        environment['NEXTEST_PROFILE'] = 'long'
    command = ['tests/run', '-E', nextest_filter(names), '--success-output', 'immediate', '--no-fail-fast',
               '--cargo-quiet', '--color', 'never']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=environment)
    results, figures, skipped, current = {}, {}, {}, None
    tail = []
    for line in process.stdout:
        tail = (tail + [line])[-40:]
        found = RESULT.match(line.rstrip())
        if found:
            status, seconds, current = found.groups()
            results[current] = (status, float(seconds))
            if status != 'PASS':
                print(line.rstrip(), flush=True)
            continue
        figure = re.search(r'figure ([A-Z]+-[A-Z]?\d+): (.+)', line)
        if figure and figure.group(2) not in figures.setdefault(figure.group(1), []):
            figures[figure.group(1)].append(figure.group(2))
        reason = re.search(r'\bskipped: (.+)', line)
        if reason and current:
            skipped[current] = reason.group(1)
    code = process.wait()
    if not results:
        sys.exit(''.join(tail) + 'no test has run')
    return results, figures, skipped, code


def advisories():
    """Whether no dependency has a known vulnerability, as far as a snapshot can tell."""
    cargo = os.environ.get('CARGO_HOME', str(Path.home() / '.cargo'))
    database = Path(os.environ.get('LAPSTRAKE_ADVISORIES', cargo + '/advisory-db'))
    if not (database / 'crates').is_dir():
        print('dependencies: skipped, there is no snapshot of the advisory database in %s' % database)
        return True
    done = subprocess.run([sys.executable, str(HERE / 'advisories.py'), str(database)], stdout=subprocess.PIPE,
                          text=True)
    print('dependencies: ' + done.stdout.strip())
    return done.returncode == 0


def main():
    arguments = sys.argv[1:]
    long = '--long' in arguments
    wanted = [argument for argument in arguments if argument != '--long']
    known = list(checks())
    unknown = set(wanted) - {identifier for identifier, _, _ in known}
    if unknown:
        sys.exit('there is no check ' + ', '.join(sorted(unknown)))
    chosen = [check for check in known if not wanted or check[0] in wanted]
    tests = listed()
    of = {identifier: [name for name in tests if any(pattern in name for pattern in patterns)]
          for identifier, patterns, _ in chosen}
    results, figures, skipped, code = run(sorted({name for names in of.values() for name in names}), long)
    counts = {'ok': 0, 'FAILED': 0, 'skipped': 0, 'no test': 0}
    for identifier, patterns, what in chosen:
        names = [name for name in of[identifier] if name in results]
        failed = [name for name in names if results[name][0] not in ('PASS', 'LEAK')]
        failed += [name for name in of[identifier] if name not in results]
        ran = [name for name in names if name not in skipped]
        if not patterns:
            verdict, text = 'no test', what
        elif failed or not names:
            verdict, text = 'FAILED', ', '.join(failed) or 'none of its tests exists'
        elif not ran:
            verdict, text = 'skipped', skipped[names[0]]
        else:
            seconds = sum(results[name][1] for name in names)
            text = '%d tests in %.1f s; %s' % (len(ran), seconds, '; '.join(figures.get(identifier, [what])))
            if len(ran) < len(names):
                text += ' (%d more skipped: %s)' % (len(names) - len(ran),
                                                    next(skipped[name] for name in names if name in skipped))
            verdict = 'ok'
        counts[verdict] += 1
        print('%-8s %-8s %s' % (identifier, verdict, text))
    counts['FAILED'] += not advisories()
    print('%d identifiers: %s' % (len(chosen), ', '.join('%d %s' % (n, v) for v, n in counts.items())))
    sys.exit(1 if counts['FAILED'] or code not in (0, 100) and not counts['FAILED'] else 0)


main()
