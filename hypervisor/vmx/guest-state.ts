/** The guest-state area: filled for a boot protocol, and exchanged with a processor model for emulation. */
import { Activity, Cr0, Cr4, Efer, Vector, type Cpu } from '../../cpu/cpu';
import { setDr7 } from '../../cpu/debug';
import { R, SEGMENT_STRIDE } from '../../cpu/layout';
import type { EntryState } from '../../guests/boot/entry-state';
import { EntryControl, Interruptibility, PendingDebug } from '../../vmx/controls';
import { VMCS, type FieldName } from '../../vmx/vmcs/fields';
import { entrySegments } from '../entry-segments';
import { copyUnswitched, flagsBehind } from '../unswitched-state';
import { branchStateFrom, branchStateTo } from './branch-state';
import { type Components, SEGMENT_FIELDS } from './components';

const PAT_RESET = 0x0007_0406_0007_0406n;
const DR6_CONDITIONS = PendingDebug.B | PendingDebug.BS;
const RSP = 4;

export function loadEntryState(c: Components, cpu: Cpu, state: EntryState): void {
  c.set64('GUEST_CR0', BigInt(state.cr0) | BigInt(Cr0.NE));
  c.set64('CR0_READ_SHADOW', BigInt(state.cr0));
  c.set32('EXCEPTION_BITMAP', exceptionsFor(BigInt(state.cr0)));
  c.set64('GUEST_CR3', BigInt(state.cr3));
  c.set64('GUEST_CR4', BigInt(state.cr4 | Cr4.VMXE));
  c.set64('CR4_READ_SHADOW', BigInt(state.cr4));
  c.set64('GUEST_IA32_EFER', BigInt(state.efer));
  c.set64('GUEST_IA32_PAT', PAT_RESET);
  setLongMode(c, state.mode === 'long64');
  entrySegments(state).forEach((s, i) => {
    const [selector, limit, access, base] = SEGMENT_FIELDS[i];
    c.vmx.vmwrite32(selector, s.selector);
    c.vmx.vmwrite32(limit, s.limit);
    c.vmx.vmwrite32(access, s.access);
    c.vmx.vmwrite(base, BigInt(s.base));
  });
  c.set64('GUEST_GDTR_BASE', BigInt(state.gdtr.base));
  c.set32('GUEST_GDTR_LIMIT', state.gdtr.limit);
  c.set64('GUEST_IDTR_BASE', BigInt(state.idtr.base));
  c.set32('GUEST_IDTR_LIMIT', state.idtr.limit);
  c.set64('GUEST_DR7', 0x400n);
  c.set64('GUEST_IA32_DEBUGCTL', 0n);
  c.set64('GUEST_RIP', BigInt(state.rip));
  c.set64('GUEST_RFLAGS', BigInt(state.rflags));
  c.set64('GUEST_PENDING_DEBUG_EXCEPTIONS', 0n);
  c.set32('GUEST_INTERRUPTIBILITY_STATE', 0);
  c.set32('GUEST_ACTIVITY_STATE', 0);
  c.set32('GUEST_IA32_SYSENTER_CS', 0);
  c.set64('GUEST_IA32_SYSENTER_ESP', 0n);
  c.set64('GUEST_IA32_SYSENTER_EIP', 0n);
  c.set64('VMCS_LINK_POINTER', (1n << 64n) - 1n);
  for (let r = 0; r < 16; r++) if (r !== RSP) cpu.setGpr(r, BigInt.asUintN(64, BigInt(state.gprs[r] ?? 0)));
  c.set64('GUEST_RSP', BigInt(state.gprs[RSP] ?? 0));
}

/** The guest's EFER.LMA, as the entry control that goes with it. */
function setLongMode(c: Components, on: boolean): void {
  const entry = c.get32('VM_ENTRY_CONTROLS');
  c.set32('VM_ENTRY_CONTROLS', on ? entry | EntryControl.IA32E_MODE_GUEST : entry & ~EntryControl.IA32E_MODE_GUEST);
}

/** CR0, CR3, CR4 as the guest reads them: with the bits that the hypervisor owns taken from the read shadow. */
export function readControl(c: Components, register: 0 | 3 | 4): bigint {
  if (register === 3) return c.get64('GUEST_CR3');
  const mask = c.get64(`CR${register}_GUEST_HOST_MASK`);
  return (c.get64(`GUEST_CR${register}`) & ~mask) | (c.get64(`CR${register}_READ_SHADOW`) & mask);
}

/**
 * Bits the hypervisor owns (CR0.NE, CR4.VMXE) stay 1 in the register; the guest reads its own value from the shadow. While that has no NE,
 * #MF exits: the guest is to get no such exception.
 */
export function writeControl(c: Components, register: 0 | 3 | 4, value: bigint): void {
  if (register === 3) return c.set64('GUEST_CR3', value);
  c.set64(`GUEST_CR${register}`, value | BigInt(register === 0 ? Cr0.NE : Cr4.VMXE));
  c.set64(`CR${register}_READ_SHADOW`, value);
  if (register === 0) c.set32('EXCEPTION_BITMAP', exceptionsFor(value));
}

const exceptionsFor = (cr0: bigint): number => ((cr0 & BigInt(Cr0.NE)) === 0n ? 1 << Vector.MF : 0);

/** A processor model that has the guest's state for one instruction. */
export class GuestStateExchange {
  /** What toModel() put into the model from CR0 to the segment registers: most instructions change none of it. */
  private readonly before = new Uint32Array((R.SEGMENTS + 8 * SEGMENT_STRIDE - R.CR0) / 4);

  constructor(
    private readonly c: Components,
    private readonly cpu: Cpu,
  ) {}

  toModel(model: Cpu): void {
    const { c } = this;
    const { vmx } = c;
    copyUnswitched(this.cpu, model);
    branchStateTo(c, this.cpu, model);
    vmx.vmreadGuestRegisters(model);
    // 32-bit registers, and 64-bit ones whose upper half is 0: no BigInt on the way of every device access.
    const cr0Mask = c.get32('CR0_GUEST_HOST_MASK');
    model.set32(R.CR0, (c.get32('GUEST_CR0') & ~cr0Mask) | (c.get32('CR0_READ_SHADOW') & cr0Mask));
    const cr4Mask = c.get32('CR4_GUEST_HOST_MASK');
    model.set32(R.CR4, (c.get32('GUEST_CR4') & ~cr4Mask) | (c.get32('CR4_READ_SHADOW') & cr4Mask));
    model.set32(R.EFER, c.get32('GUEST_IA32_EFER'));
    this.copy64(VMCS.GUEST_IA32_PAT, model, R.PAT);
    for (let i = 0; i < 4; i++) this.copy64(PDPTES[i], model, R.PDPTE0 + i * 8);
    model.set32(R.CPL, (c.get32('GUEST_SS_ACCESS_RIGHTS') >>> 5) & 3);
    model.setRflags(c.get32('GUEST_RFLAGS'));
    model.shadowAt = -1;
    model.pendingDebug = c.get32('GUEST_PENDING_DEBUG_EXCEPTIONS') & DR6_CONDITIONS;
    model.nmiBlocked = (c.get32('GUEST_INTERRUPTIBILITY_STATE') & Interruptibility.BLOCKING_BY_NMI) !== 0;
    model.activity = Activity.Active;
    model.modeChanged();
    model.mmu.flushAll();
    setDr7(model, c.get32('GUEST_DR7'));
    const first = (model.base + R.CR0) >>> 2;
    this.before.set(model.u32.subarray(first, first + this.before.length));
  }

  private copy64(encoding: number, model: Cpu, to: number): void {
    model.set32(to, this.c.vmx.vmread32(encoding));
    model.set32(to + 4, this.c.vmx.vmreadHigh32(encoding));
  }

  /** The instruction is done: RIP moved, blocking by STI or MOV SS is over unless it was one of these, and its traps are pending. */
  fromModel(model: Cpu): void {
    const { c, cpu } = this;
    const { vmx } = c;
    copyUnswitched(model, cpu);
    branchStateFrom(c, cpu, model);
    vmx.vmwriteWords(VMCS.GUEST_RIP, model.get32(R.RIP), model.get32(R.RIP + 4));
    vmx.vmwriteWords(VMCS.GUEST_RFLAGS, flagsBehind(model), 0);
    const blocking = blockingOf(model);
    if (blocking !== c.get32('GUEST_INTERRUPTIBILITY_STATE')) c.set32('GUEST_INTERRUPTIBILITY_STATE', blocking);
    const pending = model.pendingDebug === 0 ? 0 : model.pendingDebug | ((model.pendingDebug & PendingDebug.B) !== 0 ? PendingDebug.ENABLED_BREAKPOINT : 0);
    if (pending !== c.get32('GUEST_PENDING_DEBUG_EXCEPTIONS')) c.set64('GUEST_PENDING_DEBUG_EXCEPTIONS', BigInt(pending));
    vmx.vmwriteWords(VMCS.GUEST_RSP, model.get32(R.GPR + RSP * 8), model.get32(R.GPR + RSP * 8 + 4));
    if (this.systemStateChanged(model)) this.systemStateFrom(model);
  }

  private systemStateChanged(model: Cpu): boolean {
    const { before } = this;
    const first = (model.base + R.CR0) >>> 2;
    for (let i = 0; i < before.length; i++) if (model.u32[first + i] !== before[i]) return true;
    return false;
  }

  private systemStateFrom(model: Cpu): void {
    const { c } = this;
    writeControl(c, 0, model.get64(R.CR0));
    writeControl(c, 4, model.get64(R.CR4));
    c.set64('GUEST_CR3', model.get64(R.CR3));
    c.set64('GUEST_IA32_EFER', model.get64(R.EFER));
    setLongMode(c, (model.efer & Efer.LMA) !== 0);
    for (let i = 0; i < 4; i++) c.vmx.vmwrite(PDPTES[i], model.get64(R.PDPTE0 + i * 8));
    c.set64('GUEST_DR7', model.get64(R.DR7));
    c.set64('GUEST_GDTR_BASE', model.get64(R.GDTR_BASE));
    c.set32('GUEST_GDTR_LIMIT', model.get32(R.GDTR_LIMIT));
    c.set64('GUEST_IDTR_BASE', model.get64(R.IDTR_BASE));
    c.set32('GUEST_IDTR_LIMIT', model.get32(R.IDTR_LIMIT));
    for (let s = 0; s < 8; s++) {
      const [selector, limit, access, base] = SEGMENT_FIELDS[s];
      c.vmx.vmwrite32(selector, model.selector(s));
      c.vmx.vmwrite32(limit, model.segmentLimit(s));
      c.vmx.vmwrite32(access, model.segmentAccess(s));
      c.vmx.vmwrite(base, model.segmentBase(s));
    }
  }
}

function blockingOf(model: Cpu): number {
  const shadow = model.shadowByMovSs ? Interruptibility.BLOCKING_BY_MOV_SS : Interruptibility.BLOCKING_BY_STI;
  return (model.inShadow() ? shadow : 0) | (model.nmiBlocked ? Interruptibility.BLOCKING_BY_NMI : 0);
}

const PDPTES = [0, 1, 2, 3].map((i) => VMCS[`GUEST_PDPTE${i}` as FieldName]);
