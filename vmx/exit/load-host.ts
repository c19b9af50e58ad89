/** SDM "Loading Host State". False: the exit turns into a VMX abort. */
import { Activity, Cr0, Cr4, Efer, type Cpu } from '../../cpu/cpu';
import { DR7_FIXED } from '../../cpu/debug';
import { Segment } from '../../cpu/decoder/insn';
import { R, S, seg } from '../../cpu/layout';
import { ExitControl } from '../controls';
import { CR0_UNCHANGED, loadDr7, loadPdptes, stateReplaced } from '../entry/load';
import { pdpteValid } from '../entry/guest-state';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';

/** Access rights that an exit gives segment registers. SDM "Loading Host Segment and Descriptor-Table Registers". */
const CODE_64 = 0xa09b;
const CODE_32 = 0xc09b;
const DATA = 0xc093;
const UNUSABLE = 0x1_0000;
const BUSY_TSS = 0x8b;
const TSS_LIMIT = 0x67;
const TABLE_LIMIT = 0xffff;
const NO_LIMIT = 0xffff_ffff;
const LMA_LME = Efer.LMA | Efer.LME;
const RSP = 4;

/** How the host-state area leads to an abort. */
export enum HostStateOutcome {
  Loaded,
  InvalidPdptes,
}

export function loadHostState(vmx: Vmx): HostStateOutcome {
  const { cpu, vmcs } = vmx;
  const host64 = (vmx.exitControls & ExitControl.HOST_ADDRESS_SPACE_SIZE) !== 0;
  const was64 = cpu.codeSize === 64;

  // SDM "Loading Host Control Registers, Debug Registers, MSRs".
  cpu.set32(R.CR0, (vmcs.low(OFFSET.HOST_CR0) & ~CR0_UNCHANGED) | (cpu.cr0 & CR0_UNCHANGED));
  load(vmx, OFFSET.HOST_CR3, R.CR3);
  const cr4 = vmcs.low(OFFSET.HOST_CR4);
  cpu.set32(R.CR4, host64 ? cr4 | Cr4.PAE : cr4 & ~Cr4.PCIDE);
  loadDr7(cpu, DR7_FIXED);
  set(cpu, R.DEBUGCTL, 0, 0);
  set(cpu, R.SYSENTER_CS, vmcs.low(OFFSET.HOST_IA32_SYSENTER_CS), 0);
  load(vmx, OFFSET.HOST_IA32_SYSENTER_ESP, R.SYSENTER_ESP);
  load(vmx, OFFSET.HOST_IA32_SYSENTER_EIP, R.SYSENTER_EIP);
  if ((vmx.exitControls & ExitControl.LOAD_IA32_PAT) !== 0) load(vmx, OFFSET.HOST_IA32_PAT, R.PAT);
  if ((vmx.exitControls & ExitControl.LOAD_IA32_EFER) !== 0) load(vmx, OFFSET.HOST_IA32_EFER, R.EFER);
  else cpu.set32(R.EFER, (cpu.efer & ~LMA_LME) | (host64 ? LMA_LME : 0));

  // SDM "Loading Host Segment and Descriptor-Table Registers".
  segment(cpu, Segment.CS, vmcs.low(OFFSET.HOST_CS_SELECTOR), host64 ? CODE_64 : CODE_32, NO_LIMIT, 0, 0);
  data(vmx, Segment.SS, OFFSET.HOST_SS_SELECTOR, 0, 0);
  data(vmx, Segment.DS, OFFSET.HOST_DS_SELECTOR, 0, 0);
  data(vmx, Segment.ES, OFFSET.HOST_ES_SELECTOR, 0, 0);
  data(vmx, Segment.FS, OFFSET.HOST_FS_SELECTOR, vmcs.low(OFFSET.HOST_FS_BASE), vmcs.high(OFFSET.HOST_FS_BASE));
  data(vmx, Segment.GS, OFFSET.HOST_GS_SELECTOR, vmcs.low(OFFSET.HOST_GS_BASE), vmcs.high(OFFSET.HOST_GS_BASE));
  segment(cpu, Segment.TR, vmcs.low(OFFSET.HOST_TR_SELECTOR), BUSY_TSS, TSS_LIMIT, vmcs.low(OFFSET.HOST_TR_BASE), vmcs.high(OFFSET.HOST_TR_BASE));
  segment(cpu, Segment.LDTR, 0, UNUSABLE, 0, 0, 0);
  load(vmx, OFFSET.HOST_GDTR_BASE, R.GDTR_BASE);
  cpu.set32(R.GDTR_LIMIT, TABLE_LIMIT);
  load(vmx, OFFSET.HOST_IDTR_BASE, R.IDTR_BASE);
  cpu.set32(R.IDTR_LIMIT, TABLE_LIMIT);

  // SDM "Loading Host RIP, RSP, RFLAGS, and SSP".
  load(vmx, OFFSET.HOST_RIP, R.RIP);
  load(vmx, OFFSET.HOST_RSP, R.GPR + RSP * 8);
  cpu.set32(R.CPL, 0);
  cpu.setRflags(2);
  set(cpu, R.GUEST_TSC_OFFSET, 0, 0);

  // SDM "Updating Non-Register State".
  cpu.activity = Activity.Active;
  cpu.set32(R.MONITOR_ARMED, 0);
  cpu.shadowAt = -1;
  cpu.pendingDebug = 0;

  // SDM "Checking and Loading Host Page-Directory-Pointer-Table Entries".
  if (!host64 && (cpu.cr0 & Cr0.PG) !== 0 && (cpu.cr4 & Cr4.PAE) !== 0) {
    loadPdptes(cpu);
    for (let i = 0; i < 4; i++) {
      if (!pdpteValid(cpu.get32(R.PDPTE0 + i * 8), cpu.get32(R.PDPTE0 + i * 8 + 4), cpu.profile.physicalAddressWidth)) return HostStateOutcome.InvalidPdptes;
    }
  }
  stateReplaced(cpu, was64 && host64);
  return HostStateOutcome.Loaded;
}

/** SS, DS, ES, FS, GS: flat and writable; a null selector makes them unusable. */
function data(vmx: Vmx, s: number, selectorOffset: number, baseLow: number, baseHigh: number): void {
  const selector = vmx.vmcs.low(selectorOffset);
  segment(vmx.cpu, s, selector, selector === 0 ? UNUSABLE | DATA : DATA, NO_LIMIT, baseLow, baseHigh);
}

/** Derived ranges follow in stateReplaced(). */
function segment(cpu: Cpu, s: number, selector: number, access: number, limit: number, baseLow: number, baseHigh: number): void {
  cpu.set32(seg(s, S.SELECTOR), selector);
  cpu.set32(seg(s, S.ACCESS), access);
  cpu.set32(seg(s, S.LIMIT), limit);
  set(cpu, seg(s, S.BASE), baseLow, baseHigh);
}

function load(vmx: Vmx, from: number, to: number): void {
  set(vmx.cpu, to, vmx.vmcs.low(from), vmx.vmcs.high(from));
}

function set(cpu: Cpu, offset: number, low: number, high: number): void {
  cpu.set32(offset, low);
  cpu.set32(offset + 4, high);
}
