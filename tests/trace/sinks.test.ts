import fc from 'fast-check';
import type { ExitRow } from '../../trace/exit-row';
import { formatOfName, TRACE_FORMATS } from '../../trace/formats';
import { KvmSink } from '../../trace/kvm-sink';
import { NdjsonSink, parseNdjsonLine } from '../../trace/ndjson-sink';
import { PerfettoSink } from '../../trace/perfetto-sink';
import { SymbolTable } from '../../trace/symbols';
import { TraceSummary } from '../../trace/trace-stats';

const row = (over: Partial<ExitRow> = {}): ExitRow => ({
  vcpu: 0,
  instructions: 10,
  ticks: 12_345_678_901,
  rip: 0xffff_ffff_8100_0010n,
  reason: 'EPT_VIOLATION',
  code: 48,
  qualification: 0x182n,
  handler: 'nested-page-fault',
  outcome: 'retry',
  detail: 0xfed0_0000,
  ...over,
});

function collect(): { text: () => string; output: { write(data: string | Uint8Array): void } } {
  let text = '';
  return { text: () => text, output: { write: (data) => void (text += String(data)) } };
}

const rows = fc.record({
  vcpu: fc.nat(3),
  instructions: fc.maxSafeNat(),
  ticks: fc.maxSafeNat(),
  rip: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  reason: fc.string(),
  code: fc.nat(0x403),
  qualification: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  handler: fc.string(),
  outcome: fc.string(),
  detail: fc.option(fc.maxSafeNat(), { nil: undefined }),
});

describe('NDJSON', () => {
  test('every row comes back as it went in', () => {
    fc.assert(
      fc.property(fc.array(rows), (list) => {
        const { text, output } = collect();
        const sink = new NdjsonSink(output);
        list.forEach((r) => sink.write(r));
        const lines = text().split('\n').slice(0, -1);
        expect(lines.map(parseNdjsonLine)).toEqual(list);
      }),
    );
  });

  test.each([
    ['not JSON', 'x', SyntaxError],
    [
      'a number that is none',
      JSON.stringify({ ...row({ rip: 0n, qualification: 0n } as object), rip: '0x0', qualification: '0x0', ticks: 'x' }, bigints),
      TypeError,
    ],
    ['a RIP of more than 64 bits', JSON.stringify({ ...row(), rip: `0x1${'0'.repeat(16)}` }, bigints), TypeError],
  ])('refuses %s', (_what, line, error) => expect(() => parseNdjsonLine(line)).toThrow(error));
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
}

test('Perfetto: one JSON object; a slice ends at its exit and begins at the one before, in microseconds', async () => {
  const { text, output } = collect();
  const sink = new PerfettoSink(output);
  sink.write(row({ ticks: 2000 }));
  sink.write(row({ ticks: 5500, reason: 'CPUID' }));
  await sink.close();
  const { traceEvents } = JSON.parse(text()) as { traceEvents: { ph: string; name: string; ts: number; dur: number; tid: number }[] };
  const slices = traceEvents.filter((e) => e.ph === 'X');
  expect(slices.map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
    ['EPT_VIOLATION', 0, 2],
    ['CPUID', 2, 3.5],
  ]);
  expect(traceEvents.filter((e) => e.name === 'thread_name')).toHaveLength(1);
});

test('kvm: the fields and their order are those of the kernel events', () => {
  const { text, output } = collect();
  const sink = new KvmSink(output);
  sink.write(row(), () => ({ info2: 0x8000_0b0en, interruption: 0x8000_0b0d, errorCode: 0xfff0 }));
  sink.enter({ vcpu: 0, ticks: 12_345_678_901, rip: 0xffff_ffff_8100_0012n });
  const [exit, entry] = text().split('\n');
  // arch/x86/kvm/trace.h as trace-cmd report prints it: task-pid [cpu] seconds.microseconds: event: fields.
  expect(exit).toMatch(
    /^ *\S+-\d+ +\[000\] +12\.345678: kvm_exit: +vcpu 0 reason EPT_VIOLATION rip 0xffffffff81000010 info1 0x0000000000000182 info2 0x0000000080000b0e intr_info 0x80000b0d error_code 0x0000fff0$/,
  );
  // Where the guest goes on, which is not where it came out.
  expect(entry).toMatch(/kvm_entry: +vcpu 0, rip 0xffffffff81000012$/);
});

test('formats are chosen by the end of the file name', () => {
  expect(['a.ndjson', 'a.json', 'a.txt', 'a.parquet', 'a.bin'].map((f) => formatOfName(f)?.name)).toEqual(['ndjson', 'perfetto', 'kvm', 'parquet', undefined]);
  const endings = TRACE_FORMATS.flatMap((f) => f.endings);
  expect(new Set(endings).size).toBe(endings.length);
});

describe('symbols', () => {
  const table = SymbolTable.parse('ffffffff81000000 T _text\nffffffff81000100 t helper\nffffffff82000000 D data\n');
  test.each([
    [0xffff_ffff_8100_0000n, '_text'],
    [0xffff_ffff_8100_00ffn, '_text+0xff'],
    [0xffff_ffff_8100_0100n, 'helper'],
    [0xffff_ffff_8200_0010n, 'data+0x10'],
    [0x1000n, '0x1000'],
    [0xffff_ffff_8300_0000n, '0xffffffff83000000'],
  ])('%i is %s', (address, name) => expect(table.describe(address)).toBe(name));
  test('by name', () => expect(table.addressOf('helper')).toBe(0xffff_ffff_8100_0100n));
  test('offsets of per-CPU variables have a value, and name no small numbers; low symbols of a table without an upper half do', () => {
    const kernel = SymbolTable.parse('0000000000000000 A fixed_percpu_data\n0000000000020000 A cpu_info\nffffffff81000000 T _text\n');
    expect([kernel.at(5n), kernel.at(0x2_0010n), kernel.addressOf('cpu_info')]).toEqual([undefined, undefined, 0x2_0000n]);
    expect(kernel.describe(0xffff_ffff_8100_0001n)).toBe('_text+0x1');
    expect(SymbolTable.parse('0000000000007c00 T boot\n').describe(0x7c01n)).toBe('boot+0x1');
  });
  test('a file without symbols is refused', () => expect(() => SymbolTable.parse('hello\n')).toThrow(/System\.map/));
});

test('summary: counts, shares, and instructions between exits', () => {
  const summary = new TraceSummary();
  for (const [instructions, reason, rip] of [
    [100, 'A', 1n],
    [110, 'B', 2n],
    [140, 'A', 1n],
    [141, 'A', 3n],
  ] as const)
    summary.add(row({ instructions, reason, rip }));
  const { total, instructions, reasons, hottest } = summary.result(1);
  expect({ total, instructions }).toEqual({ total: 4, instructions: 141 });
  expect(reasons).toEqual([
    { reason: 'A', count: 3, share: 0.75, min: 1, average: (100 + 30 + 1) / 3, max: 100 },
    { reason: 'B', count: 1, share: 0.25, min: 10, average: 10, max: 10 },
  ]);
  expect(hottest).toEqual([{ rip: 1n, reason: 'A', count: 2 }]);
});
