/** SDM "Posted-Interrupt Processing". */
import { deliverEvent } from '../../../cpu/exceptions';
import type { CpuEvent } from '../../../cpu/interfaces';
import { PinBased } from '../../../vmx/controls';
import { PIN, guest, type Bench } from '../bench';
import { DESCRIPTOR, Interrupts, NOTIFICATION, VIRR, posting, setVirtual, vectors, VTPR, type Fields } from './bench';

jest.mock('../../../cpu/exceptions', () => ({ deliverEvent: jest.fn() }));
const delivered = (): number[] => (deliverEvent as unknown as jest.Mock).mock.calls.map((c) => (c[1] as CpuEvent).vector);
beforeEach(() => (deliverEvent as unknown as jest.Mock).mockClear());

/** Bits 511:257 are software's. */
const CONTROL = 0xabcd_f200;

function start(posted: readonly number[], fields: Fields = {}, arrived: readonly number[] = [NOTIFICATION]): Bench & { interrupts: Interrupts } {
  const b = guest(posting(fields));
  const interrupts = new Interrupts();
  interrupts.queue.push(...arrived);
  b.cpu.interrupts = interrupts;
  for (const v of posted) b.cpu.memory.write32(DESCRIPTOR + (v >>> 5) * 4, (b.cpu.memory.read32(DESCRIPTOR + (v >>> 5) * 4) | (1 << (v & 31))) >>> 0);
  b.cpu.memory.write32(DESCRIPTOR + 32, CONTROL + 1);
  return { ...b, interrupts };
}
const step = (b: Bench & { interrupts: Interrupts }): boolean => b.vmx.boundary(b.interrupts.pending(), false);

it('the notification: acknowledged, ended, ON cleared, PIR to VIRR, RVI raised; no VM exit', () => {
  const b = start([0x31, 0x52, 0xff, 0x10]);
  expect(step(b)).toBe(true);
  expect([b.interrupts.acknowledged, b.interrupts.ends, b.vmx.guestMode]).toEqual([[NOTIFICATION], 1, true]);
  expect([vectors(b, VIRR), b.read('GUEST_INTERRUPT_STATUS')]).toEqual([[0x10, 0x31, 0x52, 0xff], 0xffn]);
  for (let word = 0; word < 8; word++) expect(b.cpu.memory.read32(DESCRIPTOR + word * 4)).toBe(0);
  // "So as to leave the remainder of the descriptor unmodified."
  expect(b.cpu.memory.read32(DESCRIPTOR + 32)).toBe(CONTROL);
});

it('without requests RVI stays', () => {
  const b = start([], { GUEST_INTERRUPT_STATUS: 0x21 });
  step(b);
  expect(b.read('GUEST_INTERRUPT_STATUS')).toBe(0x21n);
});

it('a higher RVI stays', () => {
  const b = start([0x31], { GUEST_INTERRUPT_STATUS: 0x61 });
  step(b);
  expect(b.read('GUEST_INTERRUPT_STATUS')).toBe(0x61n);
});

it('then evaluation: the interrupt may be delivered at once', () => {
  const b = start([0x31, 0x52], { GUEST_RFLAGS: 0x202 });
  step(b);
  expect(b.vmx.attention).toBe(true);
  step(b);
  expect([delivered(), b.read('GUEST_INTERRUPT_STATUS'), b.vmx.guestMode]).toEqual([[0x52], 0x5231n, true]);
});

it('a priority that is too low stays requested', () => {
  const b = start([0x31]);
  setVirtual(b, VTPR, 0x40);
  b.vmx.writeCr8(4);
  step(b);
  expect([vectors(b, VIRR), b.vmx.apic.recognized]).toEqual([[0x31], false]);
});

it('does not depend on IF: physical interrupts are not masked by it', () => {
  const b = start([0x31], { GUEST_RFLAGS: 2 });
  step(b);
  expect([vectors(b, VIRR), b.vmx.apic.recognized, delivered()]).toEqual([[0x31], true, []]);
});

it('leaves a processor that halted asleep unless it has something to deliver', () => {
  const b = start([0x31], { GUEST_ACTIVITY_STATE: 1 });
  step(b);
  step(b);
  expect([b.cpu.activity, b.vmx.guestMode]).toEqual([1, true]);
  const ready = start([0x31], { GUEST_ACTIVITY_STATE: 1, GUEST_RFLAGS: 0x202 });
  step(ready);
  step(ready);
  expect([ready.cpu.activity, delivered()]).toEqual([0, [0x31]]);
});

it('another vector exits, acknowledged; the descriptor is left alone', () => {
  const b = start([0x31], {}, [0x44]);
  step(b);
  expect([b.read('EXIT_REASON'), b.read('EXIT_INTERRUPTION_INFORMATION'), b.interrupts.ends]).toEqual([1n, 0x8000_0044n, 0]);
  expect([b.cpu.memory.read32(DESCRIPTOR + 32), vectors(b, VIRR)]).toEqual([CONTROL + 1, []]);
});

it('without PROCESS_POSTED_INTERRUPTS the notification vector exits like any other', () => {
  const b = start([0x31], { PIN_BASED_CONTROLS: PIN | PinBased.EXTERNAL_INTERRUPT_EXITING });
  step(b);
  expect([b.read('EXIT_REASON'), b.read('EXIT_INTERRUPTION_INFORMATION')]).toEqual([1n, 0x8000_0000n + BigInt(NOTIFICATION)]);
});
