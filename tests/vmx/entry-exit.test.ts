/** What VM entries and VM exits load, save and leave alone. SDM chapters "VM Entries" and "VM Exits". */
import { Activity } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { EventType } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../../vmx/controls';
import { ExitReason } from '../../vmx/exit/reason';
import { Region } from '../../vmx/vmcs/layout';
import { VMCS } from '../../vmx/vmcs/fields';
import { ENTRY, EXIT, GUEST_RIP, HOST_RIP, MSR_AREA, PIN, PRIMARY, VIRTUAL_APIC, VMCS_A, VMCS_B, guest, insn, rootWithVmcs, type Bench } from './bench';

const exit = (b: Bench, reason = ExitReason.Cpuid): void => {
  b.cpu.insn = insn({ length: 2 });
  b.vmx.exitOnInstruction(reason);
};

describe('VM entry', () => {
  it('loads the guest registers and the TLB context', () => {
    const b = rootWithVmcs();
    b.write({
      GUEST_RSP: 0x1111_2222_3333_4444n,
      GUEST_FS_BASE: 0xffff_9999_0000_0000n,
      GUEST_CS_SELECTOR: 0x20,
      GUEST_RFLAGS: 0x8d7,
      GUEST_IA32_SYSENTER_EIP: 0x1234n,
      GUEST_IDTR_LIMIT: 0x123,
    });
    expect(b.vmx.launch().kind).toBe('entered');
    const { cpu } = b;
    expect(cpu.gpr(4)).toBe(0x1111_2222_3333_4444n);
    expect(cpu.rip).toBe(BigInt(GUEST_RIP));
    expect(cpu.segmentBase(Segment.FS)).toBe(0xffff_9999_0000_0000n);
    expect(cpu.selector(Segment.CS)).toBe(0x20);
    expect(cpu.rflags()).toBe(0x8d7);
    expect(cpu.get64(R.SYSENTER_EIP)).toBe(0x1234n);
    expect(cpu.get32(R.IDTR_LIMIT)).toBe(0x123);
    expect(cpu.mmu.asid).toBe(1);
    expect([b.vmx.ept.active, b.vmx.ept.root]).toEqual([true, 0x4000]);
  });

  it('leaves CD, NW and ET of CR0 alone, and DR7 unless "load debug controls" is 1', () => {
    const b = rootWithVmcs();
    b.cpu.set32(R.CR0, 0xe001_0033);
    b.write({ GUEST_CR0: 0x8001_0023, GUEST_DR7: 0x401 });
    b.vmx.launch();
    expect(b.cpu.cr0).toBe(0xe001_0033);
    expect(b.cpu.get32(R.DR7)).toBe(0x400);
  });

  it('takes the CPL from SS.DPL, and 3 in virtual-8086 mode', () => {
    const b = rootWithVmcs();
    b.write({ GUEST_CS_SELECTOR: 0x2b, GUEST_SS_SELECTOR: 0x33, GUEST_CS_ACCESS_RIGHTS: 0xa0fb, GUEST_SS_ACCESS_RIGHTS: 0xc0f3 });
    expect(b.vmx.launch().kind).toBe('entered');
    expect(b.cpu.cpl).toBe(3);
  });

  it('into a 32-bit guest clears LMA; LME follows because paging is on', () => {
    const b = rootWithVmcs();
    b.write({ VM_ENTRY_CONTROLS: ENTRY & ~EntryControl.IA32E_MODE_GUEST, GUEST_CS_ACCESS_RIGHTS: 0xc09b, GUEST_CR4: 0x2000 });
    expect(b.vmx.launch().kind).toBe('entered');
    expect(b.cpu.efer & 0x500).toBe(0);
    expect(b.cpu.codeSize).toBe(32);
  });

  it('takes the PDPTEs from the VMCS with EPT', () => {
    const b = rootWithVmcs();
    b.write({ VM_ENTRY_CONTROLS: ENTRY & ~EntryControl.IA32E_MODE_GUEST, GUEST_CS_ACCESS_RIGHTS: 0xc09b, GUEST_CR4: 0x2020, GUEST_PDPTE2: 0x7001 });
    b.vmx.launch();
    expect(b.cpu.get64(R.PDPTE2)).toBe(0x7001n);
  });

  it('applies the TSC offset only with "use TSC offsetting"', () => {
    const without = guest({ TSC_OFFSET: 5 });
    expect(without.cpu.get64(R.GUEST_TSC_OFFSET)).toBe(0n);
    const b = guest({ TSC_OFFSET: 0xffff_ffff_ffff_fff0n, PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.USE_TSC_OFFSETTING) >>> 0 });
    expect(b.cpu.get64(R.GUEST_TSC_OFFSET)).toBe(0xffff_ffff_ffff_fff0n);
    exit(b);
    expect(b.cpu.get64(R.GUEST_TSC_OFFSET)).toBe(0n);
  });

  it('establishes interruptibility, activity and pending debug exceptions at the first boundary', () => {
    const b = guest({ GUEST_INTERRUPTIBILITY_STATE: 2, GUEST_RFLAGS: 0x102, GUEST_PENDING_DEBUG_EXCEPTIONS: 0x4000 });
    expect([b.cpu.inShadow(), b.cpu.shadowByMovSs, b.cpu.pendingDebug]).toEqual([true, true, 0x4000]);
    const halted = guest({ GUEST_ACTIVITY_STATE: 1 });
    expect(halted.cpu.activity).toBe(Activity.Halted);
  });

  it('loads MSRs; an entry that cannot be loaded fails the VM entry with its number', () => {
    const b = rootWithVmcs();
    const entry = (n: number, index: number, value: bigint): void => {
      b.cpu.memory.write64(MSR_AREA + 16 * n, BigInt(index));
      b.cpu.memory.write64(MSR_AREA + 16 * n + 8, value);
    };
    entry(0, 0xc000_0082, 0x1_2345n);
    entry(1, 0xc000_0103, 7n);
    b.write({ ENTRY_MSR_LOAD_ADDRESS: MSR_AREA, ENTRY_MSR_LOAD_COUNT: 2 });
    expect(b.vmx.launch().kind).toBe('entered');
    expect([b.cpu.get64(R.LSTAR), b.cpu.get64(R.TSC_AUX)]).toEqual([0x1_2345n, 7n]);

    const bad = rootWithVmcs();
    bad.cpu.memory.write64(MSR_AREA, 0x174n);
    bad.cpu.memory.write64(MSR_AREA + 16, 0xc000_0100n);
    bad.write({ ENTRY_MSR_LOAD_ADDRESS: MSR_AREA, ENTRY_MSR_LOAD_COUNT: 2 });
    expect(bad.vmx.launch().kind).toBe('exited');
    expect([bad.read('EXIT_REASON'), bad.read('EXIT_QUALIFICATION')]).toEqual([0x8000_0022n, 2n]);
    expect([bad.vmx.guestMode, bad.cpu.rip]).toEqual([false, BigInt(HOST_RIP)]);
  });
});

describe('a VM entry that fails on guest state', () => {
  it('writes only reason and qualification, loads host state, keeps the injection and the launch state', () => {
    const b = rootWithVmcs();
    b.write({ GUEST_RFLAGS: 0, ENTRY_INTERRUPTION_INFORMATION: 0x8000_0306, GUEST_RSP: 0x77 });
    b.cpu.set64(R.GPR + 4 * 8, 0x1234n);
    expect(b.vmx.launch().kind).toBe('exited');
    expect([b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION')]).toEqual([0x8000_0021n, 0n]);
    expect(b.read('ENTRY_INTERRUPTION_INFORMATION')).toBe(0x8000_0306n);
    expect([b.read('GUEST_RSP'), b.read('GUEST_RFLAGS')]).toEqual([0x77n, 0n]);
    expect([b.cpu.rip, b.cpu.gpr(4)]).toEqual([BigInt(HOST_RIP), 0x9_0000n]);
    expect(b.vmx.vmcs.launched).toBe(false);
    b.write({ GUEST_RFLAGS: 2, ENTRY_INTERRUPTION_INFORMATION: 0 });
    expect(b.vmx.launch().kind).toBe('entered');
  });
});

describe('VM exit', () => {
  it('saves what the guest changed and loads the synthesised host segments', () => {
    const b = guest();
    const { cpu } = b;
    cpu.setGpr(4, 0xabcdn);
    cpu.rip = 0x40_2000n;
    cpu.setSegment(Segment.GS, 0x28, 0xc093, 0xffff_ffff, 0x7777n);
    cpu.setRflags(0x1_08d7);
    cpu.set64(R.CR3, 0x12_3000n);
    exit(b);
    expect(b.read('GUEST_RSP')).toBe(0xabcdn);
    expect(b.read('GUEST_RIP')).toBe(0x40_2000n);
    expect([b.read('GUEST_GS_SELECTOR'), b.read('GUEST_GS_BASE')]).toEqual([0x28n, 0x7777n]);
    expect(b.read('GUEST_CR3')).toBe(0x12_3000n);
    // RF of an instruction that exits is saved as 0.
    expect(b.read('GUEST_RFLAGS')).toBe(0x8d7n);
    expect([b.read('EXIT_REASON'), b.read('EXIT_INSTRUCTION_LENGTH')]).toEqual([10n, 2n]);
    expect([b.read('EXIT_INTERRUPTION_INFORMATION'), b.read('IDT_VECTORING_INFORMATION')]).toEqual([0n, 0n]);

    const segment = (s: number): unknown[] => [cpu.selector(s), cpu.segmentAccess(s), cpu.segmentLimit(s), cpu.segmentBase(s)];
    expect(segment(Segment.CS)).toEqual([8, 0xa09b, 0xffff_ffff, 0n]);
    expect(segment(Segment.SS)).toEqual([0x10, 0xc093, 0xffff_ffff, 0n]);
    expect(segment(Segment.FS)).toEqual([0x10, 0xc093, 0xffff_ffff, 0x1234_5678_9000n]);
    expect(segment(Segment.TR)).toEqual([0x18, 0x8b, 0x67, 0xffff_ffff_8000_5000n]);
    expect(cpu.segmentAccess(Segment.ES) & 0x1_0000).toBe(0x1_0000);
    expect(cpu.segmentAccess(Segment.LDTR) & 0x1_0000).toBe(0x1_0000);
    expect([cpu.get32(R.GDTR_LIMIT), cpu.get32(R.IDTR_LIMIT)]).toEqual([0xffff, 0xffff]);
    expect([cpu.rip, cpu.gpr(4), cpu.rflags(), cpu.cpl]).toEqual([BigInt(HOST_RIP), 0x9_0000n, 2, 0]);
    expect([cpu.get64(R.SYSENTER_CS), cpu.get64(R.SYSENTER_EIP)]).toEqual([8n, 0xffff_8000_1234_0000n]);
    expect([b.vmx.guestMode, b.vmx.ept.active, cpu.mmu.asid]).toEqual([false, false, 0]);
  });

  it('switches the stack and the SYSENTER registers, and saves those that the guest wrote', () => {
    const b = guest({ GUEST_IA32_SYSENTER_CS: 0x33, HOST_IA32_SYSENTER_CS: 0x1b, HOST_RSP: 0x8_8000, GUEST_RSP: 0x5_5000 });
    const { cpu } = b;
    expect([cpu.get64(R.SYSENTER_CS), cpu.gpr(4)]).toEqual([0x33n, 0x5_5000n]);
    cpu.set64(R.SYSENTER_CS, 0x43n);
    exit(b);
    expect([cpu.get64(R.SYSENTER_CS), cpu.gpr(4)]).toEqual([0x1bn, 0x8_8000n]);
    expect([b.read('GUEST_IA32_SYSENTER_CS'), b.read('GUEST_RSP')]).toEqual([0x43n, 0x5_5000n]);
  });

  it('leaves the fields of a dual-monitor treatment of SMM alone', () => {
    const b = rootWithVmcs();
    const fields = { EXECUTIVE_VMCS_POINTER: 0x1234_5000n, GUEST_SMBASE: 0x3_0000n };
    b.write(fields);
    expect(b.vmx.launch().kind).toBe('entered');
    exit(b);
    expect([b.read('EXECUTIVE_VMCS_POINTER'), b.read('GUEST_SMBASE')]).toEqual(Object.values(fields));
    // "In the case of I/O SMIs" only.
    for (const field of ['IO_RCX', 'IO_RSI', 'IO_RDI', 'IO_RIP'] as const) expect([field, b.read(field)]).toEqual([field, 0n]);
  });

  it('forces DR7 = 400H and DEBUGCTL = 0; saves them only with "save debug controls"', () => {
    const b = guest({ VM_EXIT_CONTROLS: EXIT | ExitControl.SAVE_DEBUG_CONTROLS });
    b.cpu.set64(R.DR7, 0x455n);
    b.cpu.set64(R.DEBUGCTL, 2n);
    exit(b);
    expect([b.read('GUEST_DR7'), b.read('GUEST_IA32_DEBUGCTL')]).toEqual([0x455n, 2n]);
    expect([b.cpu.get64(R.DR7), b.cpu.get64(R.DEBUGCTL)]).toEqual([0x400n, 0n]);
  });

  it('switches PAT and EFER as the controls ask', () => {
    const b = guest({
      VM_EXIT_CONTROLS: EXIT | ExitControl.SAVE_IA32_PAT | ExitControl.LOAD_IA32_PAT | ExitControl.SAVE_IA32_EFER | ExitControl.LOAD_IA32_EFER,
      VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_IA32_PAT | EntryControl.LOAD_IA32_EFER,
      GUEST_IA32_PAT: 0x0606n,
      HOST_IA32_PAT: 0x0707n,
      GUEST_IA32_EFER: 0x500,
      HOST_IA32_EFER: 0xd01,
    });
    expect([b.cpu.get64(R.PAT), b.cpu.efer]).toEqual([0x0606n, 0x500]);
    b.cpu.set32(R.EFER, 0xd00);
    exit(b);
    expect([b.read('GUEST_IA32_EFER'), b.cpu.get64(R.PAT), b.cpu.efer]).toEqual([0xd00n, 0x0707n, 0xd01]);
  });

  it('stores EFER.LMA into the "IA-32e mode guest" control', () => {
    const b = guest();
    b.cpu.set32(R.EFER, 0);
    b.cpu.set32(R.CR0, 0x33);
    b.cpu.setSegment(Segment.CS, 8, 0xc09b, 0xffff_ffff, 0n);
    b.cpu.modeChanged();
    exit(b);
    expect(b.read('VM_ENTRY_CONTROLS') & 0x200n).toBe(0n);
    expect(b.cpu.efer & 0x500).toBe(0x500);
    expect(b.cpu.codeSize).toBe(64);
  });

  it('saves interruptibility, activity, pending debug exceptions and the preemption timer', () => {
    const b = guest({
      PIN_BASED_CONTROLS: PIN | PinBased.ACTIVATE_PREEMPTION_TIMER,
      PREEMPTION_TIMER_VALUE: 1000,
      VM_EXIT_CONTROLS: EXIT | ExitControl.SAVE_PREEMPTION_TIMER_VALUE,
    });
    b.cpu.retiredBase += 300;
    b.cpu.shadowAt = b.cpu.retired();
    b.cpu.shadowByMovSs = false;
    b.cpu.nmiBlocked = true;
    b.cpu.pendingDebug = 0x4001;
    b.cpu.activity = Activity.Halted;
    exit(b, ExitReason.Hlt);
    expect(b.read('GUEST_INTERRUPTIBILITY_STATE')).toBe(0b1001n);
    expect(b.read('GUEST_ACTIVITY_STATE')).toBe(1n);
    expect(b.read('GUEST_PENDING_DEBUG_EXCEPTIONS')).toBe(0x5001n);
    expect(b.read('PREEMPTION_TIMER_VALUE')).toBe(700n);
    expect([b.cpu.activity, b.cpu.inShadow(), b.cpu.pendingDebug]).toEqual([Activity.Active, false, 0]);
  });

  it('clears the valid bit of the injection', () => {
    const b = rootWithVmcs();
    b.write({ ENTRY_INTERRUPTION_INFORMATION: 0x8000_0306 });
    b.vmx.launch();
    exit(b);
    expect(b.read('ENTRY_INTERRUPTION_INFORMATION')).toBe(0x306n);
  });

  it('stores and loads MSRs', () => {
    const b = rootWithVmcs();
    b.cpu.memory.write64(MSR_AREA, 0xc000_0082n);
    b.cpu.memory.write64(MSR_AREA + 16, 0xc000_0083n);
    b.cpu.memory.write64(MSR_AREA + 24, 0x99n);
    b.write({ EXIT_MSR_STORE_ADDRESS: MSR_AREA, EXIT_MSR_STORE_COUNT: 1, EXIT_MSR_LOAD_ADDRESS: MSR_AREA + 16, EXIT_MSR_LOAD_COUNT: 1 });
    b.vmx.launch();
    b.cpu.set64(R.LSTAR, 0x55n);
    exit(b);
    expect([b.cpu.memory.read64(MSR_AREA + 8), b.cpu.get64(R.CSTAR)]).toEqual([0x55n, 0x99n]);
  });

  it('aborts into shutdown when a host MSR cannot be loaded', () => {
    const b = rootWithVmcs();
    b.cpu.memory.write64(MSR_AREA, 0xc000_0100n);
    b.write({ EXIT_MSR_LOAD_ADDRESS: MSR_AREA, EXIT_MSR_LOAD_COUNT: 1 });
    b.vmx.launch();
    exit(b);
    expect(b.cpu.memory.read32(VMCS_A + Region.ABORT_INDICATOR)).toBe(4);
    expect(b.cpu.activity).toBe(Activity.Shutdown);
  });

  it('without VPID gives the guest fresh translations at every entry and exit', () => {
    const b = guest({ SECONDARY_PROCESSOR_BASED_CONTROLS: 0 });
    const inGuest = b.cpu.get32(R.CONTEXT);
    exit(b);
    const inHost = b.cpu.get32(R.CONTEXT);
    b.vmx.resume();
    expect(new Set([inGuest, inHost, b.cpu.get32(R.CONTEXT)]).size).toBe(3);
    const tagged = guest();
    const before = tagged.cpu.get32(R.CONTEXT);
    exit(tagged);
    tagged.vmx.resume();
    expect(tagged.cpu.get32(R.CONTEXT)).toBe(before);
  });
});

describe('checks after an exit', () => {
  it('skip what the processor itself saved, and notice what software wrote', () => {
    const b = guest();
    exit(b);
    const passed = b.vmx.passedGroups;
    expect(passed).not.toBe(0);
    b.write({ GUEST_RSP: 5 });
    expect(b.vmx.passedGroups).toBe(passed);
    b.write({ GUEST_CS_ACCESS_RIGHTS: 0 });
    expect(b.vmx.passedGroups).not.toBe(passed);
    expect(b.vmx.resume().kind).toBe('exited');
  });
  // Rules that look at memory outside the VMCS have to be asked every time.
  const again = (fields: Parameters<Bench['write']>[0], before: (b: Bench) => void, after: (b: Bench) => void): [object, bigint] => {
    const b = rootWithVmcs();
    b.write(fields);
    before(b);
    expect(b.vmx.launch()).toEqual({ kind: 'entered' });
    exit(b);
    after(b);
    return [b.vmx.resume(), b.read('EXIT_QUALIFICATION')];
  };
  it('notice that the virtual TPR fell below the threshold', () => {
    const fields = { PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.USE_TPR_SHADOW) >>> 0, VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC, TPR_THRESHOLD: 5 };
    const setTpr =
      (tpr: number) =>
      ({ cpu }: Bench): void =>
        cpu.memory.write32(VIRTUAL_APIC + 0x80, tpr << 4);
    expect(again(fields, setTpr(5), setTpr(4))[0]).toEqual({ kind: 'fail-valid', error: 7 });
  });
  it('notice that the linked VMCS is none any more', () => {
    expect(
      again(
        { VMCS_LINK_POINTER: VMCS_B },
        () => {},
        ({ cpu }) => cpu.memory.write32(VMCS_B, 0),
      ),
    ).toEqual([{ kind: 'exited' }, 4n]);
  });
  it('notice that a PDPTE in memory went bad', () => {
    const fields = {
      SECONDARY_PROCESSOR_BASED_CONTROLS: 0,
      VM_ENTRY_CONTROLS: ENTRY & ~EntryControl.IA32E_MODE_GUEST,
      GUEST_CS_ACCESS_RIGHTS: 0xc09b,
      GUEST_CR4: 0x2020,
      GUEST_CR3: 0xb000,
    };
    expect(
      again(
        fields,
        () => {},
        ({ cpu }) => cpu.memory.write64(0xb010, 3n),
      ),
    ).toEqual([{ kind: 'exited' }, 2n]);
  });
  it('are made again after VMCLEAR', () => {
    const b = guest();
    exit(b);
    b.vmx.vmclear(VMCS_A);
    b.cpu.memory.write32(VMCS_A + 16, 0);
    b.vmx.vmptrld(VMCS_A);
    expect(b.vmx.passedGroups).toBe(0);
  });
});

describe('events as causes of VM exits', () => {
  const event = (vector: number, errorCode: number | undefined, payload = 0n, type = EventType.HardwareException, length = 0) => ({
    vector,
    type,
    errorCode,
    payload,
    length,
  });

  it('the exception bitmap decides', () => {
    const b = guest({ EXCEPTION_BITMAP: 1 << 13 });
    expect(b.vmx.exception(event(6, undefined), undefined)).toBe(false);
    b.cpu.rip = 0x1234n;
    expect(b.vmx.exception(event(13, 0x18), undefined)).toBe(true);
    expect([b.read('EXIT_REASON'), b.read('EXIT_INTERRUPTION_INFORMATION'), b.read('EXIT_INTERRUPTION_ERROR_CODE')]).toEqual([0n, 0x8000_0b0dn, 0x18n]);
    expect([b.read('GUEST_RIP'), b.read('GUEST_RFLAGS')]).toEqual([0x1234n, 0x1_0002n]);
  });
  it.each([
    [1, 0, 0, 5, true],
    [1, 1, 1, 5, true],
    [1, 1, 0, 5, false],
    [0, 1, 0, 5, true],
    [0, 0, 0, 5, false],
    [1, 0x10, 0x10, 7, false],
  ])('page faults: bit %s, mask %s, match %s, error code %s', (bit, mask, match, errorCode, exits) => {
    const b = guest({ EXCEPTION_BITMAP: bit << 14, PAGE_FAULT_ERROR_CODE_MASK: mask, PAGE_FAULT_ERROR_CODE_MATCH: match });
    b.cpu.set64(R.CR2, 1n);
    expect(b.vmx.exception(event(14, errorCode, 0xffff_8000_0000_1234n), undefined)).toBe(exits);
    if (exits) expect([b.read('EXIT_QUALIFICATION'), b.cpu.get64(R.CR2)]).toEqual([0xffff_8000_0000_1234n, 1n]);
  });
  it('an exit while another event was delivered records it', () => {
    const b = guest({ EXCEPTION_BITMAP: 1 << 11 });
    b.vmx.exception(event(11, 0x80), event(0x80, undefined, 0n, EventType.SoftwareInterrupt, 2));
    expect([b.read('IDT_VECTORING_INFORMATION'), b.read('EXIT_INSTRUCTION_LENGTH')]).toEqual([0x8000_0480n, 2n]);
  });
  it('... with its error code', () => {
    const b = guest({ EXCEPTION_BITMAP: 1 << 14 });
    b.vmx.exception(event(14, 2, 0x1000n), event(13, 0x18));
    expect([b.read('IDT_VECTORING_INFORMATION'), b.read('IDT_VECTORING_ERROR_CODE')]).toEqual([0x8000_0b0dn, 0x18n]);
  });
  it('a double fault and a triple fault have no IDT-vectoring information', () => {
    const b = guest({ EXCEPTION_BITMAP: 1 << 8 });
    b.vmx.exception(event(8, 0), event(13, 0));
    expect([b.read('EXIT_INTERRUPTION_INFORMATION'), b.read('IDT_VECTORING_INFORMATION')]).toEqual([0x8000_0b08n, 0n]);
    const triple = guest();
    expect(triple.vmx.tripleFault()).toBe(true);
    expect([triple.read('EXIT_REASON'), triple.read('IDT_VECTORING_INFORMATION')]).toEqual([2n, 0n]);
  });
  it('#DB gives its conditions as the qualification; INT3 its length', () => {
    const b = guest({ EXCEPTION_BITMAP: 0b1010 });
    b.vmx.exception(event(1, undefined, 0x4001n), undefined);
    expect(b.read('EXIT_QUALIFICATION')).toBe(0x4001n);
    const bp = guest({ EXCEPTION_BITMAP: 0b1010 });
    bp.vmx.exception(event(3, undefined, 0n, EventType.SoftwareException, 1), undefined);
    expect([bp.read('EXIT_INTERRUPTION_INFORMATION'), bp.read('EXIT_INSTRUCTION_LENGTH')]).toEqual([0x8000_0603n, 1n]);
  });
});

describe('capability MSRs', () => {
  it('answer in the documented format', () => {
    const { vmx } = rootWithVmcs();
    const basic = vmx.readMsr(0x480)!;
    expect((basic >> 31n) & 1n).toBe(0n);
    expect((basic >> 32n) & 0x1fffn).toBe(4096n);
    expect((basic >> 50n) & 15n).toBe(6n);
    expect([(basic >> 48n) & 1n, (basic >> 54n) & 1n, (basic >> 55n) & 1n]).toEqual([0n, 1n, 1n]);
    // default1 bits: SDM "Reserved Controls and Default Settings".
    expect([0x481, 0x482, 0x483, 0x484].map((i) => vmx.readMsr(i)! & 0xffff_ffffn)).toEqual([0x16n, 0x0401_e172n, 0x0003_6dffn, 0x0000_11ffn]);
    expect([0x48d, 0x48e, 0x48f, 0x490].map((i) => vmx.readMsr(i)! & 0xffff_ffffn)).toEqual([0x16n, 0x0400_6172n, 0x0003_6dfbn, 0x0000_11fbn]);
    expect(vmx.readMsr(0x486)).toBe(0x8000_0021n);
    expect(vmx.readMsr(0x488)).toBe(0x2000n);
    expect([vmx.readMsr(0x491), vmx.readMsr(0x492), vmx.readMsr(0x493)]).toEqual([undefined, undefined, undefined]);
    // Highest index in use: GUEST_IA32_SYSENTER_EIP (19) without CET, PML and the like; 64-bit controls end at the XSS bitmap.
    expect(vmx.readMsr(0x48a)! >> 1n).toBeGreaterThanOrEqual(19n);
  });
  it('do not offer controls of instructions that the processor lacks', () => {
    const { vmx, cpu } = rootWithVmcs();
    expect(((vmx.readMsr(0x48b)! >> 32n) & BigInt(Secondary.RDRAND_EXITING)) !== 0n).toBe(cpu.profile.has('rdrand'));
  });
  it('IA32_FEATURE_CONTROL is locked by the firmware unless asked otherwise', () => {
    const { vmx } = rootWithVmcs();
    expect([vmx.readMsr(0x3a), vmx.writeMsr(0x3a, 5n)]).toEqual([5n, false]);
    const open = rootWithVmcs({ featureControl: 0n });
    expect([open.vmx.writeMsr(0x3a, 8n), open.vmx.writeMsr(0x3a, 5n), open.vmx.writeMsr(0x3a, 5n)]).toEqual([false, true, false]);
  });
});

test('the fast forms refuse what the instructions would fail on', () => {
  const b = rootWithVmcs();
  expect(() => b.vmx.vmread32(0x2038)).toThrow(/none of that encoding/);
  expect(b.vmx.vmreadNumber(VMCS.HOST_RIP)).toBe(HOST_RIP);
  b.vmx.vmclear(VMCS_A);
  expect(() => b.vmx.vmwrite32(VMCS.GUEST_RIP, 0)).toThrow(/no VMCS is current/);
});
