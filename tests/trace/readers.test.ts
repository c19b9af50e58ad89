/** Traces of a real run, read back by programs that know nothing of what wrote them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTraceFile } from '../../cli/trace-file';
import { Guest } from '../../hypervisor/guest';
import type { ExitRecord } from '../../hypervisor/vcpu';
import type { ExitInformation } from '../../trace/exit-row';
import { parseNdjsonLine } from '../../trace/ndjson-sink';
import { guestConfig } from '../debugger/debug-guests';

const ROOT = join(__dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'vmexit-trace-'));

/** Runs the tour with a trace; what its exits were, and the file. */
async function traced(
  name: string,
  backend: 'vmx' | 'svm' = 'vmx',
  config: object = guestConfig(backend),
): Promise<{ readonly path: string; readonly exits: ExitRecord[]; readonly entries: bigint[] }> {
  const path = join(directory, name);
  const trace = openTraceFile(path);
  const exits: ExitRecord[] = [];
  const entries: bigint[] = [];
  const observer = {
    exit: (record: ExitRecord, information: () => ExitInformation) => (exits.push(record), trace.observer.exit!(record, information)),
    entering: (rip: bigint, ticks: number) => (entries.push(rip), trace.observer.entering?.(rip, ticks)),
  };
  new Guest({ ...guestConfig(backend), ...config, serialOutput: () => {}, observer }).run(Infinity);
  await trace.close();
  return { path, exits, entries };
}

describe('Linux trace events, read by a parser for the format of the kernel', () => {
  /** "%s-%d [%03d] %5lu.%06lu: %s: " as trace-cmd report prints it, then TP_printk of the event in arch/x86/kvm/trace.h. */
  const LINE = /^\s*(?<comm>\S+)-(?<pid>\d+)\s+\[(?<cpu>\d{3})\]\s+(?<seconds>\d+)\.(?<micros>\d{6}):\s+(?<event>\w+):\s+(?<fields>.*)$/;
  const EXIT =
    /^vcpu (?<vcpu>\d+) reason (?<reason>\w+) rip 0x(?<rip>[0-9a-f]+) info1 0x(?<info1>[0-9a-f]{16}) info2 0x(?<info2>[0-9a-f]{16}) intr_info 0x(?<intr>[0-9a-f]{8}) error_code 0x(?<error>[0-9a-f]{8})$/;
  const ENTRY = /^vcpu (?<vcpu>\d+), rip 0x(?<rip>[0-9a-f]+)$/;

  interface Parsed {
    readonly event: string;
    readonly micros: number;
    readonly fields: Readonly<Record<string, string>>;
  }

  function parse(text: string): Parsed[] {
    return text
      .trimEnd()
      .split('\n')
      .map((line) => {
        const groups = LINE.exec(line)?.groups;
        if (groups === undefined) throw new SyntaxError(line);
        const fields = (groups.event === 'kvm_exit' ? EXIT : ENTRY).exec(groups.fields)?.groups;
        if (fields === undefined) throw new SyntaxError(line);
        return { event: groups.event, micros: Number(groups.seconds) * 1e6 + Number(groups.micros), fields };
      });
  }

  test.each(['vmx', 'svm'] as const)('exit and entry in turn, with the RIP of each, %s', async (backend) => {
    const { path, exits, entries } = await traced(`${backend}.trace`, backend);
    const events = parse(readFileSync(path, 'utf8'));
    const parsedExits = events.filter((e) => e.event === 'kvm_exit');
    const parsedEntries = events.filter((e) => e.event === 'kvm_entry');
    expect(parsedExits.map((e) => [e.fields.reason, BigInt(`0x${e.fields.rip}`), BigInt(`0x${e.fields.info1}`)])).toEqual(
      exits.map(({ raw, rip }) => [raw.reason, rip, raw.qualification]),
    );
    expect(parsedEntries.map((e) => BigInt(`0x${e.fields.rip}`))).toEqual(entries);
    // The guest is entered first, and every exit but the last is followed by an entry.
    expect(events.map((e) => e.event)).toEqual(events.map((_, i) => (i % 2 === 0 ? 'kvm_entry' : 'kvm_exit')));
    expect(events.every((e, i) => i === 0 || e.micros >= events[i - 1].micros)).toBe(true);
    // CPUID is an instruction of two bytes, and the entry after it is behind it.
    const cpuid = events.findIndex((e) => e.fields.reason === 'CPUID');
    expect(BigInt(`0x${events[cpuid + 1].fields.rip}`)).toBe(BigInt(`0x${events[cpuid].fields.rip}`) + 2n);
  });

  // A selector that no GDT has: #GP(0xfff0), whose delivery comes to a stack that nobody has touched.
  const GENERAL_PROTECTION = [
    'bf00002000', // mov edi, 0x200000: the IDT
    '488d0534000000', // lea rax, [handler]
    '668987d0000000', // mov [rdi + 0xd0], ax
    '48c1e810', // shr rax, 16
    '668987d6000000', // mov [rdi + 0xd6], ax
    '8c8fd2000000', // mov [rdi + 0xd2], cs
    '66c787d4000000008e', // mov word [rdi + 0xd4], 0x8e00
    '0f011d0d000000', // lidt [idtr]
    'bc00006000', // mov esp, 0x600000
    'b8f0ff0000', // mov eax, 0xfff0
    '8ed8', // mov ds, eax
    'f4', // handler: hlt
    'df000000200000000000', // idtr: limit, base
  ];

  test.each([
    // SDM "IDT-Vectoring Information Field": valid, error code, hardware exception, vector 13. The interruption information is of exits by an event.
    ['vmx', 'EPT_VIOLATION', { info2: '0000000080000b0d', intr: '00000000', error: '00000000' }],
    // APM "Event Injection", EXITINTINFO: the same bits. EXITINFO2 of an NPF is the guest-physical address.
    ['svm', 'NPF', { info2: /^00000000005ff[0-9a-f]{3}$/, intr: '80000b0d', error: '0000fff0' }],
  ] as const)('what the hardware says of an event whose delivery an exit broke off, %s', async (backend, reason, expected) => {
    const image = Uint8Array.from(Buffer.from(GENERAL_PROTECTION.join(''), 'hex'));
    const { path } = await traced(`${backend}-gp.trace`, backend, { image, format: 'flat64' });
    const events = parse(readFileSync(path, 'utf8')).filter((e) => e.event === 'kvm_exit');
    const broken = events.filter(({ fields }) => fields.reason === reason && fields.rip === '10003e');
    expect(broken).toHaveLength(1);
    const [{ fields }] = broken;
    for (const [name, value] of Object.entries(expected)) expect(fields[name]).toMatch(value);
    // Nobody else was interrupted.
    const others = events.filter((e) => e !== broken[0]);
    expect(others.length).toBeGreaterThan(1);
    for (const { fields: other } of others) expect(Number(`0x${backend === 'vmx' ? other.info2 : other.intr}`) >>> 31).toBe(0);
  });
});

test('Parquet, read by hyparquet: the columns of every row', () => {
  // Both libraries are ES modules, which these tests cannot load: processes of their own can.
  const node = (...args: string[]): string => execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
  const [parquet, ndjson] = ['exits.parquet', 'exits.ndjson'].map((name) => join(directory, name));
  for (const path of [parquet, ndjson])
    node('-r', 'ts-node/register', 'cli/entry.ts', 'run', 'guests/bundled/tour/tour.elf', '--memory', '8M', '--serial', 'none', '--trace', path);
  expect(readFileSync(parquet).subarray(0, 4).toString()).toBe('PAR1');
  const reader = `
    import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(process.argv[1]) });
    console.log(JSON.stringify(rows, (_key, value) => (typeof value === 'bigint' ? String(value) : value)));`;
  const rows = JSON.parse(node('--input-type=module', '-e', reader, parquet)) as Record<string, string | number | null>[];
  const wide = (value: unknown): bigint => BigInt.asUintN(64, BigInt(value as string));
  const expected = readFileSync(ndjson, 'utf8').trimEnd().split('\n').map(parseNdjsonLine);
  expect(rows.length).toBeGreaterThan(4000);
  expect(
    rows.map(({ instructions, ticks, rip, qualification, detail, ...rest }) => ({
      ...rest,
      ...{ instructions: Number(instructions), ticks: Number(ticks), rip: wide(rip), qualification: wide(qualification) },
      detail: detail === null ? undefined : Number(detail),
    })),
  ).toEqual(expected);
}, 120_000);

describe('Perfetto', () => {
  /** What "Trace Event Format" asks of an event: its phase, and for complete events ("X") name, time stamp, duration, process and thread. */
  interface TraceEvent {
    readonly ph: string;
    readonly name: string;
    readonly pid: number;
    readonly tid?: number;
    readonly ts?: number;
    readonly dur?: number;
    readonly args: Readonly<Record<string, unknown>>;
  }

  test('a track a vCPU, slices that do not overlap, one for each exit', async () => {
    const { path, exits } = await traced('exits.json');
    const { traceEvents, displayTimeUnit } = JSON.parse(readFileSync(path, 'utf8')) as { traceEvents: TraceEvent[]; displayTimeUnit: string };
    expect(displayTimeUnit).toBe('ns');
    const slices = traceEvents.filter((e) => e.ph === 'X');
    const threads = traceEvents.filter((e) => e.ph === 'M' && e.name === 'thread_name');
    expect(threads.map((e) => [e.pid, e.tid])).toEqual([[1, 0]]);
    expect(new Set(slices.map((e) => `${e.pid} ${e.tid}`))).toEqual(new Set(['1 0']));
    expect(slices.map((e) => e.name)).toEqual(exits.map((e) => e.raw.reason));
    // Nanoseconds survive the way through microseconds: a slice ends where the next begins.
    slices.forEach((e, i) =>
      expect([Math.round(e.ts! * 1000), Math.round((e.ts! + e.dur!) * 1000)]).toEqual([i === 0 ? 0 : exits[i - 1].ticks, exits[i].ticks]),
    );
    expect(slices.map((e) => BigInt(e.args.rip as string))).toEqual(exits.map((e) => e.rip));
  });
});
