/** Root and non-root operation in real machine code: the step loop, the decoder and VMX together. */
import { Engine } from '../../cpu/engine';
import { R } from '../../cpu/layout';
import { Primary, Secondary } from '../../vmx/controls';
import { ExitReason } from '../../vmx/exit/reason';
import { EPT_PDPT, GUEST_RIP, HOST_RIP, PIN, PRIMARY, rootWithVmcs, type Bench } from './bench';

const ENTRY_CODE = 0x11_1000;
const timers = { next: Infinity, run: (): void => {}, onChange: (): void => {} };

/** `host` runs at HOST_RIP, `guestCode` at GUEST_RIP; the root code at ENTRY_CODE is VMLAUNCH; HLT. */
function start(guestCode: readonly number[], host: readonly number[] = [0xf4]): Bench & { engine: Engine } {
  const bench = rootWithVmcs();
  const { memory } = bench.cpu;
  memory.writeBytes(GUEST_RIP, Uint8Array.from(guestCode));
  memory.writeBytes(HOST_RIP, Uint8Array.from(host));
  memory.writeBytes(ENTRY_CODE, Uint8Array.from([0x0f, 0x01, 0xc2, 0xf4]));
  bench.cpu.rip = BigInt(ENTRY_CODE);
  return { ...bench, engine: new Engine(bench.cpu, timers) };
}

// mov eax, 12345678h; inc eax; cpuid
const COUNT_AND_CPUID = [0xb8, 0x78, 0x56, 0x34, 0x12, 0xff, 0xc0, 0x0f, 0xa2];

describe('machine code', () => {
  it('VMLAUNCH runs the guest until CPUID exits; the host goes on at HOST_RIP and halts there', () => {
    const b = start(COUNT_AND_CPUID);
    expect(b.engine.run(10_000)).toBe('idle');
    expect(b.vmx.guestMode).toBe(false);
    expect([b.read('EXIT_REASON'), b.read('EXIT_INSTRUCTION_LENGTH'), b.read('GUEST_RIP')]).toEqual([10n, 2n, BigInt(GUEST_RIP + 7)]);
    expect(b.cpu.gpr(0)).toBe(0x1234_5679n);
    expect(b.cpu.rip).toBe(BigInt(HOST_RIP + 1));
  });

  it('a host of machine code counts exits: VMREAD, VMWRITE, VMRESUME', () => {
    // Guest: loop: inc rcx; vmcall; jmp loop.
    const guestCode = [0x48, 0xff, 0xc1, 0x0f, 0x01, 0xc1, 0xeb, 0xf8];
    // Host: mov eax, GUEST_RIP encoding; vmread rdx, rax; add rdx, 3; vmwrite rax, rdx; inc rbx; cmp rbx, 5; je halt; vmresume; halt: hlt
    const host = [
      0xb8, 0x1e, 0x68, 0x00, 0x00, 0x0f, 0x78, 0xc2, 0x48, 0x83, 0xc2, 0x03, 0x0f, 0x79, 0xc2, 0x48, 0xff, 0xc3, 0x48, 0x83, 0xfb, 0x05, 0x74, 0x03, 0x0f,
      0x01, 0xc3, 0xf4,
    ];
    const b = start(guestCode, host);
    expect(b.engine.run(10_000)).toBe('idle');
    expect([b.cpu.gpr(3), b.cpu.gpr(1), b.read('EXIT_REASON')]).toEqual([5n, 5n, 18n]);
  });

  it('a failed VMLAUNCH falls through with ZF', () => {
    const b = start([0xf4]);
    b.write({ HOST_TR_SELECTOR: 0 });
    b.engine.run(10_000);
    expect(b.cpu.rip).toBe(BigInt(ENTRY_CODE + 4));
    expect([b.cpu.rflags() & 0x41, b.read('VM_INSTRUCTION_ERROR')]).toEqual([0x40, 8n]);
  });

  it('an EPT violation in the middle of a block leaves RIP at the instruction and earlier work done', () => {
    // mov ebx, 1; mov [0x40000000 + ...] cannot be reached by the 1 GiB map: linear 0x3ff00000 is, but EPT refuses writes.
    const b = start([0xbb, 0x07, 0, 0, 0, 0x89, 0x1c, 0x25, 0x00, 0x00, 0xb0, 0x00, 0xf4]);
    // Read and execute only for the whole GiB.
    b.cpu.memory.write64(EPT_PDPT, 0xb5n);
    // The guest's own tables need no A/D updates.
    b.cpu.memory.write64(0x10_0000, 0x10_1023n);
    b.cpu.memory.write64(0x10_1000, 0xe3n);
    b.engine.run(10_000);
    expect([b.read('EXIT_REASON'), b.read('GUEST_RIP'), b.cpu.gpr(3)]).toEqual([BigInt(ExitReason.EptViolation), BigInt(GUEST_RIP + 5), 7n]);
    expect(b.read('GUEST_PHYSICAL_ADDRESS')).toBe(0xb0_0000n);
    expect(b.read('GUEST_LINEAR_ADDRESS')).toBe(0xb0_0000n);
    // Write; readable and executable; linear address valid, final access; supervisor, writable.
    expect(b.read('EXIT_QUALIFICATION')).toBe(BigInt(0x2 | (5 << 3) | 0x180 | 0x400));
    // Fault-like: RF is 1 in the saved image.
    expect(b.read('GUEST_RFLAGS') & 0x1_0000n).toBe(0x1_0000n);
  });

  it('a guest page walk that EPT refuses reports the paging-structure entry', () => {
    const b = start([0xf4]);
    b.write({ GUEST_CR3: 0x8000_0000 });
    b.engine.run(10_000);
    expect([b.read('EXIT_REASON'), b.read('GUEST_PHYSICAL_ADDRESS'), b.read('EXIT_QUALIFICATION')]).toEqual([48n, 0x8000_0000n, 0x81n]);
  });

  it('an EPT misconfiguration is exit 49', () => {
    const b = start([0xf4]);
    b.cpu.memory.write64(EPT_PDPT, 0xb6n);
    b.engine.run(10_000);
    expect(b.read('EXIT_REASON')).toBe(49n);
  });

  it('the preemption timer stops an endless loop after exactly its value in instructions', () => {
    for (const value of [0, 1, 7, 1000]) {
      // inc rcx; jmp -5
      const b = start([0x48, 0xff, 0xc1, 0xeb, 0xfb]);
      b.write({ PIN_BASED_CONTROLS: PIN | 0x40, PREEMPTION_TIMER_VALUE: value });
      b.engine.run(100_000);
      expect(b.read('EXIT_REASON')).toBe(52n);
      expect(b.cpu.gpr(1)).toBe(BigInt(Math.ceil(value / 2)));
    }
  });

  it('the monitor trap flag single-steps', () => {
    const b = start(COUNT_AND_CPUID);
    b.write({ PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.MONITOR_TRAP_FLAG) >>> 0 });
    b.engine.run(10_000);
    expect([b.read('EXIT_REASON'), b.read('GUEST_RIP')]).toEqual([37n, BigInt(GUEST_RIP + 5)]);
  });

  it('STI opens the interrupt window one instruction later', () => {
    // nop; sti; nop; nop
    const b = start([0x90, 0xfb, 0x90, 0x90, 0xf4]);
    b.write({ PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.INTERRUPT_WINDOW_EXITING) >>> 0 });
    b.engine.run(10_000);
    expect([b.read('EXIT_REASON'), b.read('GUEST_RIP')]).toEqual([7n, BigInt(GUEST_RIP + 3)]);
  });

  it('an instruction that exits in the shadow of STI saves the blocking', () => {
    const b = start([0xfb, 0x0f, 0xa2]);
    b.engine.run(10_000);
    expect([b.read('EXIT_REASON'), b.read('GUEST_INTERRUPTIBILITY_STATE')]).toEqual([10n, 1n]);
  });

  it('an unrestricted guest runs in real mode', () => {
    const b = start([0xb8, 0x34, 0x12, 0x0f, 0xa2]);
    const real = Object.fromEntries(
      ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'].flatMap((r) => [
        [`GUEST_${r}_SELECTOR`, 0x4000],
        [`GUEST_${r}_BASE`, 0x4_0000],
        [`GUEST_${r}_LIMIT`, 0xffff],
        [`GUEST_${r}_ACCESS_RIGHTS`, r === 'CS' ? 0x9b : 0x93],
      ]),
    );
    b.cpu.memory.writeBytes(0x4_1000, Uint8Array.from([0xb8, 0x34, 0x12, 0x0f, 0xa2]));
    b.write({
      ...real,
      SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_EPT | Secondary.ENABLE_VPID | Secondary.UNRESTRICTED_GUEST,
      GUEST_CR0: 0x30,
      GUEST_CR4: 0x2000,
      VM_ENTRY_CONTROLS: 0x11fb,
      GUEST_RIP: 0x1000,
    });
    b.engine.run(10_000);
    expect([b.read('EXIT_REASON'), b.read('GUEST_RIP'), b.cpu.gpr(0)]).toEqual([10n, 0x1003n, 0x1234n]);
    expect(b.cpu.codeSize).toBe(64);
  });

  it("an instruction that exits does not retire: VMLAUNCH, MOV, INC and the host's HLT do", () => {
    const b = start(COUNT_AND_CPUID);
    b.engine.run(10_000);
    expect(b.cpu.retired()).toBe(4);
  });

  describe('events', () => {
    const GDT = 0x2_0000,
      IDT = 0x2_1000,
      HANDLER = 0x40_2000;
    /** A GDT with 64-bit code at 8, and the gate of `vector` leading to HANDLER: HLT. */
    const withHandler = (vector: number, guestCode: readonly number[]): ReturnType<typeof start> => {
      const b = start(guestCode);
      b.cpu.memory.write64(GDT + 8, 0x00af_9b00_0000_ffffn);
      b.cpu.memory.write64(GDT + 16, 0x00cf_9300_0000_ffffn);
      b.cpu.memory.write64(IDT + vector * 16, (BigInt(HANDLER >>> 16) << 48n) | 0x8e00_0000_0000n | (8n << 16n) | BigInt(HANDLER & 0xffff));
      b.cpu.memory.writeBytes(HANDLER, Uint8Array.from([0xf4]));
      b.write({ PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.HLT_EXITING) >>> 0 });
      return b;
    };

    it('an injected exception runs the guest handler with its frame', () => {
      const b = withHandler(13, [0x90]);
      b.write({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0b0d, ENTRY_EXCEPTION_ERROR_CODE: 0x28 });
      b.engine.run(10_000);
      expect([b.read('EXIT_REASON'), b.read('GUEST_RIP'), b.read('GUEST_RSP')]).toEqual([12n, BigInt(HANDLER), 0x8_0000n - 48n]);
      expect([b.cpu.memory.read64(0x8_0000 - 48), b.cpu.memory.read64(0x8_0000 - 40)]).toEqual([0x28n, BigInt(GUEST_RIP)]);
    });

    it('an injected INT n returns behind its instruction', () => {
      const b = withHandler(0x80, [0x90]);
      b.write({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0480, ENTRY_INSTRUCTION_LENGTH: 2 });
      b.engine.run(10_000);
      expect(b.cpu.memory.read64(0x8_0000 - 40)).toBe(BigInt(GUEST_RIP + 2));
    });

    it('an EPT violation while an event is delivered exits with IDT-vectoring information', () => {
      const b = withHandler(0x30, [0x90]);
      // The IDT lies behind the 1-GByte mapping.
      b.write({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0030, GUEST_RFLAGS: 0x202, GUEST_IDTR_BASE: 0x4000_0000 });
      b.cpu.memory.write64(0x10_1008, 0x4000_0083n);
      b.engine.run(10_000);
      expect([b.read('EXIT_REASON'), b.read('IDT_VECTORING_INFORMATION'), b.read('GUEST_RIP'), b.read('GUEST_PHYSICAL_ADDRESS')]).toEqual([
        48n,
        0x8000_0030n,
        BigInt(GUEST_RIP),
        0x4000_0300n,
      ]);
    });

    it('INT3 intercepted: RIP at it, length 1; not intercepted: the handler runs', () => {
      const b = withHandler(3, [0x90, 0xcc]);
      b.write({ EXCEPTION_BITMAP: 1 << 3 });
      b.engine.run(10_000);
      expect([b.read('EXIT_REASON'), b.read('EXIT_INTERRUPTION_INFORMATION'), b.read('EXIT_INSTRUCTION_LENGTH'), b.read('GUEST_RIP')]).toEqual([
        0n,
        0x8000_0603n,
        1n,
        BigInt(GUEST_RIP + 1),
      ]);
      const free = withHandler(3, [0x90, 0xcc]);
      free.engine.run(10_000);
      expect([free.read('EXIT_REASON'), free.cpu.memory.read64(0x8_0000 - 40)]).toEqual([12n, BigInt(GUEST_RIP + 2)]);
    });

    it('a triple fault exits', () => {
      const b = start([0x0f, 0x0b]);
      b.write({ GUEST_IDTR_LIMIT: 0 });
      b.engine.run(10_000);
      expect([b.read('EXIT_REASON'), b.read('GUEST_RIP'), b.read('IDT_VECTORING_INFORMATION')]).toEqual([2n, BigInt(GUEST_RIP), 0n]);
    });

    it('an intercepted page fault leaves CR2 to the host', () => {
      // mov eax, [0x50000000]
      const b = start([0x8b, 0x04, 0x25, 0x00, 0x00, 0x00, 0x50]);
      b.write({ EXCEPTION_BITMAP: 1 << 14 });
      b.engine.run(10_000);
      expect([
        b.read('EXIT_REASON'),
        b.read('EXIT_INTERRUPTION_INFORMATION'),
        b.read('EXIT_INTERRUPTION_ERROR_CODE'),
        b.read('EXIT_QUALIFICATION'),
        b.cpu.get64(R.CR2),
      ]).toEqual([0n, 0x8000_0b0en, 0n, 0x5000_0000n, 0n]);
    });
  });
});
