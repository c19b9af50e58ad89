/**
 * VT-x behind the port: programs VMCS, bitmaps and EPT in host memory as a kernel module would, and turns exit reasons into Exit.
 */
import { Activity, Cr0, Cr4, Efer, type Cpu } from '../cpu/cpu';
import { Segment } from '../cpu/decoder/insn';
import type { Engine } from '../cpu/engine';
import { R, S, SEGMENT_STRIDE, seg } from '../cpu/layout';
import type { EntryState } from '../guests/boot/entry-state';
import { explain, violations } from '../vmx/entry/check';
import { ALL_CHECKS } from '../vmx/entry/groups';
import { type ExitReason, exitReasonName } from '../vmx/exit/reason';
import { EntryControl, ExitControl, Interruptibility, Interruption, PinBased, Primary, Secondary } from '../vmx/controls';
import { VMCS, type FieldName } from '../vmx/vmcs/fields';
import type { Vmx } from '../vmx/vmx';
import type { RawExit } from './exit';
import type { HostFrames } from './frames';
import type { Injection, RunResult, VirtualProcessor } from './port';
import { buildRootProgram, RootSelector, type RootProgram } from './root-program';
import { VMX_EXITS } from './vmx-exits';

const BASIC_MSR = 0x480;
const TRUE_PIN = 0x48d,
  TRUE_PRIMARY = 0x48e,
  TRUE_EXIT = 0x48f,
  TRUE_ENTRY = 0x490,
  SECONDARY = 0x48b;
const FEATURE_CONTROL_MSR = 0x3a;
const LONG_LIMIT = 0xffff_ffff;
/** Write-back, four levels. */
const EPTP_FORMAT = 0x1e;
const EPT_LARGE = 0x80;
const EPT_MEMORY_TYPE_WB = 6 << 3;
const EPT_READ_WRITE_EXECUTE = 7;
const EPT_READ_EXECUTE = 5;
const ENTRIES = 512;
const MAX_TIMER = 0xffff_ffff;
/** MSRs that the guest may use directly, because the hypervisor itself does not, or because entries and exits switch them. */
const PASSED_THROUGH = [
  0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0100, 0xc000_0101, 0xc000_0102, 0xc000_0103, 0x174, 0x175, 0x176, 0x277,
];
const TSC_MSR = 0x10;
const GUEST_VPID = 1;
const SHADOW = Interruptibility.BLOCKING_BY_STI | Interruptibility.BLOCKING_BY_MOV_SS;

const segmentNames = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;
const field = (name: string): number => VMCS[name as FieldName];
/** Encodings of selector, limit, access rights, base of each segment register, in the order of Segment. */
const SEGMENT_FIELDS = segmentNames.map(
  (n) => [field(`GUEST_${n}_SELECTOR`), field(`GUEST_${n}_LIMIT`), field(`GUEST_${n}_ACCESS_RIGHTS`), field(`GUEST_${n}_BASE`)] as const,
);

export class VmxProcessor implements VirtualProcessor {
  private readonly root: RootProgram;
  private readonly eptRoot: number;
  private launched = false;
  private paused = false;
  private windowRequested = false;
  private pinBased = 0;
  private primary = 0;
  injecting = false;

  constructor(
    private readonly cpu: Cpu,
    private readonly engine: Engine,
    private readonly vmx: Vmx,
    private readonly frames: HostFrames,
  ) {
    this.root = buildRootProgram(cpu.memory, frames, { launch: [0x0f, 0x01, 0xc2], resume: [0x0f, 0x01, 0xc3] });
    for (const gate of this.root.gates) engine.addGate(gate);
    engine.hosted = true;
    this.eptRoot = this.page();
    this.enterRootMode();
    this.createVmcs();
  }

  private page(): number {
    const frame = this.frames.takeSmall();
    this.cpu.memory.writeBytes(frame, new Uint8Array(4096));
    return frame;
  }

  /** Loads the processor with the root program's context, as the loader of a kernel would, and turns VMX operation on. */
  private enterRootMode(): void {
    const { cpu, root, vmx } = this;
    cpu.set64(R.CR0, BigInt((Cr0.PE | Cr0.MP | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.PG) >>> 0));
    cpu.set64(R.CR3, BigInt(root.cr3));
    cpu.set64(R.CR4, BigInt(Cr4.PAE | Cr4.VMXE | Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE));
    cpu.set64(R.EFER, BigInt(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE));
    cpu.setSegment(Segment.CS, RootSelector.CODE, 0xa09b, LONG_LIMIT, 0n);
    for (const s of [Segment.SS, Segment.DS, Segment.ES, Segment.FS, Segment.GS]) cpu.setSegment(s, RootSelector.DATA, 0xc093, LONG_LIMIT, 0n);
    cpu.setSegment(Segment.TR, RootSelector.TSS, 0x8b, 0x67, BigInt(root.tss));
    cpu.setSegment(Segment.LDTR, 0, 0x1_0000, 0, 0n);
    cpu.set64(R.GDTR_BASE, BigInt(root.gdt));
    cpu.set32(R.GDTR_LIMIT, 0x27);
    cpu.set64(R.IDTR_BASE, BigInt(root.idt));
    cpu.set32(R.IDTR_LIMIT, 0xfff);
    cpu.set32(R.CPL, 0);
    cpu.setRflags(2);
    cpu.setGpr(4, BigInt(root.stack));
    cpu.rip = BigInt(root.start);
    cpu.activity = Activity.Active;
    cpu.modeChanged();
    cpu.mmu.flushAll();
    const control = vmx.readMsr(FEATURE_CONTROL_MSR) ?? 0n;
    if ((control & 1n) === 0n) vmx.writeMsr(FEATURE_CONTROL_MSR, 5n);
    const revision = Number((vmx.readMsr(BASIC_MSR) ?? 0n) & 0x7fff_ffffn);
    const region = this.page();
    cpu.memory.write32(region, revision);
    this.expect(vmx.vmxon(region).kind, 'VMXON');
    const vmcs = this.page();
    cpu.memory.write32(vmcs, revision);
    this.expect(vmx.vmclear(vmcs).kind, 'VMCLEAR');
    this.expect(vmx.vmptrld(vmcs).kind, 'VMPTRLD');
  }

  private expect(kind: string, what: string): void {
    if (kind !== 'succeed') throw new Error(`${what} of the hypervisor failed: ${kind}`);
  }

  /** `wanted` control bits, completed by what the capability MSR requires. Throws if the processor lacks one that is wanted. */
  private controls(msr: number, wanted: number): number {
    const capability = this.vmx.readMsr(msr) ?? 0n;
    const mustBeOne = Number(capability & 0xffff_ffffn);
    const mayBeOne = Number(capability >> 32n);
    if ((wanted & ~mayBeOne) !== 0)
      throw new Error(`MSR 0x${msr.toString(16)}: this processor lacks control bits 0x${((wanted & ~mayBeOne) >>> 0).toString(16)} that the hypervisor needs`);
    return (wanted | mustBeOne) >>> 0;
  }

  private set32(name: FieldName, value: number): void {
    this.vmx.vmwrite32(VMCS[name], value >>> 0);
  }
  private set64(name: FieldName, value: bigint): void {
    this.vmx.vmwrite(VMCS[name], BigInt.asUintN(64, value));
  }
  private get32(name: FieldName): number {
    return this.vmx.vmread32(VMCS[name]);
  }
  private get64(name: FieldName): bigint {
    return this.vmx.vmread(VMCS[name]).value;
  }

  private createVmcs(): void {
    const { cpu, root } = this;
    // Execution controls.
    this.pinBased = this.controls(TRUE_PIN, PinBased.EXTERNAL_INTERRUPT_EXITING | PinBased.NMI_EXITING | PinBased.VIRTUAL_NMIS);
    this.primary = this.controls(
      TRUE_PRIMARY,
      (Primary.USE_TSC_OFFSETTING |
        Primary.HLT_EXITING |
        Primary.CR8_LOAD_EXITING |
        Primary.CR8_STORE_EXITING |
        Primary.UNCONDITIONAL_IO_EXITING |
        Primary.USE_MSR_BITMAPS |
        Primary.MWAIT_EXITING |
        Primary.MONITOR_EXITING |
        Primary.ACTIVATE_SECONDARY_CONTROLS) >>>
        0,
    );
    const secondary = this.controls(
      SECONDARY,
      Secondary.ENABLE_EPT | Secondary.ENABLE_VPID | Secondary.UNRESTRICTED_GUEST | Secondary.ENABLE_RDTSCP | Secondary.ENABLE_INVPCID,
    );
    this.set32('PIN_BASED_CONTROLS', this.pinBased);
    this.set32('PRIMARY_PROCESSOR_BASED_CONTROLS', this.primary);
    this.set32('SECONDARY_PROCESSOR_BASED_CONTROLS', secondary);
    this.set32('EXCEPTION_BITMAP', 0);
    this.set32('PAGE_FAULT_ERROR_CODE_MASK', 0);
    this.set32('PAGE_FAULT_ERROR_CODE_MATCH', 0);
    this.set32('CR3_TARGET_COUNT', 0);
    this.set32('VPID', GUEST_VPID);
    this.set64('TSC_OFFSET', 0n);
    this.set64('EPT_POINTER', BigInt(this.eptRoot | EPTP_FORMAT));
    this.set64('MSR_BITMAP_ADDRESS', BigInt(this.msrBitmap()));
    this.set64('CR0_GUEST_HOST_MASK', BigInt(Cr0.NE));
    this.set64('CR4_GUEST_HOST_MASK', BigInt(Cr4.VMXE));
    // Exit and entry controls.
    this.set32(
      'VM_EXIT_CONTROLS',
      this.controls(
        TRUE_EXIT,
        ExitControl.SAVE_DEBUG_CONTROLS |
          ExitControl.HOST_ADDRESS_SPACE_SIZE |
          ExitControl.SAVE_IA32_PAT |
          ExitControl.LOAD_IA32_PAT |
          ExitControl.SAVE_IA32_EFER |
          ExitControl.LOAD_IA32_EFER,
      ),
    );
    this.set32('VM_ENTRY_CONTROLS', this.controls(TRUE_ENTRY, EntryControl.LOAD_DEBUG_CONTROLS | EntryControl.LOAD_IA32_PAT | EntryControl.LOAD_IA32_EFER));
    for (const name of ['EXIT_MSR_STORE_COUNT', 'EXIT_MSR_LOAD_COUNT', 'ENTRY_MSR_LOAD_COUNT', 'ENTRY_INTERRUPTION_INFORMATION'] as const) this.set32(name, 0);
    // Host state.
    this.set64('HOST_CR0', cpu.get64(R.CR0));
    this.set64('HOST_CR3', BigInt(root.cr3));
    this.set64('HOST_CR4', cpu.get64(R.CR4));
    this.set64('HOST_IA32_EFER', cpu.get64(R.EFER));
    this.set64('HOST_IA32_PAT', cpu.get64(R.PAT));
    this.set32('HOST_CS_SELECTOR', RootSelector.CODE);
    for (const s of ['ES', 'SS', 'DS', 'FS', 'GS'] as const) this.set32(`HOST_${s}_SELECTOR`, RootSelector.DATA);
    this.set32('HOST_TR_SELECTOR', RootSelector.TSS);
    this.set64('HOST_FS_BASE', 0n);
    this.set64('HOST_GS_BASE', 0n);
    this.set64('HOST_TR_BASE', BigInt(root.tss));
    this.set64('HOST_GDTR_BASE', BigInt(root.gdt));
    this.set64('HOST_IDTR_BASE', BigInt(root.idt));
    this.set32('HOST_IA32_SYSENTER_CS', 0);
    this.set64('HOST_IA32_SYSENTER_ESP', 0n);
    this.set64('HOST_IA32_SYSENTER_EIP', 0n);
    this.set64('HOST_RSP', BigInt(root.stack));
    this.set64('HOST_RIP', BigInt(root.exit));
  }

  /** Every MSR exits except those passed through; reads of the TSC too. Four quarters: read low, read high, write low, write high. */
  private msrBitmap(): number {
    const page = this.frames.takeSmall();
    const bits = new Uint8Array(4096).fill(0xff);
    const clear = (index: number, write: boolean): void => {
      const at = (index >= 0xc000_0000 ? 1024 : 0) + (write ? 2048 : 0) + ((index & 0x1fff) >>> 3);
      bits[at] &= ~(1 << (index & 7));
    };
    for (const index of PASSED_THROUGH) {
      clear(index, false);
      clear(index, true);
    }
    clear(TSC_MSR, false);
    this.cpu.memory.writeBytes(page, bits);
    return page;
  }

  load(state: EntryState): void {
    const long = state.mode === 'long64';
    this.set64('GUEST_CR0', BigInt(state.cr0) | BigInt(Cr0.NE));
    this.set64('CR0_READ_SHADOW', BigInt(state.cr0));
    this.set64('GUEST_CR3', BigInt(state.cr3));
    this.set64('GUEST_CR4', BigInt(state.cr4 | Cr4.VMXE));
    this.set64('CR4_READ_SHADOW', BigInt(state.cr4));
    this.set64('GUEST_IA32_EFER', BigInt(state.efer));
    this.set64('GUEST_IA32_PAT', 0x0007_0406_0007_0406n);
    this.setLongMode(long);
    const segments = entrySegments(state);
    segments.forEach((s, i) => {
      const [selector, limit, access, base] = SEGMENT_FIELDS[i];
      this.vmx.vmwrite32(selector, s.selector);
      this.vmx.vmwrite32(limit, s.limit);
      this.vmx.vmwrite32(access, s.access);
      this.vmx.vmwrite(base, BigInt(s.base));
    });
    this.set64('GUEST_GDTR_BASE', BigInt(state.gdtr.base));
    this.set32('GUEST_GDTR_LIMIT', state.gdtr.limit);
    this.set64('GUEST_IDTR_BASE', BigInt(state.idtr.base));
    this.set32('GUEST_IDTR_LIMIT', state.idtr.limit);
    this.set64('GUEST_DR7', 0x400n);
    this.set64('GUEST_IA32_DEBUGCTL', 0n);
    this.set64('GUEST_RIP', BigInt(state.rip));
    this.set64('GUEST_RFLAGS', BigInt(state.rflags));
    this.set64('GUEST_PENDING_DEBUG_EXCEPTIONS', 0n);
    this.set32('GUEST_INTERRUPTIBILITY_STATE', 0);
    this.set32('GUEST_ACTIVITY_STATE', 0);
    this.set32('GUEST_IA32_SYSENTER_CS', 0);
    this.set64('GUEST_IA32_SYSENTER_ESP', 0n);
    this.set64('GUEST_IA32_SYSENTER_EIP', 0n);
    this.set64('VMCS_LINK_POINTER', (1n << 64n) - 1n);
    for (let r = 0; r < 16; r++) if (r !== 4) this.cpu.setGpr(r, BigInt.asUintN(64, BigInt(state.gprs[r] ?? 0)));
    this.set64('GUEST_RSP', BigInt(state.gprs[4] ?? 0));
  }

  /** The guest's EFER.LMA, as the entry control that goes with it. */
  private setLongMode(on: boolean): void {
    const entry = this.get32('VM_ENTRY_CONTROLS');
    this.set32('VM_ENTRY_CONTROLS', on ? entry | EntryControl.IA32E_MODE_GUEST : entry & ~EntryControl.IA32E_MODE_GUEST);
  }

  // ---- entering ----

  run(limit: number): RunResult {
    if (!this.paused) {
      this.cpu.rip = BigInt(this.launched ? this.root.resume : this.root.launch);
    }
    this.paused = false;
    const stop = this.engine.run(limit);
    if (stop !== 'gate') {
      this.paused = true;
      return { kind: 'paused', because: stop };
    }
    const at = Number(this.cpu.rip);
    if (at !== this.root.exit) return { kind: 'exit', exit: { kind: 'entry-failure', explanation: this.explainFailure(at) } };
    this.launched = true;
    this.injecting = false;
    const reason = this.get32('EXIT_REASON');
    if (reason >>> 31 !== 0) return { kind: 'exit', exit: { kind: 'entry-failure', explanation: this.explainFailure(at) } };
    const decode = VMX_EXITS[(reason & 0xffff) as ExitReason];
    const exit = decode ? decode(this.vmx) : { kind: 'unexpected' as const, explanation: `exit reason ${reason}` };
    return { kind: 'exit', exit };
  }

  private explainFailure(at: number): string {
    if (!this.root.gates.includes(at)) return `root mode stopped at 0x${at.toString(16)}`;
    const error = this.get32('VM_INSTRUCTION_ERROR');
    const broken = violations(ALL_CHECKS, this.vmx.entryState).map(explain).join('\n');
    return `VM entry failed (VM-instruction error ${error}, exit reason 0x${this.get32('EXIT_REASON').toString(16)}):\n${broken}`;
  }

  raw(): RawExit {
    const code = this.get32('EXIT_REASON') & 0xffff;
    return { reason: reasonName(code), code, qualification: this.get64('EXIT_QUALIFICATION') };
  }

  // ---- registers ----

  gpr(register: number): bigint {
    return register === 4 ? this.get64('GUEST_RSP') : this.cpu.gpr(register);
  }
  setGpr(register: number, value: bigint): void {
    if (register === 4) this.set64('GUEST_RSP', value);
    else this.cpu.setGpr(register, value);
  }
  gpr32(register: number): number {
    return register === 4 ? this.get32('GUEST_RSP') : this.cpu.gpr32(register);
  }
  setGpr32(register: number, value: number): void {
    if (register === 4) this.vmx.vmwrite32(VMCS.GUEST_RSP, value >>> 0);
    else this.cpu.setGpr32(register, value);
  }
  rip(): bigint {
    return this.get64('GUEST_RIP');
  }
  cr4(): number {
    return ((this.get32('GUEST_CR4') & ~Cr4.VMXE) | (this.get32('CR4_READ_SHADOW') & Cr4.VMXE)) >>> 0;
  }

  skipInstruction(): void {
    const length = this.get32('EXIT_INSTRUCTION_LENGTH');
    const rip = this.get64('GUEST_RIP') + BigInt(length);
    const long = (this.get32('GUEST_CS_ACCESS_RIGHTS') & 0x2000) !== 0;
    this.set64('GUEST_RIP', long ? rip : BigInt.asUintN(32, rip));
    const blocking = this.get32('GUEST_INTERRUPTIBILITY_STATE');
    if ((blocking & SHADOW) !== 0) this.set32('GUEST_INTERRUPTIBILITY_STATE', blocking & ~SHADOW);
    // A single-stepped instruction has retired: its trap is pending.
    if ((this.get32('GUEST_RFLAGS') & 0x100) !== 0) this.set64('GUEST_PENDING_DEBUG_EXCEPTIONS', this.get64('GUEST_PENDING_DEBUG_EXCEPTIONS') | 0x4000n);
  }

  // ---- events ----

  interruptible(): boolean {
    return !this.injecting && (this.get32('GUEST_RFLAGS') & 0x200) !== 0 && (this.get32('GUEST_INTERRUPTIBILITY_STATE') & SHADOW) === 0;
  }

  inject(event: Injection): void {
    const type = event.type === 'interrupt' ? 0 : event.type === 'nmi' ? 2 : 3;
    const hasCode = event.errorCode !== undefined;
    this.set32('ENTRY_INTERRUPTION_INFORMATION', Interruption.VALID | (type << 8) | (hasCode ? Interruption.ERROR_CODE : 0) | event.vector);
    if (hasCode) this.set32('ENTRY_EXCEPTION_ERROR_CODE', event.errorCode!);
    this.injecting = true;
  }

  reinjectInterrupted(): void {
    const information = this.get32('IDT_VECTORING_INFORMATION');
    if ((information & Interruption.VALID) === 0) return;
    this.set32('ENTRY_INTERRUPTION_INFORMATION', information & ~Interruption.NMI_UNBLOCKING);
    if ((information & Interruption.ERROR_CODE) !== 0) this.set32('ENTRY_EXCEPTION_ERROR_CODE', this.get32('IDT_VECTORING_ERROR_CODE'));
    this.set32('ENTRY_INSTRUCTION_LENGTH', this.get32('EXIT_INSTRUCTION_LENGTH'));
    this.injecting = true;
  }

  setCr2(address: bigint): void {
    this.cpu.set64(R.CR2, address);
  }

  requestInterruptWindow(on: boolean): void {
    if (on === this.windowRequested) return;
    this.windowRequested = on;
    this.primary = (on ? this.primary | Primary.INTERRUPT_WINDOW_EXITING : this.primary & ~Primary.INTERRUPT_WINDOW_EXITING) >>> 0;
    this.set32('PRIMARY_PROCESSOR_BASED_CONTROLS', this.primary);
  }

  setDeadline(tick: number): void {
    const on = tick !== Infinity;
    const pin = on ? this.pinBased | PinBased.ACTIVATE_PREEMPTION_TIMER : this.pinBased & ~PinBased.ACTIVATE_PREEMPTION_TIMER;
    if (pin !== this.pinBased) this.set32('PIN_BASED_CONTROLS', (this.pinBased = pin));
    if (on) this.set32('PREEMPTION_TIMER_VALUE', Math.max(0, Math.min(MAX_TIMER, tick - this.cpu.now())));
  }

  setTscOffset(offset: bigint): void {
    this.set64('TSC_OFFSET', offset);
  }

  // ---- memory ----

  map(gpa: number, host: number, size: number, writable: boolean): void {
    const leafLevel = size === 4096 ? 1 : 2;
    const bits = (writable ? EPT_READ_WRITE_EXECUTE : EPT_READ_EXECUTE) | EPT_MEMORY_TYPE_WB | (leafLevel === 2 ? EPT_LARGE : 0);
    this.cpu.memory.write64(this.eptEntry(gpa, leafLevel), BigInt(host) | BigInt(bits));
  }

  unmap(gpa: number, size: number): void {
    this.cpu.memory.write64(this.eptEntry(gpa, size === 4096 ? 1 : 2), 0n);
    this.vmx.invept(1, BigInt(this.eptRoot | EPTP_FORMAT));
  }

  /** Host-physical address of the EPT entry that maps `gpa` at a level; missing tables are made. */
  private eptEntry(gpa: number, leafLevel: number): number {
    const memory = this.cpu.memory;
    let table = this.eptRoot;
    for (let level = 4; ; level--) {
      const index = Math.floor(gpa / (4096 * ENTRIES ** (level - 1))) % ENTRIES;
      const entry = table + index * 8;
      if (level === leafLevel) return entry;
      const value = memory.read64(entry);
      if (value === 0n) {
        table = this.page();
        memory.write64(entry, BigInt(table | EPT_READ_WRITE_EXECUTE));
      } else table = Number(value & 0x000f_ffff_ffff_f000n);
    }
  }

  // ---- the whole state, for emulation ----

  copyTo(model: Cpu): void {
    const { cpu, vmx } = this;
    // Everything that exits leave in the processor: general, x87, SSE registers, MSRs that are passed through, CR2, DR0-3.
    const from = cpu.base;
    const to = model.base;
    const u8 = cpu.u8;
    u8.copyWithin(to + R.GPR, from + R.GPR, from + R.ZERO);
    for (const [start, end] of UNSWITCHED) u8.copyWithin(to + start, from + start, from + end);
    model.setGpr(4, this.get64('GUEST_RSP'));
    model.set64(R.CR0, this.readControl(0));
    model.set64(R.CR3, this.get64('GUEST_CR3'));
    model.set64(R.CR4, this.readControl(4));
    model.set64(R.EFER, this.get64('GUEST_IA32_EFER'));
    model.set64(R.PAT, this.get64('GUEST_IA32_PAT'));
    model.set64(R.DR7, this.get64('GUEST_DR7'));
    model.set64(R.GDTR_BASE, this.get64('GUEST_GDTR_BASE'));
    model.set32(R.GDTR_LIMIT, this.get32('GUEST_GDTR_LIMIT'));
    model.set64(R.IDTR_BASE, this.get64('GUEST_IDTR_BASE'));
    model.set32(R.IDTR_LIMIT, this.get32('GUEST_IDTR_LIMIT'));
    for (let i = 0; i < 4; i++) model.set64(R.PDPTE0 + i * 8, this.get64(`GUEST_PDPTE${i}` as FieldName));
    model.rip = this.get64('GUEST_RIP');
    model.set32(R.CPL, (this.get32('GUEST_SS_ACCESS_RIGHTS') >>> 5) & 3);
    for (let s = 0; s < 8; s++) {
      const [selector, limit, access, base] = SEGMENT_FIELDS[s];
      model.set32(seg(s, S.SELECTOR), vmx.vmread32(selector));
      model.set32(seg(s, S.LIMIT), vmx.vmread32(limit));
      model.set32(seg(s, S.ACCESS), vmx.vmread32(access));
      model.set64(seg(s, S.BASE), vmx.vmread(base).value);
    }
    model.setRflags(this.get32('GUEST_RFLAGS'));
    model.shadowAt = -1;
    model.pendingDebug = 0;
    model.activity = Activity.Active;
    model.modeChanged();
    model.mmu.flushAll();
    const first = (model.base + R.CR0) >>> 2;
    this.copied.set(model.u32.subarray(first, first + this.copied.length));
  }
  /** What copyTo() put into the model from CR0 to the segment registers: most instructions change none of it. */
  private readonly copied = new Uint32Array((R.SEGMENTS + 8 * SEGMENT_STRIDE - R.CR0) / 4);

  private systemStateChanged(model: Cpu): boolean {
    const { copied } = this;
    const first = (model.base + R.CR0) >>> 2;
    for (let i = 0; i < copied.length; i++) if (model.u32[first + i] !== copied[i]) return true;
    return false;
  }

  copyFrom(model: Cpu): void {
    const { cpu, vmx } = this;
    const u8 = cpu.u8;
    u8.copyWithin(cpu.base + R.GPR, model.base + R.GPR, model.base + R.ZERO);
    for (const [start, end] of UNSWITCHED) u8.copyWithin(cpu.base + start, model.base + start, model.base + end);
    this.set64('GUEST_RIP', model.rip);
    this.set64('GUEST_RFLAGS', BigInt(model.rflags()));
    const blocking = this.get32('GUEST_INTERRUPTIBILITY_STATE');
    if ((blocking & SHADOW) !== 0) this.set32('GUEST_INTERRUPTIBILITY_STATE', blocking & ~SHADOW);
    const rsp = model.gpr(4);
    if (rsp !== this.get64('GUEST_RSP')) this.set64('GUEST_RSP', rsp);
    if (!this.systemStateChanged(model)) return;
    this.writeControl(0, model.get64(R.CR0));
    this.writeControl(4, model.get64(R.CR4));
    this.set64('GUEST_CR3', model.get64(R.CR3));
    this.set64('GUEST_IA32_EFER', model.get64(R.EFER));
    this.setLongMode((model.efer & Efer.LMA) !== 0);
    for (let i = 0; i < 4; i++) this.set64(`GUEST_PDPTE${i}` as FieldName, model.get64(R.PDPTE0 + i * 8));
    this.set64('GUEST_DR7', model.get64(R.DR7));
    this.set64('GUEST_GDTR_BASE', model.get64(R.GDTR_BASE));
    this.set32('GUEST_GDTR_LIMIT', model.get32(R.GDTR_LIMIT));
    this.set64('GUEST_IDTR_BASE', model.get64(R.IDTR_BASE));
    this.set32('GUEST_IDTR_LIMIT', model.get32(R.IDTR_LIMIT));
    for (let s = 0; s < 8; s++) {
      const [selector, limit, access, base] = SEGMENT_FIELDS[s];
      vmx.vmwrite32(selector, model.selector(s));
      vmx.vmwrite32(limit, model.segmentLimit(s));
      vmx.vmwrite32(access, model.segmentAccess(s));
      vmx.vmwrite(base, model.segmentBase(s));
    }
  }

  readControl(register: 0 | 3 | 4): bigint {
    if (register === 3) return this.get64('GUEST_CR3');
    const mask = this.get64(`CR${register}_GUEST_HOST_MASK`);
    return (this.get64(`GUEST_CR${register}`) & ~mask) | (this.get64(`CR${register}_READ_SHADOW`) & mask);
  }

  /** Bits the hypervisor owns (CR0.NE, CR4.VMXE) stay 1 in the register; the guest reads its own value from the shadow. */
  writeControl(register: 0 | 3 | 4, value: bigint): void {
    if (register === 3) return this.set64('GUEST_CR3', value);
    this.set64(`GUEST_CR${register}`, value | BigInt(register === 0 ? Cr0.NE : Cr4.VMXE));
    this.set64(`CR${register}_READ_SHADOW`, value);
  }
}

const reasonNames = new Map<number, string>();
/** An exit reason as people write it: EPT_VIOLATION, IO_INSTRUCTION. */
function reasonName(code: number): string {
  let name = reasonNames.get(code);
  if (name === undefined)
    reasonNames.set(
      code,
      (name = exitReasonName(code)
        .replace(/([a-z])([A-Z])/g, '$1_$2')
        .toUpperCase()),
    );
  return name;
}

/** Ranges of the vCPU block that neither entry nor exit switches. */
const UNSWITCHED: readonly (readonly [number, number])[] = [
  [R.CR2, R.CR3],
  [R.XCR0, R.DR6 + 8],
  [R.STAR, R.KERNEL_GS_BASE + 8],
  [R.TSC_AUX, R.TSC_AUX + 8],
  [R.MXCSR, R.FPR + 8 * 16],
  [R.XMM, R.XMM + 16 * 64],
];

interface LoadedSegment {
  readonly selector: number;
  readonly base: number | bigint;
  readonly limit: number;
  readonly access: number;
}

/** Segments in the order of Segment, with an unusable LDTR and a busy TSS where the protocol names none. */
function entrySegments(state: EntryState): LoadedSegment[] {
  const { es, cs, ss, ds, fs, gs, ldtr, tr } = state.segments;
  return [es, cs, ss, ds, fs, gs, ldtr ?? { selector: 0, base: 0, limit: 0, access: 0x1_0000 }, tr ?? { selector: 0, base: 0, limit: 0xffff, access: 0x8b }];
}
