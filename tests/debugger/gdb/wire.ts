/** The debugger's end of the line: packets in, replies out, with work done in between as the owner of a run does it. */
import { Interpreter } from '../../../debugger/commands/interpreter';
import { monitorOf } from '../../../debugger/gdb/monitor';
import { encodePacket } from '../../../debugger/gdb/packet';
import { GdbStub, type Advance, type GdbLine } from '../../../debugger/gdb/stub';
import type { Session } from '../../../debugger/session';
import { debugSession, type Backend } from '../debug-guests';

export class Wire {
  readonly session: Session;
  readonly stub: GdbStub;
  sent = '';
  line: GdbLine;
  woken = 0;
  inputOpen = false;

  constructor(backend: Backend = 'vmx', image = 'tour', wait = true) {
    this.session = debugSession(backend, image, { interval: 3_000 }).session;
    this.stub = new GdbStub(this.session, {
      monitor: monitorOf(new Interpreter(this.session)),
      wait,
      inputOpen: () => this.inputOpen,
      wake: () => void this.woken++,
    });
    this.line = this.connect();
  }

  connect(): GdbLine {
    return (this.line = this.stub.attach((bytes) => (this.sent += Buffer.from(bytes).toString('latin1'))));
  }

  /** Until nothing is left to do. */
  work(): Advance {
    for (;;) {
      const did = this.stub.advance();
      if (did.kind !== 'working') return did;
    }
  }

  /** Raw bytes, and everything that came back. */
  raw(bytes: string | Uint8Array): string {
    this.sent = '';
    this.line(Buffer.from(bytes as string, 'latin1'));
    this.work();
    return this.sent;
  }

  /** Bodies of the packets that answer one. */
  all(body: string): string[] {
    const raw = this.raw(encodePacket(body));
    return [...raw.matchAll(/\$((?:[^#}]|\}.)*)#[0-9a-f]{2}/gs)].map(([, inner]) =>
      inner.replace(/\}(.)/gs, (_, c: string) => String.fromCharCode(c.charCodeAt(0) ^ 0x20)),
    );
  }

  /** The last of them. */
  ask(body: string): string | undefined {
    return this.all(body).at(-1);
  }

  /** Text of the O packets that a monitor command answers, and its end. */
  monitor(line: string): { readonly text: string; readonly end: string | undefined } {
    const replies = this.all(`qRcmd,${Buffer.from(line).toString('hex')}`);
    const end = replies.pop();
    return { text: replies.map((r) => Buffer.from(r.slice(1), 'hex').toString()).join(''), end };
  }
}

/** In target byte order. */
export const little = (value: bigint, bytes: number): string =>
  Buffer.from(value.toString(16).padStart(2 * bytes, '0'), 'hex')
    .reverse()
    .toString('hex');
