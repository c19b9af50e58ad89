import { parseRecording, RecordingError, recordingText, RECORDING_VERSION, type RecordingHeader, type RecordingLine } from '../../debugger/recording';
import { RecordedRun } from '../../debugger/recorder';
import { Replay, type ReplayResult } from '../../debugger/replay';
import { complete } from '../../debugger/target';
import { BACKENDS, debugSession, guestConfig, Outside, type Backend } from './debug-guests';

const HEADER: RecordingHeader = {
  recording: RECORDING_VERSION,
  machine: {
    imageName: 'x',
    commandLine: '',
    format: 'auto',
    memoryBytes: 1,
    bare: false,
    backend: 'vmx',
    cpu: 'intel',
    kvmParavirt: false,
    rtcStart: 0,
    seed: 0,
  },
  files: { image: { path: 'x', sha256: '' }, modules: [] },
};

/** A run with typing between slices and in answer to the console. */
function record(backend: Backend): { lines: RecordingLine[]; outside: Outside } {
  const lines: RecordingLine[] = [];
  const outside = new Outside();
  const run: RecordedRun = new RecordedRun(
    {
      ...guestConfig(backend),
      observer: outside.observer,
      serialOutput: (byte) => {
        outside.serialOutput(byte);
        if (outside.console.endsWith('CPUID')) run.sendSerial(Buffer.from('prompt'));
      },
    },
    (line) => lines.push(line),
  );
  for (let slice = 0; ; slice++) {
    if (slice % 5 === 2) run.sendSerial(Uint8Array.of(slice));
    const stop = run.run(run.guest.time + 7_001);
    if (stop.kind === 'ended') break;
  }
  run.end('power-off');
  return { lines, outside };
}

function replay(lines: readonly RecordingLine[], backend: Backend): ReplayResult {
  const text = [HEADER, ...lines].map(recordingText).join('');
  const work = new Replay(parseRecording(text), { ...guestConfig(backend), serialOutput: () => {} }).run();
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

describe.each(BACKENDS)('a recording, %s', (backend) => {
  const { lines, outside } = record(backend);

  it('holds what came in', () => {
    const inputs = lines.filter((line) => 'input' in line);
    expect(inputs.some((line) => 'byte' in line)).toBe(true);
    expect(inputs.some((line) => 'tick' in line)).toBe(true);
  });

  it('replays to the same end', () => {
    expect(replay(lines, backend)).toMatchObject({ divergence: undefined, incomplete: false, consoleBytes: outside.console.length, exits: outside.exits });
  });

  it('without its end is compared as far as it goes', () => {
    const cut = lines.slice(0, -1);
    const { instructions } = cut.findLast((line) => 'moments' in line)!;
    const result = replay(cut, backend);
    expect(result).toMatchObject({ divergence: undefined, incomplete: true });
    // Further than the last mark, of which so short a run has none.
    expect(result.instructions).toBeGreaterThan(instructions - 1000);
    expect(result.compared).toBeGreaterThan(100);
  });

  it('with nothing but inputs has nothing that could be compared', () => {
    expect(
      replay(
        lines.filter((line) => 'input' in line),
        backend,
      ),
    ).toMatchObject({ divergence: undefined, incomplete: true, compared: 0 });
  });
});

describe('a replay that is another run', () => {
  const { lines } = record('vmx');

  const inputs = lines.flatMap((line, i) => ('input' in line && 'tick' in line ? [i] : []));

  /** Where a straight run is when so many instructions have retired. */
  function codeAt(backend: Backend, instructions: number): number {
    const { session } = debugSession(backend);
    complete(session.seek(instructions));
    return session.readMemory('virtual', session.readRegister('rip'), 1)[0];
  }

  it.each(BACKENDS)('names the very instruction that was given something else, %s: inputs left out show in the line status register', (backend) => {
    const { lines } = record(backend);
    const { divergence } = replay(
      lines.filter((line) => !('input' in line)),
      backend,
    );
    const [, instruction] = /^the runs part at instruction (\d+): what /.exec(divergence ?? '') ?? [];
    expect(Number(instruction)).toBeGreaterThan(0);
    // The instruction numbered N executes when N - 1 have retired. IN AL,DX.
    expect(codeAt(backend, Number(instruction) - 1)).toBe(0xec);
  });

  it('notices an input that comes later than it did', () => {
    const changed = [...lines];
    const input = lines[inputs[0]] as Extract<RecordingLine, { tick: number }>;
    changed[inputs[0]] = { ...input, tick: input.tick + 500 };
    expect(replay(changed, 'vmx').divergence).toMatch(/^the runs part (at|between) instruction \d+/);
  });

  it('names the first moment that differs', () => {
    const at = lines.findIndex((line) => 'moments' in line);
    const chunk = lines[at] as Extract<RecordingLine, { moments: unknown }>;
    const checks = Buffer.from(chunk.checks, 'base64');
    checks.writeUInt16LE(checks.readUInt16LE(99 * 2) ^ 1, 99 * 2);
    const changed = [...lines];
    changed[at] = { ...chunk, checks: checks.toString('base64') };
    expect(replay(changed, 'vmx').divergence).toMatch(
      /^the runs part (at|between) instruction .*: .*VM exit IO_INSTRUCTION at RIP 0x[0-9a-f]+ differs from the recording; the last thing that agrees is .*VM exit/,
    );
  });

  it('notices a console that differs', () => {
    const end = lines[lines.length - 1] as Extract<RecordingLine, { end: unknown }>;
    const changed = [...lines.slice(0, -1), { end: { ...end.end, consoleSha256: '0' } }];
    expect(replay(changed, 'vmx').divergence).toMatch(/^at the end consoleSha256 is/);
  });
});

describe('files that are no recordings', () => {
  it.each([
    ['', /not a recording/],
    ['hello\n', /not a recording/],
    ['{"a":1}\n', /not a recording/],
    [`${JSON.stringify({ ...HEADER, recording: 99 })}\n`, /format 99/],
    [`${JSON.stringify({ ...HEADER, recording: 1 })}\n`, /format 1, which this vmexit \(3\) no longer reads/],
    [`${JSON.stringify({ ...HEADER, recording: 2 })}\n{"input":1}\n`, /line 2 is no part/],
    [`${JSON.stringify({ ...HEADER, recording: 2 })}\nnonsense\n`, /line 2 is not JSON/],
    [`${JSON.stringify(HEADER)}\n`, /line 1 is not as it was written/],
    [`${recordingText(HEADER)}{"input":"AA==","tick":1}\n`, /line 2 is not as it was written/],
    [`${recordingText(HEADER).replace('"seed":0', '"seed":1')}`, /line 1 is not as it was written/],
    [recordingText(HEADER) + recordingText({ input: 'AA==', tick: 1 }).replace('AA', 'AB'), /line 2 is not as it was written/],
  ])('%#', (text, message) => {
    expect(() => parseRecording(text)).toThrow(RecordingError);
    expect(() => parseRecording(text)).toThrow(message);
  });
  it('a last line that was cut off is left out', () => {
    expect(parseRecording(`${recordingText(HEADER)}{"input":"AA==","ti`).lines).toEqual([]);
  });
  it('the format before, without sums, is read', () => {
    const line = { input: 'AA==', tick: 1 };
    expect(parseRecording(`${JSON.stringify({ ...HEADER, recording: 2 })}\n${JSON.stringify(line)}\n`).lines).toEqual([line]);
  });
});
