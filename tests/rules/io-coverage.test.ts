/** Every register, fault, command and event of the IOMMUs and disks has a test that exists: docs/coverage.md names it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { amdviTables, deviceTables, vtdTables } from '../../scripts/coverage/io-tables';
import * as tests from '../../scripts/coverage/io-tests';
import { ADMIN_COMMANDS } from '../../devices/pci/nvme/admin-commands';
import { IO_COMMANDS } from '../../devices/pci/nvme/io-commands';

const TESTS = join(__dirname, '..');

const entriesOf = (table: (typeof tests)[keyof typeof tests]): (readonly [string, tests.NamedTest | undefined])[] =>
  Array.isArray(table) ? tests.VIRTIO_TESTS.map(([device, request, test]) => [`${device} ${request}`, test]) : Object.entries(table);

const named = Object.values(tests)
  .flatMap(entriesOf)
  .flatMap(([name, test]): [string, readonly [string, string]][] => (test === undefined || test === 'absent' ? [] : [[name, test]]));

test('tables are not empty', () => expect(named.length).toBeGreaterThan(100));

test.each(named)('%s', (_, [file, words]) => expect([words, readFileSync(join(TESTS, file), 'utf8').includes(words)]).toEqual([words, true]));

test.each([...vtdTables(), ...amdviTables(), ...deviceTables()])('$title: no row without a test', ({ rows }) =>
  expect(rows.filter(({ present, test }) => present && test === undefined)).toEqual([]),
);

test('no test is kept for an NVMe command that is not there', () => {
  const names = (table: ReadonlyMap<number, { readonly name: string }>): string[] => [...table.values()].map(({ name }) => name).sort();
  expect(Object.keys(tests.NVME_ADMIN_TESTS).sort()).toEqual(names(ADMIN_COMMANDS));
  expect(Object.keys(tests.NVME_IO_TESTS).sort()).toEqual(names(IO_COMMANDS));
});
