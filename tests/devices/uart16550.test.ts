import { Uart16550 } from '../../devices/uart16550';
import { TestBench, Wire } from './test-bench';

const BASE = 0x3f8;
const [THR, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const RBR = THR;
const FCR = IIR;

function setup() {
  const bench = new TestBench();
  const irq = new Wire();
  const sent: number[] = [];
  const uart = new Uart16550({ base: BASE, interrupt: irq, scheduler: bench.scheduler, transmit: (b) => sent.push(b) });
  uart.attach(bench.ports);
  const inp = (r: number): number => bench.in(BASE + r);
  const out = (r: number, v: number): void => bench.out(BASE + r, v);
  return { bench, irq, sent, uart, inp, out };
}

/** 115200 baud, 8n1, FIFO with the trigger level given, OUT2 on. */
function open(out: (r: number, v: number) => void, ier: number, trigger = 0x80): void {
  out(LCR, 0x83);
  out(0, 1);
  out(1, 0);
  out(LCR, 0x03);
  out(FCR, 0x01 | trigger);
  out(MCR, 0x0b);
  out(IER, ier);
}

describe('when the far end may type', () => {
  const poll = (inp: (r: number) => number, times: number): void => {
    for (let i = 0; i < times; i++) inp(LSR);
  };

  test('receive interrupts are on', () => {
    const { uart, out } = setup();
    expect(uart.listening).toBe(false);
    open(out, 0x01);
    expect(uart.listening).toBe(true);
  });

  test('the guest asks for a character again and again', () => {
    const { uart, inp } = setup();
    poll(inp, 100);
    expect(uart.listening).toBe(true);
    uart.receive([0x41]);
    expect([inp(LSR) & 1, inp(RBR), uart.listening]).toEqual([1, 0x41, false]);
  });

  test('not: a boot console, which looks at LSR once a character', () => {
    const { uart, inp, out } = setup();
    for (let i = 0; i < 1000; i++) {
      poll(inp, 2);
      out(THR, 0x2e);
    }
    expect(uart.listening).toBe(false);
  });
});

describe("the steps of Linux's 8250 autoconfig", () => {
  test('IER holds four bits and nothing else', () => {
    const { inp, out } = setup();
    out(IER, 0);
    expect(inp(IER) & 0x0f).toBe(0);
    out(IER, 0x0f);
    expect(inp(IER) & 0x0f).toBe(0x0f);
    out(IER, 0xff);
    expect(inp(IER)).toBe(0x0f); // no UUE (XScale), no SLEEP (16C950)
  });

  test('loopback brings RTS and OUT2 to CTS and DCD', () => {
    const { inp, out } = setup();
    out(MCR, 0x10 | 0x0a);
    expect(inp(MSR) & 0xf0).toBe(0x90);
    out(MCR, 0);
    expect(inp(MSR) & 0xf0).toBe(0xb0);
  });

  test('a FIFO that works, no EFR, no bank E0h, no 64-byte FIFO: a 16550A', () => {
    const { inp, out } = setup();
    out(LCR, 0xbf);
    out(2, 0); // EFR of a 16650V2
    out(LCR, 0);
    out(FCR, 0x01);
    expect(inp(IIR) >> 6).toBe(3);
    out(LCR, 0x80);
    expect(inp(2)).not.toBe(0); // 16650
    out(LCR, 0xbf);
    expect(inp(2)).not.toBe(0); // 16650V2
    out(LCR, 0);
    const mcr = inp(MCR);
    out(LCR, 0xe0);
    expect((inp(2) ^ mcr) & 0x10).toBe(0);
    out(LCR, 0);
    out(MCR, mcr ^ 0x10);
    out(LCR, 0xe0);
    expect((inp(2) ^ mcr) & 0x10).toBe(0); // NS16550A super I/O
    out(LCR, 0);
    out(MCR, mcr);
    out(FCR, 0x01 | 0x20);
    expect(inp(IIR) >> 5).toBe(6);
    out(FCR, 0x01);
    out(LCR, 0x80);
    out(FCR, 0x01 | 0x20);
    expect(inp(IIR) >> 5).toBe(6); // 7 would be a 16750
  });

  test('size_fifo counts sixteen characters in loopback', () => {
    const { inp, out } = setup();
    out(LCR, 0);
    out(FCR, 0x07);
    out(MCR, 0x10);
    out(LCR, 0x80);
    out(0, 1);
    out(1, 0);
    out(LCR, 0x03);
    for (let i = 0; i < 256; i++) out(THR, i);
    let count = 0;
    while (inp(LSR) & 1 && count < 256) {
      expect(inp(RBR)).toBe(count);
      count++;
    }
    expect(count).toBe(16);
  });

  test('without the FIFO, IIR bits 7:6 are clear and one character fits', () => {
    const { inp, out } = setup();
    out(FCR, 0);
    expect(inp(IIR)).toBe(0x01);
    out(MCR, 0x10);
    out(THR, 0x41);
    out(THR, 0x42);
    expect(inp(LSR) & 0x03).toBe(0x03); // data ready, overrun
    expect(inp(RBR)).toBe(0x42); // the new character destroyed the old
    expect(inp(LSR) & 0x03).toBe(0);
  });

  test('scratch and divisor latches hold what is written', () => {
    const { inp, out } = setup();
    out(SCR, 0xa5);
    expect(inp(SCR)).toBe(0xa5);
    out(LCR, 0x80);
    out(0, 0x34);
    out(1, 0x12);
    expect([inp(0), inp(1)]).toEqual([0x34, 0x12]);
    out(LCR, 0);
    expect(inp(1)).toBe(0);
  });

  test('THRE test of startup: re-enabling THRI raises it again', () => {
    const { inp, out } = setup();
    out(IER, 0x02);
    const iir1 = inp(IIR);
    out(IER, 0);
    out(IER, 0x02);
    const iir = inp(IIR);
    out(IER, 0);
    expect(iir1 & 1).toBe(0);
    expect(iir & 1).toBe(0);
  });

  test('TXEN test of startup: TEMT comes with an interrupt', () => {
    const { inp, out } = setup();
    out(IER, 0x02);
    expect(inp(LSR) & 0x40).toBe(0x40);
    expect(inp(IIR) & 1).toBe(0);
  });
});

describe('transmitter', () => {
  test('interrupt-driven: IIR read clears THRE, THR write raises it once more', () => {
    const { inp, out, irq, sent } = setup();
    open(out, 0x02);
    expect(irq.level).toBe(true);
    expect(inp(IIR)).toBe(0xc2);
    expect(irq.level).toBe(false);
    expect(inp(IIR)).toBe(0xc1);
    out(THR, 0x48);
    expect(irq.level).toBe(true);
    out(IER, 0);
    expect(irq.level).toBe(false);
    expect(sent).toEqual([0x48]);
  });

  test('a THR write without an IIR read is an edge for the interrupt controller', () => {
    const { out, irq } = setup();
    open(out, 0x02);
    const { rises } = irq;
    out(THR, 1);
    expect(irq.rises).toBe(rises + 1);
  });

  test('OUT2 gates the line, not IIR; loopback forces it off', () => {
    const { inp, out, irq } = setup();
    open(out, 0x02);
    out(MCR, 0x03);
    expect(irq.level).toBe(false);
    out(MCR, 0x0b);
    expect(irq.level).toBe(true);
    out(MCR, 0x1b);
    expect(irq.level).toBe(false);
    expect(inp(IIR) & 0x0f).toBe(0x02);
  });
});

describe('receiver', () => {
  test('trigger level 8: data available at eight characters', () => {
    const { inp, out, irq, uart } = setup();
    open(out, 0x01);
    uart.receive([1, 2, 3, 4, 5, 6, 7]);
    expect(irq.level).toBe(false);
    uart.receive([8]);
    expect(irq.level).toBe(true);
    expect(inp(IIR)).toBe(0xc4);
    expect(inp(RBR)).toBe(1);
    expect(irq.level).toBe(false);
  });

  test('below the trigger level: timeout after four character times', () => {
    const { bench, inp, out, irq, uart } = setup();
    open(out, 0x01);
    uart.receive([0x61]);
    const fourCharacters = Math.ceil((4 * 10 * 1e9) / 115200);
    bench.advance(fourCharacters - 1);
    expect(irq.level).toBe(false);
    bench.advance(1);
    expect(irq.level).toBe(true);
    expect(inp(IIR)).toBe(0xcc);
    expect(inp(RBR)).toBe(0x61);
    expect(inp(IIR)).toBe(0xc1);
    expect(irq.level).toBe(false);
  });

  test('a long paste arrives whole and in order', () => {
    const { inp, out, uart } = setup();
    open(out, 0x01);
    const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff);
    uart.receive(bytes);
    expect(uart.pendingInput).toBe(10_000);
    const got: number[] = [];
    while (inp(LSR) & 1) got.push(inp(RBR));
    expect(Uint8Array.from(got)).toEqual(bytes);
    expect(inp(LSR)).toBe(0x60);
  });

  test('without FIFO every character is an edge', () => {
    const { inp, out, irq, uart } = setup();
    open(out, 0x01);
    out(FCR, 0);
    uart.receive([1, 2, 3]);
    expect(irq.rises).toBe(1);
    inp(RBR);
    expect(irq.rises).toBe(2);
    inp(RBR);
    inp(RBR);
    expect(irq.level).toBe(false);
  });

  test('a break is a zero byte with BI, line status first in priority', () => {
    const { inp, out, uart } = setup();
    open(out, 0x05, 0x00);
    uart.receiveBreak();
    uart.receive([0x74]);
    expect(inp(IIR)).toBe(0xc6);
    expect(inp(LSR)).toBe(0x60 | 0x80 | 0x10 | 0x01);
    expect(inp(IIR)).toBe(0xc4);
    expect(inp(RBR)).toBe(0);
    expect(inp(LSR)).toBe(0x61);
    expect(inp(RBR)).toBe(0x74);
  });

  test('FCR receiver reset empties the FIFO', () => {
    const { inp, out, uart } = setup();
    open(out, 0x01);
    uart.receive([1, 2, 3]);
    out(FCR, 0x83);
    expect(inp(LSR) & 1).toBe(0);
  });
});

test('modem status interrupt: delta bits, cleared by reading MSR', () => {
  const { inp, out } = setup();
  open(out, 0x08);
  out(MCR, 0x1f); // RI rises, the others stay
  expect(inp(IIR)).toBe(0xc1);
  out(MCR, 0x1b);
  expect(inp(IIR)).toBe(0xc0);
  expect(inp(MSR)).toBe(0xb4); // TERI
  expect(inp(IIR)).toBe(0xc1);
});
