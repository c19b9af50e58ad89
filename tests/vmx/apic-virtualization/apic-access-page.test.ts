/** SDM "Virtualizing Memory-Mapped APIC Accesses"; "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses". */
import { Access } from '../../../cpu/mmu';
import { EventType } from '../../../cpu/interfaces';
import { Secondary } from '../../../vmx/controls';
import { PRIMARY, guest, insn, rootWithVmcs, type Bench } from '../bench';
import { APIC_ACCESS, virtual, virtualApic, type Fields } from './bench';

const { VIRTUALIZE_APIC_ACCESSES, APIC_REGISTER_VIRTUALIZATION, VIRTUAL_INTERRUPT_DELIVERY } = Secondary;
const { Read, Write, Fetch, Supervisor } = Access;
const offsets = (first: number, last: number): number[] => Array.from({ length: (last - first) / 16 + 1 }, (_, i) => first + i * 16);

/** 0: virtualized; otherwise the exit reason. */
function outcome(fields: Fields, offset: number, bytes: number, access: number): number {
  const b = guest(fields);
  b.cpu.insn = insn({ length: 7 });
  if (b.vmx.apicAccessPage.permits(offset, bytes, access)) return 0;
  return Number(b.read('EXIT_REASON'));
}
/** Offsets, of all that a doubleword can have, at which the access is virtualized. */
function virtualized(secondary: number, access: number): number[] {
  const b = guest(virtualApic(VIRTUALIZE_APIC_ACCESSES | secondary));
  b.cpu.insn = insn({});
  const found: number[] = [];
  for (let offset = 0; offset < 4096; offset += offset < 0x410 ? 4 : 0x3fc) {
    if (b.vmx.apicAccessPage.permits(offset, 4, access)) found.push(offset);
    else {
      expect([b.read('EXIT_REASON'), b.vmx.resume().kind]).toEqual([44n, 'entered']);
      b.vmx.boundary(false, false);
    }
  }
  return found;
}
const again = (fields: Fields): Bench => {
  const b = guest(fields);
  b.cpu.insn = insn({});
  return b;
};

/** The lists of the manual, in its order. */
const REGISTERS = {
  read: [
    ...[0x020, 0x030, 0x080, 0x0b0, 0x0d0, 0x0e0, 0x0f0, ...offsets(0x100, 0x170), ...offsets(0x180, 0x1f0), ...offsets(0x200, 0x270), 0x280],
    ...[0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0],
  ],
  write: [0x020, 0x080, 0x0b0, 0x0d0, 0x0e0, 0x0f0, 0x280, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0],
};

describe('accesses that are virtualized', () => {
  it('neither APIC_REGISTER_VIRTUALIZATION nor VIRTUAL_INTERRUPT_DELIVERY: the task priority', () => {
    expect(virtualized(0, Read)).toEqual([0x80]);
    expect(virtualized(0, Write)).toEqual([0x80]);
  });
  it('VIRTUAL_INTERRUPT_DELIVERY only: task priority, end of interrupt, interrupt command (low)', () => {
    expect(virtualized(VIRTUAL_INTERRUPT_DELIVERY, Read)).toEqual([0x80, 0xb0, 0x300]);
    expect(virtualized(VIRTUAL_INTERRUPT_DELIVERY, Write)).toEqual([0x80, 0xb0, 0x300]);
  });
  it('APIC_REGISTER_VIRTUALIZATION: the lists of the manual, with or without VIRTUAL_INTERRUPT_DELIVERY', () => {
    for (const more of [0, VIRTUAL_INTERRUPT_DELIVERY]) {
      expect(virtualized(APIC_REGISTER_VIRTUALIZATION | more, Read)).toEqual(REGISTERS.read);
      expect(virtualized(APIC_REGISTER_VIRTUALIZATION | more, Write)).toEqual(REGISTERS.write);
    }
    // Both accesses of a read-modify-write must be: the version can be read only.
    expect(virtualized(APIC_REGISTER_VIRTUALIZATION, Read | Write)).toEqual(REGISTERS.write);
  });

  const all = virtualApic(VIRTUALIZE_APIC_ACCESSES | APIC_REGISTER_VIRTUALIZATION | VIRTUAL_INTERRUPT_DELIVERY);
  it.each([
    ['one byte of the register', 0x83, 1, Read, 0],
    ['two bytes of it', 0x82, 2, Write, 0],
    ['more than 32 bits', 0x80, 8, Read, 44],
    ['bytes beyond the low four', 0x82, 4, Read, 44],
    ['bytes of the upper twelve', 0x84, 1, Write, 44],
    ['an instruction fetch', 0x80, 4, Fetch, 44],
  ])('%s', (_what, offset, bytes, access, reason) => expect(outcome(all, offset, bytes, access)).toBe(reason));
  it('without a TPR shadow: none', () => {
    const fields = { ...virtualApic(VIRTUALIZE_APIC_ACCESSES), PRIMARY_PROCESSOR_BASED_CONTROLS: PRIMARY };
    expect([outcome(fields, 0x80, 4, Read), outcome(fields, 0x80, 4, Write)]).toEqual([44, 44]);
  });
  it('without APIC_REGISTER_VIRTUALIZATION the page offset itself counts: not the second byte of the task priority', () => {
    const fields = virtualApic(VIRTUALIZE_APIC_ACCESSES);
    expect([outcome(fields, 0x80, 1, Read), outcome(fields, 0x81, 1, Read)]).toEqual([0, 44]);
  });
  it('after a write of the same operation: no read, and no write at another offset or of another size', () => {
    const after = (offset: number, bytes: number, access: number): boolean => {
      const b = again(all);
      b.vmx.apicAccessPage.write(0x80, 4, 0);
      return b.vmx.apicAccessPage.permits(offset, bytes, access);
    };
    expect([after(0x80, 4, Write), after(0x80, 4, Read), after(0x80, 1, Write), after(0xb0, 4, Write)]).toEqual([true, false, false, false]);
  });
});

describe('VM exits', () => {
  /** Fields of the exit that an access through the MMU makes. */
  const exit = (access: (b: Bench) => void, fields: Fields = virtualApic(VIRTUALIZE_APIC_ACCESSES)): (bigint | undefined)[] => {
    const b = guest(fields);
    b.cpu.insn = insn({ length: 7 });
    expect(() => access(b)).toThrow();
    expect(b.vmx.guestMode).toBe(false);
    return [b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION'), b.read('IDT_VECTORING_INFORMATION'), b.read('GUEST_RFLAGS') & 0x1_0000n];
  };
  const at = BigInt(APIC_ACCESS);
  const event = { vector: 0x31, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 };

  it('type 0: a data read; the low 12 bits are the offset; fault-like (RF is 1)', () =>
    expect(exit((b) => b.cpu.readLinear(at + 0x30n, 4))).toEqual([44n, 0x0030n, 0n, 0x1_0000n]));
  it('type 1: a data write, and a read-modify-write', () => {
    expect(exit((b) => b.cpu.writeLinear(at + 0x3f0n, 4, 0n))).toEqual([44n, 0x13f0n, 0n, 0x1_0000n]);
    expect(outcome(virtualApic(VIRTUALIZE_APIC_ACCESSES), 0x30, 4, Read | Write)).toBe(44);
  });
  it('type 2: an instruction fetch', () => expect(exit((b) => b.cpu.mmu.translate(APIC_ACCESS + 0x80, 0, Fetch))).toEqual([44n, 0x2080n, 0n, 0x1_0000n]));
  it('type 3: event delivery, read or write: the event is in the IDT-vectoring information, RF stays', () => {
    for (const access of [Read, Write]) {
      const made = exit((b) => {
        b.cpu.delivering = event;
        if (access === Read) b.cpu.readLinear(at + 0x318n, 8, Read | Supervisor);
        else b.cpu.writeLinear(at + 0x318n, 8, 0n, Write | Supervisor);
      });
      expect(made).toEqual([44n, 0x3318n, 0x8000_0031n, 0n]);
    }
  });
  it('types 10 and 15: a paging-structure entry in the page, by an instruction and in the delivery of an event', () => {
    const walk = (delivering: boolean) => (b: Bench) => {
      b.cpu.delivering = delivering ? event : undefined;
      b.cpu.mmu.translate(0x1000, 0, Read);
    };
    const tables = { ...virtualApic(VIRTUALIZE_APIC_ACCESSES), APIC_ACCESS_ADDRESS: 0x10_0000 };
    expect(exit(walk(false), tables).slice(0, 3)).toEqual([44n, 0xf000n, 0n]);
    expect(exit(walk(true), tables).slice(0, 3)).toEqual([44n, 0xa000n, 0x8000_0031n]);
  });
  it('an access across the page boundary exits with the part that lies in the page', () => {
    expect(exit((b) => b.cpu.readLinear(at - 2n, 4))[1]).toBe(0n);
    expect(exit((b) => b.cpu.writeLinear(at + 0xffen, 4, 0n))[1]).toBe(0x1ffen);
  });
  it('the length of the instruction is recorded', () => {
    const b = again(virtualApic(VIRTUALIZE_APIC_ACCESSES));
    b.cpu.insn = insn({ length: 7 });
    b.vmx.apicAccessPage.permits(0x30, 4, Read);
    expect(b.read('EXIT_INSTRUCTION_LENGTH')).toBe(7n);
  });
  it('come after the EPT violation that the access would make', () => {
    const b = rootWithVmcs();
    b.write(virtualApic(VIRTUALIZE_APIC_ACCESSES));
    b.cpu.memory.write64(0x5000, 0xb5n);
    b.vmx.launch();
    b.vmx.boundary(false, false);
    expect(() => b.cpu.writeLinear(at + 0x30n, 4, 0n)).toThrow();
    expect(b.read('EXIT_REASON')).toBe(48n);
  });
});

describe('the page is intercepted only in non-root operation with the control', () => {
  it('in the guest: virtualized accesses reach the virtual-APIC page, and nothing is cached', () => {
    const b = guest(virtualApic(VIRTUALIZE_APIC_ACCESSES));
    b.cpu.memory.write32(APIC_ACCESS + 0x80, 0x1111_1111);
    b.cpu.writeLinear(BigInt(APIC_ACCESS + 0x80), 4, 0x50n);
    expect(virtual(b, 0x80)).toBe(0x50);
    b.vmx.boundary(false, false);
    expect(b.cpu.readLinear(BigInt(APIC_ACCESS + 0x80), 4)).toBe(0x50n);
    expect(b.cpu.memory.read32(APIC_ACCESS + 0x80)).toBe(0x1111_1111);
  });
  it('without the control, and in the host after an exit: memory', () => {
    const plain = guest(virtualApic(0));
    plain.cpu.writeLinear(BigInt(APIC_ACCESS + 0x30), 4, 7n);
    expect(plain.cpu.memory.read32(APIC_ACCESS + 0x30)).toBe(7);
    const b = guest(virtualApic(VIRTUALIZE_APIC_ACCESSES));
    b.cpu.insn = insn({});
    b.vmx.exitOnInstruction(10);
    b.cpu.writeLinear(BigInt(APIC_ACCESS + 0x30), 4, 9n);
    expect(b.cpu.memory.read32(APIC_ACCESS + 0x30)).toBe(9);
  });
  it('a snapshot in the guest keeps it, and an emulation that is still to come', () => {
    const b = guest(virtualApic(VIRTUALIZE_APIC_ACCESSES, { TPR_THRESHOLD: 0 }));
    b.cpu.writeLinear(BigInt(APIC_ACCESS + 0x80), 4, 0x1234_5670n);
    const state = b.vmx.saveState();
    b.vmx.leaveNonRoot();
    b.vmx.restoreState(state);
    b.vmx.boundary(false, false);
    expect(virtual(b, 0x80)).toBe(0x70);
    b.cpu.insn = insn({});
    expect(() => b.cpu.readLinear(BigInt(APIC_ACCESS + 0x30), 4)).toThrow();
    expect(b.read('EXIT_REASON')).toBe(44n);
  });
});
