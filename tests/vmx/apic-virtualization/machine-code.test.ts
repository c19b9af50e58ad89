/** A guest in machine code on its virtual APIC: what it does without an exit, and which exits it makes. SDM "APIC Virtualization and Virtual Interrupts". */
import { Activity } from '../../../cpu/cpu';
import { Engine } from '../../../cpu/engine';
import { Primary, Secondary } from '../../../vmx/controls';
import { BASELINE, GUEST_RIP, HOST_RIP, PRIMARY, VIRTUAL_APIC, VMCS_A, rootWithVmcs, type Bench } from '../bench';
import {
  APIC_ACCESS,
  DESCRIPTOR,
  Interrupts,
  NOTIFICATION,
  VIRR,
  VISR,
  VTPR,
  posting,
  setVectors,
  setVirtual,
  vectors,
  virtual,
  virtualApic,
  type Fields,
} from './bench';

const { VIRTUALIZE_APIC_ACCESSES, VIRTUALIZE_X2APIC_MODE, APIC_REGISTER_VIRTUALIZATION, VIRTUAL_INTERRUPT_DELIVERY } = Secondary;
const MEMORY = VIRTUALIZE_APIC_ACCESSES | APIC_REGISTER_VIRTUALIZATION | VIRTUAL_INTERRUPT_DELIVERY;

const GDT = 0x2_0000,
  IDT = 0x2_1000,
  HANDLERS = 0x40_2000,
  /** Where handlers leave their vectors, in order. */
  LOG = 0x40_3000,
  ENTRY_CODE = 0x11_1000;
/** RBX points to the next place in the log. */
const RBX = 3;

const word = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
const mov = {
  /** mov dword [address], imm32 */
  store: (address: number, value: number): number[] => [0xc7, 0x04, 0x25, ...word(address), ...word(value)],
  /** mov eax, [address] */
  load: (address: number): number[] => [0x8b, 0x04, 0x25, ...word(address)],
  eax: (value: number): number[] => [0xb8, ...word(value)],
  ecx: (value: number): number[] => [0xb9, ...word(value)],
  cr8: [0x44, 0x0f, 0x22, 0xc0],
};
const STI = 0xfb,
  CLI = 0xfa,
  NOP = 0x90,
  HLT = 0xf4,
  CPUID = [0x0f, 0xa2],
  WRMSR = [0x0f, 0x30],
  XOR_EDX = [0x31, 0xd2],
  IRETQ = [0x48, 0xcf];
const PAGE = APIC_ACCESS;
const EOI = mov.store(PAGE + 0xb0, 0);

interface Running extends Bench {
  readonly engine: Engine;
  readonly interrupts: Interrupts;
  /** Vectors whose handlers ran. */
  log(): number[];
  exit(): [reason: bigint, qualification: bigint, rip: bigint];
}

let shared: (Bench & { engine: Engine }) | undefined;
/** One machine for all tests: in root operation, VMCS_A as new, nothing cached. */
function machine(): Bench & { engine: Engine } {
  if (shared === undefined) {
    const bench = rootWithVmcs();
    shared = { ...bench, engine: new Engine(bench.cpu, { next: Infinity, run: () => {}, onChange: () => {} }) };
  }
  const { cpu, vmx, write } = shared;
  for (const page of [VIRTUAL_APIC, APIC_ACCESS, DESCRIPTOR & ~0xfff, LOG]) cpu.memory.writeBytes(page, new Uint8Array(0x1000));
  vmx.vmclear(VMCS_A);
  cpu.memory.writeBytes(VMCS_A + 16, new Uint8Array(0xff0));
  vmx.vmptrld(VMCS_A);
  write(BASELINE);
  vmx.exits = 0;
  cpu.activity = Activity.Active;
  cpu.mmu.flushAll();
  return shared;
}

/** A handler logs its vector, ends the interrupt when told so, and returns. */
function start(code: readonly number[], fields: Fields, { ends = true, before }: { ends?: boolean; before?: (b: Bench) => void } = {}): Running {
  const b = machine();
  const { memory } = b.cpu;
  memory.write64(GDT + 8, 0x00af_9b00_0000_ffffn);
  memory.write64(GDT + 16, 0x00cf_9300_0000_ffffn);
  for (let vector = 0; vector < 256; vector++) {
    const at = HANDLERS + 0x10_0000 + vector * 64;
    memory.write64(IDT + vector * 16, (BigInt(at >>> 16) << 48n) | 0x8e00_0000_0000n | (8n << 16n) | BigInt(at & 0xffff));
    // mov byte [rbx], vector; inc rbx
    memory.writeBytes(at, Uint8Array.from([0xc6, 0x03, vector, 0x48, 0xff, 0xc3, ...(ends ? EOI : []), ...IRETQ]));
  }
  memory.writeBytes(GUEST_RIP, Uint8Array.from([...code, ...CPUID]));
  memory.writeBytes(HOST_RIP, Uint8Array.from([HLT]));
  memory.writeBytes(ENTRY_CODE, Uint8Array.from([0x0f, 0x01, 0xc2, HLT]));
  b.write(fields);
  before?.(b);
  b.cpu.setGpr(RBX, BigInt(LOG));
  b.cpu.rip = BigInt(ENTRY_CODE);
  const interrupts = (b.cpu.interrupts = new Interrupts());
  return {
    ...b,
    interrupts,
    log: () => Array.from({ length: Number(b.cpu.gpr(RBX)) - LOG }, (_, i) => memory.read8(LOG + i)),
    exit: () => [b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION'), b.read('GUEST_RIP') - BigInt(GUEST_RIP)],
  };
}
/** Up to the exit, which the host answers with HLT. */
const run = (b: Running): Running => {
  expect(b.engine.run(b.cpu.now() + 100_000)).toBe('idle');
  return b;
};
const CPUID_EXIT = 10n;

describe('the task priority', () => {
  it('is written and read through the APIC-access page without an exit', () => {
    const code = [...mov.store(PAGE + 0x80, 0x55), ...mov.load(PAGE + 0x80)];
    const b = run(start(code, virtualApic(VIRTUALIZE_APIC_ACCESSES)));
    expect([b.exit(), virtual(b, VTPR)]).toEqual([[CPUID_EXIT, 0n, BigInt(code.length)], 0x55]);
    // CPUID exits: EAX is what was read.
    expect(b.cpu.gpr(0)).toBe(0x55n);
  });
  it('takes part in read-modify-writes: or dword [page + 80h], 0fh; xchg', () => {
    // or dword [page+80h], 0x0f; mov eax, 0x31; xchg [page+80h], eax
    const code = [0x81, 0x0c, 0x25, ...word(PAGE + 0x80), ...word(0x0f), ...mov.eax(0x31), 0x87, 0x04, 0x25, ...word(PAGE + 0x80)];
    const b = run(start(code, virtualApic(VIRTUALIZE_APIC_ACCESSES), { before: (m) => setVirtual(m, VTPR, 0x40) }));
    expect([b.exit()[0], b.cpu.gpr(0), virtual(b, VTPR)]).toEqual([CPUID_EXIT, 0x4fn, 0x31]);
  });
  it('lowered by MOV to CR8: the interrupt that waits comes before the next instruction', () => {
    const code = [STI, NOP, ...mov.eax(3), ...mov.cr8, NOP];
    const fields = virtualApic(MEMORY, { GUEST_INTERRUPT_STATUS: 0x41 });
    const before = (m: Bench): void => {
      setVirtual(m, VTPR, 0x50);
      setVectors(m, VIRR, 0x41);
    };
    const b = run(start(code, fields, { before }));
    expect([b.log(), b.exit()]).toEqual([[0x41], [CPUID_EXIT, 0n, BigInt(code.length)]]);
    expect(b.cpu.memory.read64(0x8_0000 - 40)).toBe(BigInt(GUEST_RIP + code.length - 1));
  });
  it('below the threshold: a trap-like exit', () => {
    const code = [...mov.store(PAGE + 0x80, 0x40), NOP];
    const b = start(code, virtualApic(VIRTUALIZE_APIC_ACCESSES, { TPR_THRESHOLD: 5 }), { before: (m) => setVirtual(m, VTPR, 0x50) });
    expect(run(b).exit()).toEqual([43n, 0n, BigInt(code.length - 1)]);
  });
});

describe('virtual interrupts', () => {
  it('EOI delivers the next one: three in the order of priority, no exit', () => {
    const code = [STI, NOP, NOP];
    const b = run(start(code, virtualApic(MEMORY, { GUEST_INTERRUPT_STATUS: 0x81 }), { before: (m) => setVectors(m, VIRR, 0x31, 0x81, 0x52) }));
    expect([b.log(), b.exit()[0], vectors(b, VISR), vectors(b, VIRR)]).toEqual([[0x81, 0x52, 0x31], CPUID_EXIT, [], []]);
    expect(b.read('GUEST_INTERRUPT_STATUS')).toBe(0n);
  });
  it('without EOI only the first comes', () => {
    const fields = virtualApic(MEMORY, { GUEST_INTERRUPT_STATUS: 0x81 });
    const b = run(start([STI, NOP, NOP], fields, { ends: false, before: (m) => setVectors(m, VIRR, 0x31, 0x81) }));
    expect([b.log(), b.read('GUEST_INTERRUPT_STATUS')]).toEqual([[0x81], 0x8131n]);
  });
  it('an EOI that exits: behind the instruction, with the vector', () => {
    const fields = virtualApic(MEMORY, { GUEST_INTERRUPT_STATUS: 0x81, EOI_EXIT_BITMAP_2: 2n });
    const b = run(start([STI, NOP], fields, { before: (m) => setVectors(m, VIRR, 0x81) }));
    expect([b.exit().slice(0, 2), b.log()]).toEqual([[45n, 0x81n], [0x81]]);
    expect(b.read('GUEST_RIP')).toBe(BigInt(HANDLERS + 0x10_0000 + 0x81 * 64 + 6 + EOI.length));
  });
  it('self-IPI: through the ICR and through MSR 83FH', () => {
    const icr = [STI, ...mov.store(PAGE + 0x300, 0x4_0061), NOP];
    expect(run(start(icr, virtualApic(MEMORY))).log()).toEqual([0x61]);
    const wrmsr = [STI, ...XOR_EDX, ...mov.ecx(0x83f), ...mov.eax(0x62), ...WRMSR, NOP];
    const fields = virtualApic(VIRTUALIZE_X2APIC_MODE | VIRTUAL_INTERRUPT_DELIVERY, {
      PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.USE_TPR_SHADOW | Primary.USE_MSR_BITMAPS) >>> 0,
      MSR_BITMAP_ADDRESS: 0x6000,
    });
    expect(run(start(wrmsr, fields, { ends: false })).log()).toEqual([0x62]);
  });
  it('wakes the guest from HLT', () => {
    // cli; self-IPI (recognized, blocked); sti; hlt: the shadow of STI ends behind HLT.
    const code = [CLI, ...mov.store(PAGE + 0x300, 0x4_0061), STI, HLT];
    const b = run(start(code, virtualApic(MEMORY)));
    expect([b.log(), b.exit()]).toEqual([[0x61], [CPUID_EXIT, 0n, BigInt(code.length)]]);
  });
});

describe('posted interrupts', () => {
  it('are delivered without an exit while the guest runs', () => {
    // sti; loop: cmp rbx, LOG; je loop
    const code = [STI, 0x48, 0x81, 0xfb, ...word(LOG), 0x74, 0xf7];
    const b = start(code, posting(), { ends: false });
    expect(b.engine.run(b.cpu.now() + 1000)).toBe('limit');
    b.cpu.memory.write32(DESCRIPTOR + 8, 2);
    b.cpu.memory.write32(DESCRIPTOR + 32, 1);
    b.interrupts.queue.push(NOTIFICATION);
    b.cpu.attention = true;
    run(b);
    expect([b.log(), b.exit()[0], b.vmx.exits, b.interrupts.acknowledged, b.interrupts.ends]).toEqual([[0x41], CPUID_EXIT, 1, [NOTIFICATION], 1]);
    expect([b.cpu.memory.read32(DESCRIPTOR + 8), b.cpu.memory.read32(DESCRIPTOR + 32)]).toEqual([0, 0]);
  });
  it('wake the guest from HLT', () => {
    const b = start([STI, HLT], posting(), { ends: false });
    expect(b.engine.run(b.cpu.now() + 1000)).toBe('idle');
    expect(b.vmx.guestMode).toBe(true);
    b.cpu.memory.write32(DESCRIPTOR + 4, 2);
    b.interrupts.queue.push(NOTIFICATION);
    run(b);
    expect([b.log(), b.exit()[0]]).toEqual([[0x21], CPUID_EXIT]);
  });
});

describe('APIC-access exits', () => {
  it.each([
    ['mov eax, [page + 30h]', mov.load(PAGE + 0x30), 0x0030n],
    ['mov [page + 300h], imm32', mov.store(PAGE + 0x300, 7), 0x1300n],
    ['or [page + 30h], imm32: a read-modify-write is a write', [0x81, 0x0c, 0x25, ...word(PAGE + 0x30), ...word(1)], 0x1030n],
    ['mov rax, [page + 80h]: more than 32 bits', [0x48, ...mov.load(PAGE + 0x80)], 0x0080n],
    ['movups xmm0, [page + 80h]', [0x0f, 0x10, 0x04, 0x25, ...word(PAGE + 0x80)], 0x0080n],
    ['push to the page', [0xbc, ...word(PAGE + 0x88), 0x50], 0x1080n],
  ])('%s', (_what, code, qualification) => {
    const b = run(start(code, virtualApic(VIRTUALIZE_APIC_ACCESSES, { GUEST_CR4: 0x2620 })));
    const length = code[0] === 0xbc ? 1 : code.length;
    expect(b.exit()).toEqual([44n, qualification, BigInt(code.length - length)]);
    expect([b.read('EXIT_INSTRUCTION_LENGTH'), b.read('GUEST_RFLAGS') & 0x1_0000n, b.read('IDT_VECTORING_INFORMATION')]).toEqual([
      BigInt(length),
      0x1_0000n,
      0n,
    ]);
  });
  it('an instruction fetch', () => {
    // mov eax, page + 80h; jmp rax
    const b = run(start([...mov.eax(PAGE + 0x80), 0xff, 0xe0], virtualApic(VIRTUALIZE_APIC_ACCESSES)));
    expect([b.exit()[0], b.exit()[1], b.read('GUEST_RIP')]).toEqual([44n, 0x2080n, BigInt(PAGE + 0x80)]);
  });
  it('a write while an event is delivered: the first push', () => {
    const fields = virtualApic(VIRTUALIZE_APIC_ACCESSES, { GUEST_RSP: PAGE + 0x400 });
    const b = run(start([NOP], { ...fields, ENTRY_INTERRUPTION_INFORMATION: 0x8000_0031, GUEST_RFLAGS: 0x202 }));
    expect([b.exit(), b.read('IDT_VECTORING_INFORMATION')]).toEqual([[44n, 0x33f8n, 0n], 0x8000_0031n]);
  });
  it('a read while an event is delivered: the gate', () => {
    const fields = virtualApic(VIRTUALIZE_APIC_ACCESSES, { GUEST_IDTR_BASE: PAGE, ENTRY_INTERRUPTION_INFORMATION: 0x8000_0031, GUEST_RFLAGS: 0x202 });
    const b = run(start([NOP], fields));
    expect([b.exit(), b.read('IDT_VECTORING_INFORMATION')]).toEqual([[44n, 0x3310n, 0n], 0x8000_0031n]);
  });
  it('a virtual interrupt whose frame lies in the page: the interrupt is in service, and in the IDT-vectoring information', () => {
    const fields = virtualApic(MEMORY, { GUEST_RSP: PAGE + 0x400, GUEST_RFLAGS: 0x202, GUEST_INTERRUPT_STATUS: 0x41 });
    const b = run(start([NOP], fields, { before: (m) => setVectors(m, VIRR, 0x41) }));
    expect([b.exit(), b.read('IDT_VECTORING_INFORMATION'), b.read('GUEST_INTERRUPT_STATUS')]).toEqual([[44n, 0x33f8n, 0n], 0x8000_0041n, 0x4100n]);
  });
  it('iterations of a string instruction before the one that reaches the page are done', () => {
    // mov edi, page - 8; mov ecx, 4; rep stosd
    const code = [0xbf, ...word(PAGE - 8), ...mov.ecx(4), 0xf3, 0xab];
    const b = run(start(code, virtualApic(VIRTUALIZE_APIC_ACCESSES)));
    expect([b.exit(), b.cpu.gpr(1), b.cpu.gpr(7)]).toEqual([[44n, 0x1000n, BigInt(code.length - 2)], 2n, BigInt(PAGE)]);
  });
});

it('an APIC-write VM exit is behind the instruction, whose data are in the virtual-APIC page', () => {
  const code = [...mov.store(PAGE + 0xf0, 0x1ff), NOP];
  const b = run(start(code, virtualApic(MEMORY)));
  expect([b.exit(), b.cpu.memory.read32(VIRTUAL_APIC + 0xf0)]).toEqual([[56n, 0xf0n, BigInt(code.length - 1)], 0x1ff]);
});
