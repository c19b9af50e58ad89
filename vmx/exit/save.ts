/** SDM "Saving Guest State". */
import { Cr0, Cr4, Efer, Flag } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import { EntryControl, ExitControl, Interruptibility, PendingDebug, PinBased, Secondary } from '../controls';
import { OFFSET } from '../vmcs/layout';
import { GUEST_REGISTER_WORDS } from '../vmcs/guest-registers';
import type { Vmx } from '../vmx';

/** Value of RFLAGS.RF in the saved image. SDM "Saving RIP, RSP, RFLAGS, and SSP". */
export enum SavedRf {
  Clear,
  Set,
  AsIs,
}

export function saveGuestState(vmx: Vmx, rf: SavedRf): void {
  const { cpu, vmcs } = vmx;
  const u32 = cpu.u32;
  const to = vmcs.word;
  const from = cpu.base >>> 2;

  for (let i = 0; i < GUEST_REGISTER_WORDS.length; i += 2) u32[to + GUEST_REGISTER_WORDS[i]] = u32[from + GUEST_REGISTER_WORDS[i + 1]];

  // SDM "Saving Control Registers, Debug Registers, and MSRs".
  const cr0 = cpu.cr0;
  vmcs.set(OFFSET.GUEST_CR0, cr0, 0);
  if ((vmx.exitControls & ExitControl.SAVE_DEBUG_CONTROLS) !== 0) {
    save(vmx, OFFSET.GUEST_DR7, R.DR7);
    save(vmx, OFFSET.GUEST_IA32_DEBUGCTL, R.DEBUGCTL);
  }
  if ((vmx.exitControls & ExitControl.SAVE_IA32_PAT) !== 0) save(vmx, OFFSET.GUEST_IA32_PAT, R.PAT);
  if ((vmx.exitControls & ExitControl.SAVE_IA32_EFER) !== 0) save(vmx, OFFSET.GUEST_IA32_EFER, R.EFER);
  const ia32e = (cpu.efer & Efer.LMA) !== 0;
  // IA32_VMX_MISC[5]: exits store IA32_EFER.LMA into the "IA-32e mode guest" VM-entry control.
  if (ia32e !== ((vmx.entryControls & EntryControl.IA32E_MODE_GUEST) !== 0)) {
    vmx.entryControls = (ia32e ? vmx.entryControls | EntryControl.IA32E_MODE_GUEST : vmx.entryControls & ~EntryControl.IA32E_MODE_GUEST) >>> 0;
    vmcs.setLow(OFFSET.VM_ENTRY_CONTROLS, vmx.entryControls);
  }
  if ((vmx.secondary & Secondary.ENABLE_EPT) !== 0 && (cr0 & Cr0.PG) !== 0 && (cpu.cr4 & Cr4.PAE) !== 0 && !ia32e) {
    for (let i = 0; i < 4; i++) save(vmx, OFFSET.GUEST_PDPTE0 + i * 8, R.PDPTE0 + i * 8);
  }

  let rflags = cpu.rflags();
  if (rf === SavedRf.Clear) rflags &= ~Flag.RF;
  else if (rf === SavedRf.Set || cpu.isRepeating()) rflags |= Flag.RF;
  vmcs.set(OFFSET.GUEST_RFLAGS, rflags, 0);

  // SDM "Saving Non-Register State".
  vmcs.setLow(OFFSET.GUEST_ACTIVITY_STATE, cpu.activity);
  let blocking = 0;
  if (cpu.inShadow()) blocking = cpu.shadowByMovSs ? Interruptibility.BLOCKING_BY_MOV_SS : Interruptibility.BLOCKING_BY_STI;
  if ((vmx.pinBased & PinBased.VIRTUAL_NMIS) !== 0 ? vmx.virtualNmiBlocked : cpu.nmiBlocked) blocking |= Interruptibility.BLOCKING_BY_NMI;
  vmcs.setLow(OFFSET.GUEST_INTERRUPTIBILITY_STATE, blocking);
  const pending = cpu.pendingDebug & (PendingDebug.B | PendingDebug.BS);
  vmcs.set(OFFSET.GUEST_PENDING_DEBUG_EXCEPTIONS, (pending & PendingDebug.B) !== 0 ? pending | PendingDebug.ENABLED_BREAKPOINT : pending, 0);
  if ((vmx.exitControls & ExitControl.SAVE_PREEMPTION_TIMER_VALUE) !== 0) {
    vmcs.setLow(OFFSET.PREEMPTION_TIMER_VALUE, Math.max(0, vmx.deadline - cpu.now()));
  }
}

function save(vmx: Vmx, to: number, from: number): void {
  vmx.vmcs.set(to, vmx.cpu.get32(from), vmx.cpu.get32(from + 4));
}
