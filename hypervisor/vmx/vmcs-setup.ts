/** VMX operation and the VMCS of a virtual processor: what a kernel module does before its first VMLAUNCH. */
import { Cr0, Cr4, type Cpu } from '../../cpu/cpu';
import type { CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../../vmx/controls';
import type { Vmx } from '../../vmx/vmx';
import type { HostFrames } from '../frames';
import { passedThroughMsrs } from '../passed-through-msrs';
import { RootSelector, type RootProgram } from '../root-program';
import type { Components } from './components';

const BASIC_MSR = 0x480;
const TRUE_PIN = 0x48d,
  TRUE_PRIMARY = 0x48e,
  TRUE_EXIT = 0x48f,
  TRUE_ENTRY = 0x490,
  SECONDARY = 0x48b;
const FEATURE_CONTROL_MSR = 0x3a;
const TSC_MSR = 0x10;
const GUEST_VPID = 1;

/** VMXON, and a VMCS of our own made current. */
export function enterVmxOperation(vmx: Vmx, cpu: Cpu, frames: HostFrames): void {
  const control = vmx.readMsr(FEATURE_CONTROL_MSR) ?? 0n;
  if ((control & 1n) === 0n) vmx.writeMsr(FEATURE_CONTROL_MSR, 5n);
  const revision = Number((vmx.readMsr(BASIC_MSR) ?? 0n) & 0x7fff_ffffn);
  const region = frames.takeZeroed(cpu.memory);
  cpu.memory.write32(region, revision);
  expect(vmx.vmxon(region).kind, 'VMXON');
  const vmcs = frames.takeZeroed(cpu.memory);
  cpu.memory.write32(vmcs, revision);
  expect(vmx.vmclear(vmcs).kind, 'VMCLEAR');
  expect(vmx.vmptrld(vmcs).kind, 'VMPTRLD');
}

function expect(kind: string, what: string): void {
  if (kind !== 'succeed') throw new Error(`${what} of the hypervisor failed: ${kind}`);
}

/** `wanted` control bits, completed by what the capability MSR requires. Throws if the processor lacks one that is wanted. */
function controls(vmx: Vmx, msr: number, wanted: number): number {
  const capability = vmx.readMsr(msr) ?? 0n;
  const mustBeOne = Number(capability & 0xffff_ffffn);
  const mayBeOne = Number(capability >> 32n);
  if ((wanted & ~mayBeOne) !== 0)
    throw new Error(`MSR 0x${msr.toString(16)}: this processor lacks control bits 0x${((wanted & ~mayBeOne) >>> 0).toString(16)} that the hypervisor needs`);
  return (wanted | mustBeOne) >>> 0;
}

/** The controls that change while a guest runs. */
export interface RunningControls {
  readonly pinBased: number;
  readonly primary: number;
}

/**
 * Writes controls and host state of the current VMCS.
 * @param guest the processor that the guest sees; @param eptp EPT pointer.
 */
export function setUpVmcs(c: Components, cpu: Cpu, guest: CpuProfile, root: RootProgram, frames: HostFrames, eptp: number): RunningControls {
  const { vmx } = c;
  const pinBased = controls(vmx, TRUE_PIN, PinBased.EXTERNAL_INTERRUPT_EXITING | PinBased.NMI_EXITING | PinBased.VIRTUAL_NMIS);
  const primary = controls(
    vmx,
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
  const instructions = (guest.has('rdtscp') ? Secondary.ENABLE_RDTSCP : 0) | (guest.has('invpcid') ? Secondary.ENABLE_INVPCID : 0);
  const secondary = Secondary.ENABLE_EPT | Secondary.ENABLE_VPID | Secondary.UNRESTRICTED_GUEST | instructions;
  c.set32('PIN_BASED_CONTROLS', pinBased);
  c.set32('PRIMARY_PROCESSOR_BASED_CONTROLS', primary);
  c.set32('SECONDARY_PROCESSOR_BASED_CONTROLS', controls(vmx, SECONDARY, secondary));
  for (const name of ['EXCEPTION_BITMAP', 'PAGE_FAULT_ERROR_CODE_MASK', 'PAGE_FAULT_ERROR_CODE_MATCH', 'CR3_TARGET_COUNT'] as const) c.set32(name, 0);
  c.set32('VPID', GUEST_VPID);
  c.set64('TSC_OFFSET', 0n);
  c.set64('EPT_POINTER', BigInt(eptp));
  c.set64('MSR_BITMAP_ADDRESS', BigInt(msrBitmap(cpu, guest, frames)));
  // NE is fixed; CD and NW are neither loaded by entries nor saved by exits, so that the guest's are in the shadow alone.
  c.set64('CR0_GUEST_HOST_MASK', BigInt((Cr0.NE | Cr0.CD | Cr0.NW) >>> 0));
  c.set64('CR4_GUEST_HOST_MASK', BigInt(Cr4.VMXE));
  const { SAVE_DEBUG_CONTROLS, HOST_ADDRESS_SPACE_SIZE, SAVE_IA32_PAT, LOAD_IA32_PAT, SAVE_IA32_EFER, LOAD_IA32_EFER } = ExitControl;
  const exit = SAVE_DEBUG_CONTROLS | HOST_ADDRESS_SPACE_SIZE | SAVE_IA32_PAT | LOAD_IA32_PAT | SAVE_IA32_EFER | LOAD_IA32_EFER;
  c.set32('VM_EXIT_CONTROLS', controls(vmx, TRUE_EXIT, exit));
  const entry = EntryControl.LOAD_DEBUG_CONTROLS | EntryControl.LOAD_IA32_PAT | EntryControl.LOAD_IA32_EFER;
  c.set32('VM_ENTRY_CONTROLS', controls(vmx, TRUE_ENTRY, entry));
  for (const name of ['EXIT_MSR_STORE_COUNT', 'EXIT_MSR_LOAD_COUNT', 'ENTRY_MSR_LOAD_COUNT', 'ENTRY_INTERRUPTION_INFORMATION'] as const) c.set32(name, 0);
  setHostState(c, cpu, root);
  return { pinBased, primary };
}

function setHostState(c: Components, cpu: Cpu, root: RootProgram): void {
  c.set64('HOST_CR0', cpu.get64(R.CR0));
  c.set64('HOST_CR3', BigInt(root.cr3));
  c.set64('HOST_CR4', cpu.get64(R.CR4));
  c.set64('HOST_IA32_EFER', cpu.get64(R.EFER));
  c.set64('HOST_IA32_PAT', cpu.get64(R.PAT));
  c.set32('HOST_CS_SELECTOR', RootSelector.CODE);
  for (const s of ['ES', 'SS', 'DS', 'FS', 'GS'] as const) c.set32(`HOST_${s}_SELECTOR`, RootSelector.DATA);
  c.set32('HOST_TR_SELECTOR', RootSelector.TSS);
  c.set64('HOST_FS_BASE', 0n);
  c.set64('HOST_GS_BASE', 0n);
  c.set64('HOST_TR_BASE', BigInt(root.tss));
  c.set64('HOST_GDTR_BASE', BigInt(root.gdt));
  c.set64('HOST_IDTR_BASE', BigInt(root.idt));
  c.set32('HOST_IA32_SYSENTER_CS', 0);
  c.set64('HOST_IA32_SYSENTER_ESP', 0n);
  c.set64('HOST_IA32_SYSENTER_EIP', 0n);
  c.set64('HOST_RSP', BigInt(root.stack));
  c.set64('HOST_RIP', BigInt(root.exit));
}

/** Every MSR exits except those passed through; reads of the TSC do not. Four quarters: read low, read high, write low, write high. */
function msrBitmap(cpu: Cpu, guest: CpuProfile, frames: HostFrames): number {
  const page = frames.takeSmall();
  const bits = new Uint8Array(4096).fill(0xff);
  const clear = (index: number, write: boolean): void => {
    const at = (index >= 0xc000_0000 ? 1024 : 0) + (write ? 2048 : 0) + ((index & 0x1fff) >>> 3);
    bits[at] &= ~(1 << (index & 7));
  };
  for (const index of passedThroughMsrs(guest)) {
    clear(index, false);
    clear(index, true);
  }
  clear(TSC_MSR, false);
  cpu.memory.writeBytes(page, bits);
  return page;
}
