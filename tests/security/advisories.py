#!/usr/bin/env python3
"""Holds Cargo.lock against a snapshot of the RustSec advisory database.

    tests/security/advisories.py DIRECTORY [LOCK]

DIRECTORY is a checkout of the database. Prints each advisory about a version that the lock has, and ends with 1 when
there is one about a vulnerability; what is only unmaintained or of interest is printed and no failure.
"""

import re
import sys
import tomllib
from pathlib import Path

BLOCK = re.compile(r'^```toml\n(.*?)^```', re.M | re.S)


def version(text):
    """A version as it is compared: its numbers, and a pre-release below all that have none."""
    text = text.split('+')[0]
    numbers, _, pre = text.partition('-')
    numbers = [int(number) for number in numbers.split('.')]
    numbers += [0] * (3 - len(numbers))
    parts = [(0, int(part), '') if part.isdigit() else (1, 0, part) for part in pre.split('.')] if pre else []
    return tuple(numbers), 0 if pre else 1, parts


def bounds(requirement):
    """What a requirement of Cargo's means, as comparisons."""
    operator, text = re.fullmatch(r'\s*(\^|~|>=|<=|>|<|=)?\s*(\S+)\s*', requirement).groups()
    given = text.split('-')[0].split('.')
    numbers = version(text)[0]
    if operator in ('>=', '<=', '>', '<'):
        return [(operator, version(text))]
    if operator == '=':
        if len(given) == 3:
            return [('=', version(text))]
        place = len(given) - 1
    elif operator == '~':
        place = min(len(given), 2) - 1
    else:
        place = next((at for at, number in enumerate(numbers[:len(given)]) if number), len(given) - 1)
    above = [*numbers[:place], numbers[place] + 1, 0, 0][:3]
    return [('>=', version(text)), ('<', (tuple(above), 0, []))]


def holds(found, requirements):
    """Whether a version meets all of the requirements of a list with commas."""
    compare = {'>=': lambda a, b: a >= b, '<=': lambda a, b: a <= b, '>': lambda a, b: a > b,
               '<': lambda a, b: a < b, '=': lambda a, b: a == b}
    return all(compare[operator](found, bound)
               for requirement in requirements.split(',') for operator, bound in bounds(requirement))


def advisories(database):
    for path in sorted((database / 'crates').glob('*/RUSTSEC-*.md')):
        text = path.read_text()
        advisory = tomllib.loads(BLOCK.match(text).group(1))
        title = next((line[2:] for line in text.splitlines() if line.startswith('# ')), '')
        if 'withdrawn' not in advisory['advisory']:
            yield advisory['advisory'], advisory['versions'], title


def check_itself():
    for found, requirement, expected in [
            ('1.2.3', '>= 1.2.3', True), ('1.2.2', '>=1.2.3', False), ('1.9.0', '^1.2', True), ('2.0.0', '^1.2', False),
            ('0.4.46', '^0.4.45', True), ('0.5.0', '^0.4.45', False), ('0.0.3', '^0.0.3', True),
            ('0.0.4', '^0.0.3', False), ('1.2.9', '~1.2.3', True), ('1.3.0', '~1.2.3', False),
            ('1.0.0-rc.1', '< 1.0.0', True), ('1.0.0', '< 1.0.0', False), ('1.5.0', '>= 1.2, < 1.5', False),
            ('2.0.0-alpha.2', '>= 2.0.0-alpha.1', True), ('1.0.0', '1.0.0', True)]:
        assert holds(version(found), requirement) is expected, (found, requirement)


def main():
    check_itself()
    database = Path(sys.argv[1])
    lock = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2] / 'Cargo.lock'
    locked = {}
    for package in tomllib.loads(lock.read_text())['package']:
        locked.setdefault(package['name'], []).append(package['version'])
    known, failures = 0, 0
    for advisory, versions, title in advisories(database):
        known += 1
        for found in locked.get(advisory['package'], []):
            safe = versions.get('patched', []) + versions.get('unaffected', [])
            if any(holds(version(found), requirement) for requirement in safe):
                continue
            kind = advisory.get('informational')
            failures += kind in (None, 'unsound')
            print(f"{advisory['id']}: {advisory['package']} {found}: {title}{f' ({kind})' if kind else ''}")
    if not known:
        sys.exit(f'{database} holds no advisory')
    print(f'{sum(map(len, locked.values()))} packages against {known} advisories: {failures} to act on')
    sys.exit(1 if failures else 0)


main()
