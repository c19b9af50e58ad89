/** What happens between guest instructions. SDM "Other Causes of VM Exits", "Event Injection", "Priority Among Concurrent Events". */
import { deliverEvent } from '../../cpu/exceptions';
import { EventType, REGISTERS_HOLD_IT, type CpuEvent, type InterruptController } from '../../cpu/interfaces';
import { ExitControl, PinBased, Primary } from '../../vmx/controls';
import type { FieldName } from '../../vmx/vmcs/fields';
import { EXIT, PIN, PRIMARY, guest, insn, rootWithVmcs, type Bench } from './bench';

jest.mock('../../cpu/exceptions', () => ({ deliverEvent: jest.fn() }));

type Fields = Partial<Record<FieldName, bigint | number>>;
const delivered = (): CpuEvent[] => (deliverEvent as unknown as jest.Mock).mock.calls.map((c) => c[1] as CpuEvent);
beforeEach(() => (deliverEvent as unknown as jest.Mock).mockClear());

const pin = (bits: number): Fields => ({ PIN_BASED_CONTROLS: PIN | bits });
const primary = (bits: number): Fields => ({ PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | bits) >>> 0 });
const { EXTERNAL_INTERRUPT_EXITING, NMI_EXITING, VIRTUAL_NMIS, ACTIVATE_PREEMPTION_TIMER } = PinBased;
const retire = (b: Bench, n = 1): void => void (b.cpu.retiredBase += n);
const reason = (b: Bench): bigint => b.read('EXIT_REASON');
const controller = (vector: number): InterruptController & { acknowledged: number } => ({
  acknowledged: 0,
  pending: () => true,
  acknowledge() {
    this.acknowledged++;
    return vector;
  },
  readCr8: () => 0,
  writeCr8: () => {},
  readMsr: () => undefined,
  writeMsr: () => false,
});

describe('external interrupts', () => {
  it('go to the guest without the control, gated by its IF', () => {
    const b = guest();
    expect(b.vmx.boundary(true, false)).toBe(false);
    expect(b.vmx.interruptsBlocked()).toBe(true);
    expect(guest({ GUEST_RFLAGS: 0x202 }).vmx.interruptsBlocked()).toBe(false);
  });
  it('exit whatever IF says, not acknowledged unless asked', () => {
    const b = guest(pin(EXTERNAL_INTERRUPT_EXITING));
    const interrupts = (b.cpu.interrupts = controller(0x31));
    expect(b.vmx.boundary(true, false)).toBe(true);
    expect([reason(b), b.read('EXIT_INTERRUPTION_INFORMATION'), interrupts.acknowledged]).toEqual([1n, 0n, 0]);
  });
  it('are acknowledged on exit: the vector is in the interruption information', () => {
    const b = guest({ ...pin(EXTERNAL_INTERRUPT_EXITING), VM_EXIT_CONTROLS: EXIT | ExitControl.ACKNOWLEDGE_INTERRUPT_ON_EXIT });
    const interrupts = (b.cpu.interrupts = controller(0x31));
    b.vmx.boundary(true, false);
    expect([b.read('EXIT_INTERRUPTION_INFORMATION'), interrupts.acknowledged]).toEqual([0x8000_0031n, 1]);
  });
  it('wait for the end of blocking by STI or MOV SS', () => {
    const b = guest({ ...pin(EXTERNAL_INTERRUPT_EXITING), GUEST_INTERRUPTIBILITY_STATE: 1, GUEST_RFLAGS: 0x202 });
    expect(b.vmx.boundary(true, false)).toBe(false);
    retire(b);
    expect(b.vmx.boundary(true, false)).toBe(true);
  });
});

describe('NMIs', () => {
  it('exit with "NMI exiting" and are blocked afterwards', () => {
    const b = guest(pin(NMI_EXITING));
    b.cpu.nmiPending = true;
    expect(b.vmx.boundary(false, true)).toBe(true);
    expect([reason(b), b.read('EXIT_INTERRUPTION_INFORMATION')]).toEqual([0n, 0x8000_0202n]);
    expect([b.cpu.nmiPending, b.cpu.nmiBlocked]).toEqual([false, true]);
  });
  it('are held by blocking by NMI without virtual NMIs, and are not with them', () => {
    expect(guest({ ...pin(NMI_EXITING), GUEST_INTERRUPTIBILITY_STATE: 8 }).vmx.boundary(false, true)).toBe(false);
    expect(guest({ ...pin(NMI_EXITING | VIRTUAL_NMIS), GUEST_INTERRUPTIBILITY_STATE: 8 }).vmx.boundary(false, true)).toBe(true);
  });
  it('IRET ends virtual-NMI blocking and opens the NMI window', () => {
    const b = guest({ ...pin(NMI_EXITING | VIRTUAL_NMIS), ...primary(Primary.NMI_WINDOW_EXITING), GUEST_INTERRUPTIBILITY_STATE: 8 });
    expect([b.vmx.attention, b.vmx.boundary(false, false)]).toEqual([false, false]);
    b.vmx.nmiUnblocked();
    expect([b.vmx.attention, b.vmx.boundary(false, false)]).toEqual([true, true]);
    expect([reason(b), b.read('GUEST_INTERRUPTIBILITY_STATE')]).toEqual([8n, 0n]);
  });
  it('IRET with "NMI exiting" and no virtual NMIs leaves blocking by NMI', () => {
    const b = guest({ ...pin(NMI_EXITING), GUEST_INTERRUPTIBILITY_STATE: 8 });
    b.cpu.nmiBlocked = false;
    b.vmx.nmiUnblocked();
    expect(b.cpu.nmiBlocked).toBe(true);
  });
});

describe('windows and timer', () => {
  it('the interrupt window opens with IF = 1 and no blocking', () => {
    const b = guest(primary(Primary.INTERRUPT_WINDOW_EXITING));
    expect([b.vmx.attention, b.vmx.boundary(false, false)]).toEqual([false, false]);
    b.cpu.setRflags(0x202);
    expect([b.vmx.attention, b.vmx.boundary(false, false)]).toEqual([true, true]);
    expect(reason(b)).toBe(7n);
  });
  it('the preemption timer expires after as many ticks as its value; zero exits before the first instruction', () => {
    const b = guest({ ...pin(ACTIVATE_PREEMPTION_TIMER), PREEMPTION_TIMER_VALUE: 100 });
    expect(b.vmx.deadline).toBe(b.cpu.now() + 100);
    retire(b, 99);
    expect(b.vmx.boundary(false, false)).toBe(false);
    retire(b);
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(reason(b)).toBe(52n);

    const zero = rootWithVmcs();
    zero.write({ ...pin(ACTIVATE_PREEMPTION_TIMER), PREEMPTION_TIMER_VALUE: 0 });
    zero.vmx.launch();
    expect(zero.vmx.boundary(false, false)).toBe(true);
    expect(reason(zero)).toBe(52n);
  });
  it('the monitor trap flag exits after one instruction', () => {
    const b = guest(primary(Primary.MONITOR_TRAP_FLAG));
    expect(b.vmx.boundary(false, false)).toBe(false);
    retire(b);
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(reason(b)).toBe(37n);
  });
  it('... or after the delivery of an exception', () => {
    const b = guest(primary(Primary.MONITOR_TRAP_FLAG));
    b.vmx.exception({ vector: 6, type: EventType.HardwareException, errorCode: undefined, payload: 0n, length: 0 }, undefined);
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(reason(b)).toBe(37n);
  });
});

describe('priority', () => {
  const all = { ...pin(EXTERNAL_INTERRUPT_EXITING | NMI_EXITING | VIRTUAL_NMIS | ACTIVATE_PREEMPTION_TIMER), PREEMPTION_TIMER_VALUE: 0, GUEST_RFLAGS: 0x202 };
  const first = (fields: Fields, prepare: (b: Bench) => void = () => {}): bigint | undefined => {
    const b = rootWithVmcs();
    b.write({ ...all, ...fields });
    b.vmx.launch();
    prepare(b);
    return b.vmx.boundary(true, true) ? reason(b) : undefined;
  };
  const WINDOWS = Primary.INTERRUPT_WINDOW_EXITING | Primary.NMI_WINDOW_EXITING;
  it('timer before NMI window before NMI before interrupt window before external interrupt', () => {
    expect(first(primary(WINDOWS))).toBe(52n);
    expect(first({ ...primary(WINDOWS), PREEMPTION_TIMER_VALUE: 9 })).toBe(8n);
    expect(first({ ...primary(Primary.INTERRUPT_WINDOW_EXITING), PREEMPTION_TIMER_VALUE: 9 })).toBe(0n);
    const b = guest({ ...all, ...primary(Primary.INTERRUPT_WINDOW_EXITING), PREEMPTION_TIMER_VALUE: 9, GUEST_RFLAGS: 2 });
    b.cpu.setRflags(0x202);
    expect([b.vmx.boundary(true, false), reason(b)]).toEqual([true, 7n]);
    expect(first({ PREEMPTION_TIMER_VALUE: 9, ...pin(EXTERNAL_INTERRUPT_EXITING | ACTIVATE_PREEMPTION_TIMER) })).toBeUndefined();
  });
  it('a pending MTF exit comes before the timer, a debug trap too', () => {
    expect(first({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0700 })).toBe(37n);
    expect(first({ GUEST_RFLAGS: 0x302, GUEST_PENDING_DEBUG_EXCEPTIONS: 0x4000 })).toBeUndefined();
  });
});

describe('event injection', () => {
  const enter = (fields: Fields): Bench => {
    const b = rootWithVmcs();
    b.write(fields);
    expect(b.vmx.launch().kind).toBe('entered');
    return b;
  };
  it.each<[string, Fields, Partial<CpuEvent>]>([
    [
      '#GP with its error code',
      { ENTRY_INTERRUPTION_INFORMATION: 0x8000_0b0d, ENTRY_EXCEPTION_ERROR_CODE: 0x28 },
      { vector: 13, type: EventType.HardwareException, errorCode: 0x28, length: 0 },
    ],
    [
      'an external interrupt',
      { ENTRY_INTERRUPTION_INFORMATION: 0x8000_0040, GUEST_RFLAGS: 0x202 },
      { vector: 0x40, type: EventType.ExternalInterrupt, errorCode: undefined, length: 0 },
    ],
    [
      'INT n with its length',
      { ENTRY_INTERRUPTION_INFORMATION: 0x8000_0480, ENTRY_INSTRUCTION_LENGTH: 2 },
      { vector: 0x80, type: EventType.SoftwareInterrupt, length: 2 },
    ],
    ['#BP', { ENTRY_INTERRUPTION_INFORMATION: 0x8000_0603, ENTRY_INSTRUCTION_LENGTH: 1 }, { vector: 3, type: EventType.SoftwareException, length: 1 }],
  ])('delivers %s before the first instruction', (_name, fields, event) => {
    const b = enter(fields);
    expect(delivered()).toEqual([]);
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(delivered()).toEqual([expect.objectContaining(event)]);
    expect(b.vmx.attention).toBe(false);
  });
  it('an injected exception is not intercepted itself', () => {
    const b = enter({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0306, EXCEPTION_BITMAP: 0xffff_ffff });
    (deliverEvent as unknown as jest.Mock).mockImplementationOnce((_cpu, event: CpuEvent) => expect(b.vmx.exception(event, undefined)).toBe(false));
    b.vmx.boundary(false, false);
    expect(delivered()).toHaveLength(1);
  });
  it('an exception met while delivering it exits with IDT-vectoring information', () => {
    const b = enter({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0480, ENTRY_INSTRUCTION_LENGTH: 2, EXCEPTION_BITMAP: 1 << 13 });
    (deliverEvent as unknown as jest.Mock).mockImplementationOnce(
      () => void b.vmx.exception({ vector: 13, type: EventType.HardwareException, errorCode: 0x402, payload: 0n, length: 0 }, undefined),
    );
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect([b.vmx.guestMode, b.read('IDT_VECTORING_INFORMATION'), b.read('EXIT_INTERRUPTION_INFORMATION')]).toEqual([false, 0x8000_0480n, 0x8000_0b0dn]);
  });
  it('an injected NMI blocks NMIs, virtual ones with "virtual NMIs"', () => {
    const b = enter({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0202, ...pin(NMI_EXITING | VIRTUAL_NMIS) });
    b.vmx.boundary(false, false);
    expect([b.vmx.virtualNmiBlocked, b.cpu.nmiBlocked]).toEqual([true, false]);
    b.cpu.insn = insn({});
    b.vmx.exitOnInstruction(10);
    expect(b.read('GUEST_INTERRUPTIBILITY_STATE')).toBe(8n);
  });
  it('wakes a guest that was entered in the HLT state', () => {
    const b = enter({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0040, GUEST_RFLAGS: 0x202, GUEST_ACTIVITY_STATE: 1 });
    expect(b.cpu.activity).toBe(1);
    b.vmx.boundary(false, false);
    expect(b.cpu.activity).toBe(0);
  });
  it('a page fault is injected without changing CR2', () => {
    const b = enter({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0b0e, ENTRY_EXCEPTION_ERROR_CODE: 2 });
    b.vmx.boundary(false, false);
    expect(delivered()[0].payload).toBe(REGISTERS_HOLD_IT);
  });
  it('with the monitor trap flag an exit follows the delivery', () => {
    const b = enter({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0306, ...primary(Primary.MONITOR_TRAP_FLAG) });
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(b.vmx.guestMode).toBe(true);
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(reason(b)).toBe(37n);
  });
});
