/** SDM "Loading Guest State". The checks have passed; nothing here fails. */
import { Cr0, Cr4, Efer, type Cpu } from '../../cpu/cpu';
import { setDr7 } from '../../cpu/debug';
import { Segment } from '../../cpu/decoder/insn';
import { R, S, seg } from '../../cpu/layout';
import { EntryControl, Primary, Secondary } from '../controls';
import { OFFSET } from '../vmcs/layout';
import { GUEST_REGISTER_WORDS } from '../vmcs/guest-registers';
import type { Vmx } from '../vmx';

/** CR0 bits that VM entry and VM exit leave alone: ET, 15:6, 17, 28:19, NW, CD. */
export const CR0_UNCHANGED = 0x7ffa_ffd0;
const RFLAGS_VM = 1 << 17;
const CS_L = 1 << 13;
const LMA_LME = Efer.LMA | Efer.LME;

export function loadGuestState(vmx: Vmx): void {
  const { cpu, vmcs } = vmx;
  const u32 = cpu.u32;
  const from = vmcs.word;
  const to = cpu.base >>> 2;
  const was64 = cpu.codeSize === 64;

  for (let i = 0; i < GUEST_REGISTER_WORDS.length; i += 2) u32[to + GUEST_REGISTER_WORDS[i + 1]] = u32[from + GUEST_REGISTER_WORDS[i]];

  // SDM "Loading Guest Control Registers, Debug Registers, and MSRs".
  const cr0 = ((vmcs.low(OFFSET.GUEST_CR0) & ~CR0_UNCHANGED) | (cpu.cr0 & CR0_UNCHANGED)) >>> 0;
  cpu.set32(R.CR0, cr0);
  if ((vmx.entryControls & EntryControl.LOAD_DEBUG_CONTROLS) !== 0) {
    loadDr7(cpu, vmcs.low(OFFSET.GUEST_DR7));
    copy(vmx, OFFSET.GUEST_IA32_DEBUGCTL, R.DEBUGCTL);
  }
  if ((vmx.entryControls & EntryControl.LOAD_IA32_PAT) !== 0) copy(vmx, OFFSET.GUEST_IA32_PAT, R.PAT);
  const ia32e = (vmx.entryControls & EntryControl.IA32E_MODE_GUEST) !== 0;
  if ((vmx.entryControls & EntryControl.LOAD_IA32_EFER) !== 0) copy(vmx, OFFSET.GUEST_IA32_EFER, R.EFER);
  else {
    // LMA follows the control; LME too if paging will be on.
    const changed = (cr0 & Cr0.PG) !== 0 ? LMA_LME : Efer.LMA;
    cpu.set32(R.EFER, (cpu.efer & ~changed) | (ia32e ? changed : 0));
  }

  // SDM "Loading Page-Directory-Pointer-Table Entries". With EPT they come from the VMCS.
  if ((cr0 & Cr0.PG) !== 0 && (cpu.cr4 & Cr4.PAE) !== 0 && !ia32e) {
    if ((vmx.secondary & Secondary.ENABLE_EPT) !== 0) {
      for (let i = 0; i < 4; i++) copy(vmx, OFFSET.GUEST_PDPTE0 + i * 8, R.PDPTE0 + i * 8);
    } else loadPdptes(cpu);
  }

  // "Clearing Address-Range Monitoring".
  cpu.set32(R.MONITOR_ARMED, 0);
  cpu.set32(R.GUEST_TSC_OFFSET, 0);
  cpu.set32(R.GUEST_TSC_OFFSET + 4, 0);
  if ((vmx.primary & Primary.USE_TSC_OFFSETTING) !== 0) copy(vmx, OFFSET.TSC_OFFSET, R.GUEST_TSC_OFFSET);

  // SDM "Loading Guest RIP, RSP, and RFLAGS".
  const rflags = vmcs.low(OFFSET.GUEST_RFLAGS);
  cpu.set32(R.CPL, (rflags & RFLAGS_VM) !== 0 ? 3 : (cpu.get32(seg(Segment.SS, S.ACCESS)) >>> 5) & 3);
  cpu.setRflags(rflags);
  const is64 = ia32e && (cpu.get32(seg(Segment.CS, S.ACCESS)) & CS_L) !== 0;
  stateReplaced(cpu, was64 && is64);
}

/** Bits 12, 14 and 15 become 0, bit 10 becomes 1. Nothing is to be done when breakpoints stay as they are. */
export function loadDr7(cpu: Cpu, value: number): void {
  if (cpu.get32(R.DR7) !== value) setDr7(cpu, value);
}

/** The four PDPTE registers from the table at CR3, in host-physical memory. */
export function loadPdptes(cpu: Cpu): void {
  const table = (cpu.get32(R.CR3) & ~31) >>> 0;
  for (let i = 0; i < 4; i++) {
    cpu.set32(R.PDPTE0 + i * 8, cpu.memory.read32(table + i * 8));
    cpu.set32(R.PDPTE0 + i * 8 + 4, cpu.memory.read32(table + i * 8 + 4));
  }
}

/**
 * Registers were replaced as a whole: re-derives what the processor keeps beside them. Between two 64-bit contexts nothing but the
 * translation context can differ (segment ranges, code base and stack mask are constants of 64-bit mode).
 */
export function stateReplaced(cpu: Cpu, both64: boolean): void {
  if (both64) cpu.mmu.contextChanged();
  else cpu.modeChanged();
}

function copy(vmx: Vmx, from: number, to: number): void {
  vmx.cpu.set32(to, vmx.vmcs.low(from));
  vmx.cpu.set32(to + 4, vmx.vmcs.high(from));
}
