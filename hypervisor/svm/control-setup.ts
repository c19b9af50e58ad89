/** The control area of a virtual processor's VMCB: what a kernel module fills in before its first VMRUN. */
import type { Cpu } from '../../cpu/cpu';
import type { CpuProfile } from '../../cpu/interfaces';
import { Intercept3, Intercept4, NestedControl, VIntr } from '../../svm/controls';
import { VMCB } from '../../svm/vmcb/layout';
import type { HostFrames } from '../frames';
import { passedThroughMsrs } from '../passed-through-msrs';
import type { ControlBlock } from './control-block';

const TSC_MSR = 0x10;
const GUEST_ASID = 1;
const CR8 = 1 << 8;
const PAGE = 4096;

const INTERCEPTS_3 =
  Intercept3.INTR |
  Intercept3.NMI |
  Intercept3.SMI |
  Intercept3.INIT |
  Intercept3.CPUID |
  Intercept3.RSM |
  Intercept3.INVD |
  Intercept3.HLT |
  Intercept3.INVLPGA |
  Intercept3.IOIO |
  Intercept3.MSR |
  Intercept3.SHUTDOWN;
const INTERCEPTS_4 =
  Intercept4.ICEBP |
  Intercept4.VMRUN |
  Intercept4.VMMCALL |
  Intercept4.VMLOAD |
  Intercept4.VMSAVE |
  Intercept4.STGI |
  Intercept4.CLGI |
  Intercept4.SKINIT |
  Intercept4.WBINVD |
  Intercept4.MONITOR |
  Intercept4.MWAIT |
  Intercept4.XSETBV |
  Intercept4.RDPRU;

/** Intercepts, permission maps, nested paging. @param guest the processor that the guest sees; @param nestedRoot N_CR3. */
export function setUpControls(block: ControlBlock, cpu: Cpu, guest: CpuProfile, frames: HostFrames, nestedRoot: number): void {
  // The task priority lives in the VM's own APIC; all other control registers are the guest's.
  block.set16(VMCB.CR_READ_INTERCEPTS, CR8);
  block.set16(VMCB.CR_WRITE_INTERCEPTS, CR8);
  block.set32(VMCB.INTERCEPTS_3, INTERCEPTS_3 >>> 0);
  block.set32(VMCB.INTERCEPTS_4, INTERCEPTS_4);
  block.set64(VMCB.IOPM_BASE_PA, BigInt(ioPermissionMap(cpu, frames)));
  block.set64(VMCB.MSRPM_BASE_PA, BigInt(msrPermissionMap(cpu, guest, frames)));
  block.set32(VMCB.GUEST_ASID, GUEST_ASID);
  // Physical interrupts follow the flag of the host, not that of the guest; NMIs are the processor's to hold while they are masked.
  block.set32(VMCB.V_INTR, VIntr.V_INTR_MASKING | VIntr.V_NMI_ENABLE);
  block.set32(VMCB.NESTED_CONTROL, NestedControl.NP_ENABLE);
  block.set64(VMCB.N_CR3, BigInt(nestedRoot));
}

/** Every port exits: 65,536 bits and what an access beyond the last port looks at, three pages. */
function ioPermissionMap(cpu: Cpu, frames: HostFrames): number {
  return filledPages(cpu, frames, new Uint8Array(3 * PAGE).fill(0xff));
}

/**
 * Two bits an MSR, read then write: every MSR exits except those passed through and reads of the time stamp counter.
 * APM "MSR Intercepts": vectors of 2 Kbytes for 0 to 1FFFh, C000_0000h to C000_1FFFh, C001_0000h to C001_1FFFh.
 */
function msrPermissionMap(cpu: Cpu, guest: CpuProfile, frames: HostFrames): number {
  const bits = new Uint8Array(2 * PAGE).fill(0xff);
  const clear = (index: number, write: boolean): void => {
    const bit = (index >= 0xc000_0000 ? 0x2000 : 0) * 2 + (index & 0x1fff) * 2 + (write ? 1 : 0);
    bits[bit >>> 3] &= ~(1 << (bit & 7));
  };
  for (const index of passedThroughMsrs(guest)) {
    clear(index, false);
    clear(index, true);
  }
  clear(TSC_MSR, false);
  return filledPages(cpu, frames, bits);
}

/** Consecutive host frames with the given content. */
function filledPages(cpu: Cpu, frames: HostFrames, bytes: Uint8Array): number {
  const address = frames.takeRun(bytes.length / PAGE);
  cpu.memory.writeBytes(address, bytes);
  return address;
}
